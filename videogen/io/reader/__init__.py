"""Reading video.

scan.py           Scan: one strict pass over a file
random_access.py  read: frames by number, each compared with the scan
probe.py          probe: the scan that packets give without decoding
"""
