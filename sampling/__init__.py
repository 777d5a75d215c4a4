"""Samples codes from any `interfaces.prior.FramePrior`; independent of pixels and networks.

Shapes are named by suffix: B samples, T latent frames, N tokens of a latent frame, M some of them, K codes of a token.
With guidance, the past has 2B streams: all samples with text, then all without.

config.py          the settings of a sampler
rollout.py         one latent frame after the other: read this first
maskgit.py         one latent frame in a few steps
autoregressive.py  one latent frame token by token
orders.py, halton.py   which tokens a step reveals
plan.py            the steps of a latent frame
schedule.py        how many tokens a step reveals, and how guidance changes
guidance.py        classifier-free guidance
rng.py             random numbers as a function of seed, frame, step and token
"""
