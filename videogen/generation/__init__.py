"""Inputs and outputs around `videogen.generate`.

arguments.py, pipeline_inputs.py   the arguments of a call, checked and converted
conditioning_frames.py             a clip or an image that a video continues
continuation_prompt.py, caption_search.py   a prompt for a clip if the user gives none
generation_warnings.py             warnings about a request
stats.py, progress.py              counts and times of a generation, and its progress bar
metadata.py, export.py             the metadata of a video; frames to files and back
reconstruct.py                     encodes and decodes a video with a tokenizer
"""
