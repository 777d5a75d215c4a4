"""Reproducible measurements of a model: JSON for programs, tables and charts for people.

tokenizer/    reconstruction metrics of a video or a dataset, selftest
prior/        likelihood of held-out clips, selftest
generation/   oracle scores, Frechet distance and drift of generated videos
lab/          speed against a roofline and against other samplers; training runs side by side
info/         descriptions of models, token sets and video files
distances/    Frechet distances of sets of clips, for both
report/       charts and the folder that every report writes
"""
