"""How near filters come to the truth on footage that was degraded on purpose, and what they cost."""
