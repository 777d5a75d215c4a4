"""Comparisons: speed against a roofline and against other samplers (`bench`), training runs side by side."""
