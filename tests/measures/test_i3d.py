"""I3D against a plain reference: functions of torch in the order of the paper, padded as TensorFlow pads."""

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.measures.weights import random_state
from videogen.models.measures.i3d import I3D, load_i3d

NET = I3D()
STATE = random_state(NET)
POOLS = {"2a": ((1, 3, 3), (1, 2, 2)), "3a": ((1, 3, 3), (1, 2, 2)), "4a": ((3, 3, 3), (2, 2, 2))}
POOLS |= {"5a": ((2, 2, 2), (2, 2, 2))}
ORDER = ("1a", "2a", "2b", "2c", "3a", "3b", "3c", "4a", "4b", "4c", "4d", "4e", "4f", "5a", "5b", "5c")


def same(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    """Padding by what is left of the last step, as TensorFlow's documents say it."""
    pads = []
    for size, k, s in reversed(list(zip(x.shape[2:], kernel, stride, strict=True))):
        total = max(k - s, 0) if size % s == 0 else max(k - size % s, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


def unit(w: Mapping[str, Tensor], name: str, x: Tensor, stride: int = 1) -> Tensor:
    kernel = w[f"{name}.conv3d.weight"]
    x = F.conv3d(same(x, kernel.shape[2:], (stride,) * 3), kernel, stride=stride)
    mean, variance, scale, shift = (
        w[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    x = (x - mean[:, None, None, None]) / (variance[:, None, None, None] + 1e-5).sqrt()
    return (x * scale[:, None, None, None] + shift[:, None, None, None]).relu()


def pool(x: Tensor, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Tensor:
    return F.max_pool3d(same(x, kernel, stride), kernel, stride)


def reference(w: Mapping[str, Tensor], x: Tensor) -> Tensor:
    plain = {"1a": ("Conv3d_1a_7x7", 2), "2b": ("Conv3d_2b_1x1", 1), "2c": ("Conv3d_2c_3x3", 1)}
    for step in ORDER:
        if step in POOLS:
            x = pool(x, *POOLS[step])
        elif step in plain:
            x = unit(w, plain[step][0], x, plain[step][1])
        else:
            name = f"Mixed_{step}"
            pooled = pool(x, (3, 3, 3), (1, 1, 1))
            branches = [
                unit(w, f"{name}.b0", x),
                unit(w, f"{name}.b1b", unit(w, f"{name}.b1a", x)),
                unit(w, f"{name}.b2b", unit(w, f"{name}.b2a", x)),
                unit(w, f"{name}.b3b", pooled),
            ]
            x = torch.cat(branches, 1)
    return x


@pytest.mark.parametrize("shape", [(5, 33, 46), (6, 64, 31)])
@torch.no_grad()
def test_it_is_the_published_network(shape: tuple[int, int, int]) -> None:
    """Odd and even sizes before each layer that halves them."""
    network = I3D().eval()
    network.load_state_dict(STATE)
    clip = torch.rand(1, 3, *shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = reference({name: tensor.double() for name, tensor in STATE.items()}, clip.double())
    assert expected.std() > 0.1
    torch.testing.assert_close(network.double().features(clip.double()), expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_logits_are_those_of_means_in_space_averaged_over_time() -> None:
    network = I3D().eval()
    network.load_state_dict(STATE)
    features = torch.rand(2, 1024, 4, 7, 7, generator=torch.Generator().manual_seed(2))
    weight, bias = STATE["logits.conv3d.weight"][:, :, 0, 0, 0], STATE["logits.conv3d.bias"]
    pairs = [features[:, :, t : t + 2].mean((2, 3, 4)) for t in range(3)]
    expected = torch.stack([pair @ weight.T + bias for pair in pairs]).mean(0)
    torch.testing.assert_close(network.classify(features), expected)


def test_it_has_the_published_tensors() -> None:
    """Names and widths of Inception version 1, and none that the published file has not."""
    assert STATE["Conv3d_1a_7x7.conv3d.weight"].shape == (64, 3, 7, 7, 7)
    assert STATE["Mixed_4e.b2b.conv3d.weight"].shape == (64, 32, 3, 3, 3)
    assert STATE["Mixed_5c.b3b.conv3d.weight"].shape == (128, 832, 1, 1, 1)
    assert STATE["logits.conv3d.weight"].shape == (400, 1024, 1, 1, 1)
    stored = [name for name in STATE if not name.endswith("num_batches_tracked")]
    units = {name.rpartition(".conv3d")[0] for name in stored if ".conv3d.weight" in name}
    assert len(units) == 3 + 9 * 6 + 1
    assert len(stored) == 5 * (len(units) - 1) + 2
    assert sum(STATE[name].numel() for name in stored if "running" not in name) == 12_697_264


def test_it_is_frozen_and_does_not_touch_random_numbers() -> None:
    before = torch.random.get_rng_state()
    network = load_i3d({name: tensor for name, tensor in STATE.items() if not name.endswith("num_batches_tracked")})
    assert torch.equal(before, torch.random.get_rng_state())
    assert not network.training
    assert not any(weights.requires_grad for weights in network.parameters())
