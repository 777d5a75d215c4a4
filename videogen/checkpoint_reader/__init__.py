"""Checkpoints of others as tensors by name: safetensors, pickles of torch and Lightning, TorchScript archives.

    read_checkpoint("checkpoint.ckpt").tensors      a file, or a folder of them

Nothing that a checkpoint names is imported or called, and no code in it runs. Safetensors are checked and opened here.
The others are read by a process of its own, which writes safetensors:

source.py             finds the files and puts them together
safetensors_file.py   checks a safetensors file and opens it
sandbox.py            starts that process and reads what it wrote
child.py              what that process does: gives up its rights, then reads
archive.py            the zip file, member by member, without unpacking
old_archive.py        the file of torch before version 1.6
pickle_machine.py     a pickle as data
refusal.py            why a file is not read, and the limits
pickle_names.py       the names that a pickle may hold, and what is made of them
weights.py            the weights among that data
writer.py             writes them as safetensors

The modules from child.py on import nothing but the standard library, so that the process starts quickly and has little
to offer to an attacker.
"""

from videogen.checkpoint_reader.safetensors_file import read_tensors
from videogen.checkpoint_reader.source import ARCHIVES, Checkpoint, read_checkpoint

__all__ = ["ARCHIVES", "Checkpoint", "read_checkpoint", "read_tensors"]
