"""Evaluation of a tokenizer: metrics, reconstruction of a video or a dataset, selftest."""
