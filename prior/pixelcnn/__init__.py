"""Gated PixelCNN over the tokens of a latent frame: a small baseline with the interface of the Llama.

config.py   what defines it
layers.py   masked convolutions with gates
model.py    the prior
"""
