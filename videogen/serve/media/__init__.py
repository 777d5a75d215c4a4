"""Frames to mp4.

film.py            encodes a stream's frames, keeps the latest, and writes whole films
fragments.py       the boxes of a fragmented mp4
scratch_folder.py  the folder that films of jobs are kept in
"""
