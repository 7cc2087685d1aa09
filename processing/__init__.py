"""Everything that happens to a video after it was accepted. See pipeline.py for the flow."""
