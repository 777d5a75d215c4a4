"""Clips and images of clients.

receiver.py  receives an upload and has it read
reader.py    the process that reads one upload, under limits of memory and time
"""
