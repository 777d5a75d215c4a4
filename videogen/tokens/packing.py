"""How the codes and the control of a latent frame lie in a shard.

ids    one integer a token, where the product of the codebooks fits an int64: c0 + n0 * (c1 + n1 * (c2 + ...)) of
       the codes c and the codebooks n; in the shape of the group, or [N] where there are several
codes  [N, K] otherwise, in the smallest integer type; float32 [N, D] where tokens are continuous
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interfaces.tokens import TokenSpec
from prior.config import ControlConfig

DTYPES: dict[str, np.dtype[Any]] = {
    "U8": np.dtype("<u1"),
    "U16": np.dtype("<u2"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "F32": np.dtype("<f4"),
}


@dataclass(frozen=True)
class Packing:
    """A tensor of a shard: its name, its safetensors type, and the shape of a latent frame."""

    name: str
    dtype: str
    shape: tuple[int, ...]


def packing_of(spec: TokenSpec) -> Packing:
    if spec.continuous:
        return Packing("codes", "F32", (spec.tokens, spec.depth))
    tokens = math.prod(spec.codebooks)
    if tokens <= np.iinfo(np.int64).max:
        shape = spec.groups[0].shape if len(spec.groups) == 1 else (spec.tokens,)
        return Packing("ids", packed_dtype(tokens), shape)
    return Packing("codes", _smallest(max(spec.codebooks) - 1, "U8", "U16", "I32", "I64"), (spec.tokens, spec.depth))


def packed_dtype(tokens: int) -> str:
    """The type of so many different tokens; it also holds `tokens` itself, which version 1 used as the mask."""
    return _smallest(tokens, "U16", "I32", "I64")


def pack(codes_TNK: NDArray[Any], spec: TokenSpec) -> NDArray[Any]:
    """Codes [T, N, K] as a shard stores them."""
    packing = packing_of(spec)
    if packing.name == "ids":
        packed = np.zeros(codes_TNK.shape[:2], np.int64)
        for place in reversed(range(spec.depth)):
            packed = packed * spec.codebooks[place] + codes_TNK[..., place]
        codes_TNK = packed
    return codes_TNK.reshape(-1, *packing.shape).astype(DTYPES[packing.dtype])


def unpack(stored: NDArray[Any], spec: TokenSpec) -> NDArray[Any]:
    """Codes int64 [T, N, K], or float32 [T, N, D]; ValueError for a code that is in no codebook."""
    if spec.continuous:
        if not np.isfinite(stored).all():
            raise ValueError("a number that is not finite")
        return stored.astype(np.float32).reshape(-1, spec.tokens, spec.depth)
    flat = stored.astype(np.int64).reshape(len(stored), spec.tokens, -1)
    sizes = (math.prod(spec.codebooks),) if packing_of(spec).name == "ids" else spec.codebooks
    if flat.size and (flat.min() < 0 or (flat >= np.array(sizes)).any()):
        raise ValueError("a code that its codebook does not have")
    return _codes_of(flat[..., 0], spec.codebooks) if len(sizes) < spec.depth else flat


def packing_of_control(control: ControlConfig) -> Packing:
    return Packing("control", "I64", ()) if control.floats is None else Packing("control", "F32", (control.floats,))


def check_control(rows: NDArray[Any], control: ControlConfig) -> None:
    """ValueError for an action that there is not, or a number that is not finite."""
    if control.discrete is None:
        if not np.isfinite(rows).all():
            raise ValueError("a control that is not finite")
    elif rows.size and not 0 <= rows.min() <= rows.max() < control.discrete:
        raise ValueError(f"an action outside of 0 .. {control.discrete - 1}")


def _codes_of(packed_TN: NDArray[np.int64], codebooks: tuple[int, ...]) -> NDArray[np.int64]:
    codes = np.empty((*packed_TN.shape, len(codebooks)), np.int64)
    for place, size in enumerate(codebooks):
        packed_TN, codes[..., place] = np.divmod(packed_TN, size)
    return codes


def _smallest(largest: int, *names: str) -> str:
    return next(name for name in names if largest <= np.iinfo(DTYPES[name]).max)
