"""Strict accounting of the tensors of a source."""

import pytest
import torch

from interfaces.foreign import take_weights
from tokenizer.foreign import ForeignKeysError

NAMES = {"encoder.weight": "a.w", "decoder.weight": "b.w"}
IGNORED = ("loss.", "_buffer")


def source(*names: str) -> dict[str, torch.Tensor]:
    return {name: torch.full((1,), float(number)) for number, name in enumerate(names)}


def test_tensors_get_our_names_and_those_to_ignore_are_dropped() -> None:
    taken = take_weights(source("b.w", "a.w", "loss.scale", "a._buffer", "_buffer"), NAMES, IGNORED)
    assert {name: tensor.item() for name, tensor in taken.items()} == {"encoder.weight": 1, "decoder.weight": 0}


def test_missing_and_unexpected_tensors_are_named() -> None:
    with pytest.raises(ForeignKeysError) as caught:
        take_weights(source("a.w", "a.loss.scale", "_buffer.x"), NAMES, IGNORED)
    assert caught.value.missing == ("b.w",)
    assert caught.value.unexpected == ("a.loss.scale",)
    assert str(caught.value) == "missing tensors: b.w; unexpected tensors: a.loss.scale"


def test_a_long_list_of_names_is_shortened() -> None:
    error = ForeignKeysError([], [f"x{number}" for number in range(7)])
    assert str(error) == "unexpected tensors: x0, x1, x2, x3, x4 and 2 more"
