"""Evaluation of a prior: likelihood of held-out clips, selftest."""
