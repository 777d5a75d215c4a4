"""Evaluation of generated videos: where clips come from, oracle scores, distances of features, drift, the report."""
