"""Lumos-1 of Alibaba DAMO Academy: a language model that decides a latent frame by masks, as a prior.

Yuan et al., "Lumos-1: on autoregressive video generation with discrete diffusion from a unified model perspective"
(2025).

config.py    what defines it
sequence.py  the tokens around the tokens of a video: prompt, frame, row, and what a later frame sees of a frame
rotary.py    rotary positions over (t, y, x) for pictures, and in order for all else
blocks.py    a block of Llama with a LayerNorm for each head
memory.py    the KV cache of a stream
model.py     the prior: read this first
weights.py   published tensors
"""
