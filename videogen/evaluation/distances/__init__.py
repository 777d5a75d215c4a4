"""Frechet distances of two sets of clips.

frechet.py    the distance of features
extractor.py  what makes features of clips
distance.py   the distance to a fixed set of true clips, and what a report says of it
i3d.py        I3D: FVD
transnet.py   TransNet V2
folders.py    both, from the folders that a user names
"""
