"""What clients see while it happens: events are rows, the channel layer only says that there is something to read."""
