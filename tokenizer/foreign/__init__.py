"""Public tokenizers of others, by the kind that `videogen convert` is given.

base.py      what such a tokenizer is, and strict accounting of its tensors
"""

from tokenizer.foreign.base import ForeignKeysError, ForeignTokenizer

__all__ = ["FOREIGN", "ForeignKeysError", "ForeignTokenizer"]

FOREIGN: dict[str, ForeignTokenizer] = {}
