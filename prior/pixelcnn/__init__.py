"""Gated PixelCNN over the tokens of a latent frame: a small rival of the Llama behind the same promise.

config.py   what defines it
layers.py   masked convolutions with gates
model.py    the prior
"""
