"""The machine: devices.py, threads.py (the cores that other programs leave free), signals.py (stopping a run),
hardware.py (its name, for measurements).
"""
