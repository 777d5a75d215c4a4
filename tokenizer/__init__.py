"""Pixels to ids and back, chunk by chunk; a stranger to the prior."""
