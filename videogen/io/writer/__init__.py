"""Writing video.

video_writer.py   VideoWriter: frames in, a file out, by the suffix of its name
sinks.py          one class for each kind of file
output_format.py  another frame rate or size in the file
"""
