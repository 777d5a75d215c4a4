"""Clips as codes on disk, for the prior to train on: encoded once, by as many processes as you like.

encode(index, Path("tokens"), load_tokenizer(Path("model")))      # resumes, and shares the work
tokens = TokenSet.open(Path("tokens"), fingerprint)               # refuses those of another tokenizer
tokens.clip(0).codes                                              # int64 [T', N, K]
"""

from videogen.tokens.convert import convert_tokens
from videogen.tokens.description import Description, EncodeSpec
from videogen.tokens.encode import EncodeResult, encode
from videogen.tokens.token_set import TokenClip, TokenSet

__all__ = [
    "Description",
    "EncodeResult",
    "EncodeSpec",
    "TokenClip",
    "TokenSet",
    "convert_tokens",
    "encode",
]
