"""Ids out of anything that keeps the promise of a frame prior; knows no pixels and no network.

Shapes are named by suffix: B streams (samples), T latent frames, h w the grid of one, N = h * w tokens, V logits of a
digit, D digits of an id. Where guidance is on, the past holds 2B streams: all of them with the text, then without.
"""
