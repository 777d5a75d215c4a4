"""The studio: a model process of its own, its streams and jobs, and the server in front of them.

engine.py is where to begin: all that the server knows of a model. Importing any of this imports no torch.
"""
