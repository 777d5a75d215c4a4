"""Reading video: strict.py is the truth, random_access.py is fast where it was proven equal."""
