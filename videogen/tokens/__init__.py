"""Clips as ids on disk, for the prior to train on: encoded once, by as many processes as you like, whole or not there.

encode(index, Path("tokens"), load_tokenizer(Path("model")))      # resumes, and shares the work
tokens = TokenSet.open(Path("tokens"), fingerprint)               # refuses those of another tokenizer
tokens.clip(0).ids                                                # int64 [T', h, w]
"""

from videogen.tokens.description import Cut, Description
from videogen.tokens.encode import Encoded, encode
from videogen.tokens.token_set import TokenClip, TokenSet

__all__ = ["Cut", "Description", "Encoded", "TokenClip", "TokenSet", "encode"]
