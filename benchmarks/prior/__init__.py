"""Speed and memory of the prior."""
