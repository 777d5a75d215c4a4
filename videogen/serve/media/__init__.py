"""Frames to mp4.

mp4.py             encodes frames to fragments, keeps the latest, and muxes whole mp4 files
fragments.py       the boxes of a fragmented mp4
scratch_folder.py  the folder for the mp4 files of jobs, which ends with the server
state_folder.py    the folder of --state, which stays
"""
