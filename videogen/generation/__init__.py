"""What surrounds `videogen.generate`: what a caller gives, what the model is told of it, and what comes out.

arguments.py, pipeline_inputs.py   the arguments of a call, checked and converted
conditioning_frames.py             a clip or an image that a video continues
continuation_prompt.py, caption_search.py   the prompt of a clip that comes without one
generation_warnings.py             warnings about a request
stats.py, progress.py              what a generation costs, and its progress bar
metadata.py, export.py             what a file says of itself; videos to files and back
reconstruct.py                     a video through a tokenizer and back
"""
