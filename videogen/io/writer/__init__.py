"""Writing video: one sink for each kind of file."""
