"""Codes out of anything that keeps the promise of a frame prior; knows no pixels and no network.

Shapes are named by suffix: B streams (samples), T latent frames, N tokens of one, K codes of a token. Where guidance is
on, the past holds 2B streams: all of them with the text, then without.

config.py          the settings of a sampler
rollout.py         latent frame after latent frame: read this first
maskgit.py         one latent frame in a few proposals
autoregressive.py  one latent frame token by token
orders.py, halton.py, schedule.py, guidance.py   which tokens, how many, how strongly guided
rng.py             random numbers as a function of seed, frame and place
"""
