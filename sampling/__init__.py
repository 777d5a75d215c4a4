"""Ids out of anything that keeps the promise of a frame prior; knows no pixels and no network."""
