"""Codes and controls of every kind of tokens survive a shard unchanged, and damage is noticed."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from interfaces.tokens import TokenGroup, TokenSpec
from prior.config import ControlConfig
from videogen.errors import DataError
from videogen.tokens import Description, EncodeSpec, TokenSet
from videogen.tokens.description import write_description
from videogen.tokens.packing import pack, packed_dtype, packing_of, unpack
from videogen.tokens.shards import ShardMetadata, labels_at, labels_hash, tensors_at, write_shard

GRID = (TokenGroup("tokens", (2, 3)),)
BUNDLED = TokenSpec((8, 8, 8, 5, 5, 5), GRID, frames_per_latent=4)
SPECS = {
    "one integer a token": BUNDLED,
    "one codebook": TokenSpec((1024,), GRID, frames_per_latent=4),
    "80 bits": TokenSpec((1024,) * 8, GRID, frames_per_latent=4),
    "small codebooks, more than 63 bits": TokenSpec((256,) * 8, GRID, frames_per_latent=1),
    "coarse, then fine": TokenSpec((512,), (TokenGroup("coarse", (1, 2)), TokenGroup("fine", (2, 4))), 4),
    "a line": TokenSpec((4096,), (TokenGroup("latents", (16,)),), frames_per_latent=4, first_frames=4),
    "continuous": TokenSpec((), GRID, frames_per_latent=4, channels=16),
}
STORED = {
    "one integer a token": ("ids", "U16", (2, 3)),
    "one codebook": ("ids", "U16", (2, 3)),
    "80 bits": ("codes", "U16", (6, 8)),
    "small codebooks, more than 63 bits": ("codes", "U8", (6, 8)),
    "coarse, then fine": ("ids", "U16", (10,)),
    "a line": ("ids", "U16", (16,)),
    "continuous": ("codes", "F32", (6, 16)),
}
LATENT_FRAMES = (1, 3, 2)


def some_codes(spec: TokenSpec, frames: int, seed: int = 0) -> NDArray[Any]:
    draw, shape = np.random.default_rng(seed), (frames, spec.tokens, spec.depth)
    if spec.continuous:
        return draw.normal(size=shape).astype(np.float32)
    return draw.integers(0, spec.codebooks, shape)


def made(
    folder: Path, spec: TokenSpec, control: tuple[ControlConfig, NDArray[Any]] | None = None
) -> tuple[TokenSet, list[NDArray[Any]]]:
    """A set of three clips in one shard, and the codes of each."""
    folder.mkdir()
    clips = [some_codes(spec, frames, seed) for seed, frames in enumerate(LATENT_FRAMES)]
    names, frames = ("a", "b", "c"), tuple(map(spec.video_frames, LATENT_FRAMES))
    write_shard(folder, 0, ShardMetadata(names, names, frames, LATENT_FRAMES), spec, clips, control)
    known = Description("tokenizer", spec, EncodeSpec(16, 24, 8), "data", 3, 8, control and control[0])
    write_description(folder, known)
    return TokenSet.open(folder), clips


@pytest.mark.parametrize("name", SPECS)
def test_codes_come_back(name: str, tmp_path: Path) -> None:
    spec = SPECS[name]
    tokens, clips = made(tmp_path / "set", spec)
    assert tokens.description.spec == spec
    for row, codes in enumerate(clips):
        found = tokens.clip(row)
        assert found.codes.dtype == spec.dtype
        assert found.control is None
        assert np.array_equal(found.codes.numpy(), codes)
        spec.check(tokens.codes(row, 1, 2))
        spec.check(tokens.codes(row, 9))
    packing = packing_of(spec)
    assert (packing.name, packing.dtype, packing.shape) == STORED[name]


def test_a_packed_token_is_the_id_of_version_1() -> None:
    codes, weights = some_codes(BUNDLED, 5), np.cumprod([1, 8, 8, 8, 5, 5])
    packed = pack(codes, BUNDLED)
    assert packed.dtype == np.uint16
    assert np.array_equal(packed.reshape(5, 6), (codes * weights).sum(-1))
    every = np.arange(64000, dtype=np.uint16).reshape(-1, 2, 2)
    quads = replace(BUNDLED, groups=(TokenGroup("tokens", (2, 2)),))
    assert np.array_equal(pack(unpack(every, quads), quads), every)


@pytest.mark.parametrize(
    ("tokens", "stored"),
    [(2, "U16"), (65535, "U16"), (65536, "I32"), (2**31 - 1, "I32"), (2**31, "I64"), (2**40, "I64")],
)
def test_the_smallest_type_that_holds_the_mask_of_version_1(tokens: int, stored: str) -> None:
    assert packed_dtype(tokens) == stored


CONTROLS = {
    "actions": (ControlConfig(discrete=4), np.array([0, 3, 1, 2, 0, 3])),
    "numbers": (ControlConfig(floats=2), np.arange(12, dtype=np.float32).reshape(6, 2)),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_controls_come_back(name: str, tmp_path: Path) -> None:
    config, rows = CONTROLS[name]
    tokens, _ = made(tmp_path / "set", BUNDLED, (config, rows))
    assert tokens.description.control == config
    for row, frames in enumerate([slice(0, 1), slice(1, 4), slice(4, 6)]):
        whole = tokens.clip(row).control
        assert whole is not None
        assert whole.dtype == (torch.int64 if config.discrete else torch.float32)
        assert np.array_equal(whole.numpy(), rows[frames])
        for start, stop in [(0, 1), (1, 3), (2, None), (5, 9)]:
            part = tokens.control(row, start, stop)
            assert part is not None
            assert torch.equal(part, whole[start:stop])


@pytest.mark.parametrize("name", ["one integer a token", "coarse, then fine", "continuous"])
def test_a_code_that_cannot_be_is_damage(name: str, tmp_path: Path) -> None:
    tokens, clips = made(tmp_path / "set", SPECS[name])
    place = tensors_at(tokens.folder, 0)
    raw = place.read_bytes()
    row = pack(clips[2][-1:], SPECS[name]).tobytes()
    place.write_bytes(raw[: -len(row)] + b"\xff" * len(row))
    again = TokenSet.open(tokens.folder)
    assert np.array_equal(again.clip(0).codes.numpy(), clips[0])
    with pytest.raises(DataError, match="shard_00000"):
        again.clip(2)


def test_an_action_that_cannot_be_is_damage(tmp_path: Path) -> None:
    tokens, _ = made(tmp_path / "set", BUNDLED, CONTROLS["actions"])
    write_description(tokens.folder, replace(tokens.description, control=ControlConfig(discrete=3)))
    assert TokenSet.open(tokens.folder).control(2, 0, 1) is not None
    with pytest.raises(DataError, match="shard_00000"):
        TokenSet.open(tokens.folder).clip(1)


@pytest.mark.parametrize("control", [None, ControlConfig(discrete=4), ControlConfig(floats=3)])
def test_a_shard_of_another_kind_is_damage(tmp_path: Path, control: ControlConfig | None) -> None:
    tokens, _ = made(tmp_path / "set", BUNDLED, CONTROLS["numbers"])
    write_description(tokens.folder, replace(tokens.description, control=control))
    with pytest.raises(DataError, match="shard_00000"):
        TokenSet.open(tokens.folder).clip(0)
    labels = json.loads(labels_at(tokens.folder, 0).read_bytes())
    assert labels["labels_sha256"] == labels_hash(labels)
