"""NVIDIA's Cosmos DV video tokenizers (Agarwal et al., "Cosmos World Foundation Model Platform for Physical AI", 2025).

config.py     the settings
walsh.py      pixels to patches in a basis of signs
layers.py     norm of a frame, residual block, resampling
attention.py  within a frame, and over the last latent frames
network.py    encoder and decoder as lists of layers under their published names
weights.py    published tensors to configuration and weights
"""
