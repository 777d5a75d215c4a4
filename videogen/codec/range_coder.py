"""Symbols to bytes and back, each in as many bits as its probability asks for.

Probabilities are rounded to whole numbers first, so that the coder computes with the same numbers both ways, whatever
the type of the model's. The coder itself is that of the package constriction.
"""

import time
from functools import cache
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from videogen.errors import ResourceError

ONE = 1 << 22  # what a probability of 1 is rounded to; the least is 1
WORD = 4  # bytes


class WrongBytesError(ValueError):
    """No symbols are written so."""


class SymbolCoder(Protocol):
    """Writes the symbols that it is given, or gives those that were written."""

    seconds: float  # spent in it

    def code(self, probabilities_MV: Tensor, symbols_M: Tensor | None) -> Tensor:
        """int64 [M]: the symbols of M numbers from 0 to V - 1; a writer needs them."""


class SymbolWriter:
    def __init__(self) -> None:
        self.coder = queue().RangeEncoder()
        self.seconds = 0.0

    def code(self, probabilities_MV: Tensor, symbols_M: Tensor | None) -> Tensor:
        began = time.perf_counter()
        assert symbols_M is not None
        if len(symbols_M):
            symbols = symbols_M.to("cpu", torch.int32).numpy()
            self.coder.encode(symbols, categorical(), whole_numbers(probabilities_MV))
        self.seconds += time.perf_counter() - began
        return symbols_M

    def bytes(self) -> bytes:
        """All that was written, in the fewest bytes: a reader goes on with zeros.

        After `whole` words the coder is inside an interval of 64-bit numbers, any of which tells the reader the same.
        It closes with one that fills words; the one with the most zeros at its end is shorter by 14 bits on average.
        """
        words = self.coder.get_compressed().astype(">u4")
        whole, (low, length) = self.coder.pos()
        closed = int.from_bytes(words[whole : whole + 2].tobytes().ljust(8, b"\0"), "big")
        carry = 0 if closed >= low else 1 << 64  # into the whole words, where it is already
        low, high = max(low - carry, 0), min(low + length - carry, 1 << 64)
        zeros = next(zeros for zeros in range(64, -1, -8) if -(-low >> zeros) << zeros < high)
        last = (-(-low >> zeros) << zeros).to_bytes(8, "big")[: 8 - zeros // 8]
        return b"".join((words[:whole].tobytes(), last))


class SymbolReader:
    def __init__(self, written: bytes) -> None:
        whole = written + b"\0" * (-len(written) % WORD)
        self.coder = queue().RangeDecoder(np.frombuffer(whole, ">u4").astype(np.uint32))
        self.seconds = 0.0

    def code(self, probabilities_MV: Tensor, symbols_M: Tensor | None = None) -> Tensor:
        began = time.perf_counter()
        found = np.zeros(0, np.int64)
        if len(probabilities_MV):
            try:
                found = np.asarray(self.coder.decode(categorical(), whole_numbers(probabilities_MV)), np.int64)
            except (AssertionError, ValueError) as error:  # what constriction raises
                raise WrongBytesError(str(error)) from None
        self.seconds += time.perf_counter() - began
        return torch.from_numpy(found).to(probabilities_MV.device)


def whole_numbers(probabilities_MV: Tensor) -> NDArray[np.float64]:
    """Whole numbers in proportion to the probabilities, none of them 0."""
    whole_MV = probabilities_MV.to("cpu", torch.float64).mul(ONE).round_().clamp_(min=1)
    return np.ascontiguousarray(whole_MV.numpy())


@cache
def queue() -> Any:
    return constriction().stream.queue


@cache
def categorical() -> Any:
    return constriction().stream.model.Categorical(perfect=False)


def constriction() -> Any:
    try:
        import constriction
    except ImportError:
        missing = "constriction is not installed; `pip install -e '.[codec]'` in the checkout adds it"
        raise ResourceError(missing) from None
    return constriction
