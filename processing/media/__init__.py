"""The media engine: reads, enhances and writes video, and knows nothing of Django, Celery or Channels.

It takes paths, frames and frozen specs and returns values. Nothing here is opened at import time:
a decoder opened before fork() hangs in the child, and the zygote preloads this package.
"""
