"""LPIPS against its equation, and against the published package where it is installed."""

import sys
from collections.abc import Mapping

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tokenizer.losses.autocast import assert_autocast_changes_nothing
from tests.tokenizer.losses.random_lpips import random_lpips
from tests.tokenizer.models import moving_squares, noise_clip
from tokenizer.losses.lpips import BACKBONES, LPIPS, LPIPSConfig, select_frames

# Number of a convolution -> its stride and padding, and whether frames are pooled before it, and features taken after.
VGG = {number: (1, 1, number in (5, 10, 17, 24), number in (2, 7, 14, 21, 28)) for number in (
    0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28,
)}  # fmt: skip
ALEX = {0: (4, 2, False, True), 3: (1, 2, True, True), 6: (1, 1, True, True)}
ALEX |= {8: (1, 1, False, True), 10: (1, 1, False, True)}
LAYERS, POOLS = {"vgg": VGG, "alex": ALEX}, {"vgg": 2, "alex": 3}


@pytest.fixture(scope="module")
def weights() -> dict[str, dict[str, Tensor]]:
    return {variant: random_lpips(variant) for variant in BACKBONES}


@pytest.fixture(scope="module")
def lpips(weights: dict[str, dict[str, Tensor]]) -> dict[str, LPIPS]:
    return {variant: LPIPS(some) for variant, some in weights.items()}


def oracle(variant: str, weights: Mapping[str, Tensor], a: Tensor, b: Tensor) -> float:
    """Zhang et al., equation 1, for two images [3, H, W]."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, total, head = torch.stack([a, b]), 0.0, 0
    x = (x - shift[:, None, None]) / scale[:, None, None]
    for i, (stride, padding, pooled, taken) in LAYERS[variant].items():
        x = F.max_pool2d(x, POOLS[variant], 2) if pooled else x
        kernel, bias = weights[f"features.{i}.weight"], weights[f"features.{i}.bias"]
        x = torch.relu(F.conv2d(x, kernel, bias, stride, padding))
        if taken:
            unit = F.normalize(x, dim=1)
            w = weights[f"lin{head}.model.1.weight"].flatten()
            total, head = total + float(((unit[0] - unit[1]) ** 2 * w[:, None, None]).sum(0).mean()), head + 1
    return total


@pytest.mark.parametrize("variant", BACKBONES)
def test_it_is_its_equation_averaged_over_frames(variant, weights, lpips):
    a, b = noise_clip(2, 2, 32, 48, seed=1), moving_squares(2, 2, 48)[..., :32, :]
    expected = [sum(oracle(variant, weights[variant], a[i, :, t], b[i, :, t]) for t in range(2)) / 2 for i in range(2)]
    torch.testing.assert_close(lpips[variant](a, b, 0), torch.tensor(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("variant", BACKBONES)
def test_it_equals_the_published_package_in_float64(variant, weights, monkeypatch):
    """Of version 0.1.4, with its published heads, and random weights for the backbone, which it does not hold."""
    if sys.modules.get("torchvision", ...) is None:  # so that nothing else imports it
        monkeypatch.delitem(sys.modules, "torchvision")
    published = pytest.importorskip("lpips", reason="needs lpips and torchvision", exc_type=ImportError)
    theirs = published.LPIPS(net=variant, pnet_rand=True, verbose=False).double()
    renamed = {f"features.{name.partition('.')[2]}": tensor for name, tensor in theirs.net.state_dict().items()}
    with torch.no_grad():
        for name, tensor in renamed.items():
            tensor.copy_(weights[variant][name])
    heads = {
        name: tensor for name, tensor in theirs.state_dict().items() if name.startswith("lin") and "s." not in name
    }
    assert max(float(tensor.max()) for tensor in heads.values()) > 0.1
    ours = LPIPS({**renamed, **heads}).double()
    a, b = noise_clip(2, 3, 64, 48, seed=1).double(), moving_squares(2, 3, 64)[..., :48].double()
    for x, y in ((a, b), (a * 0.1, b), (torch.zeros_like(a), a)):
        expected = torch.stack([theirs(x[:, :, t], y[:, :, t]).flatten() for t in range(3)]).mean(0)
        assert expected.min() > 0.01
        torch.testing.assert_close(ours(x, y, 0), expected, rtol=0, atol=1e-12)


def test_it_is_zero_for_equal_clips_symmetric_and_depends_on_every_pixel(lpips):
    a, b = noise_clip(1, 1, 32, 32, seed=1).requires_grad_(), noise_clip(1, 1, 32, 32, seed=2)
    assert torch.equal(lpips["vgg"](b, b, 0), torch.zeros(1))
    torch.testing.assert_close(lpips["vgg"](a, b, 0), lpips["vgg"](b, a.detach(), 0))
    (gradient,) = torch.autograd.grad(lpips["vgg"](a, b, 0).sum(), a)
    assert gradient.isfinite().all()
    assert (gradient != 0).all()


def test_its_gradient_is_finite_for_equal_clips_and_features_of_zero(lpips, weights):
    grey = torch.zeros(1, 3, 1, 16, 16, requires_grad=True)
    dark = {name: -tensor if name.endswith("bias") else 0 * tensor for name, tensor in weights["vgg"].items()}
    for network in (lpips["vgg"], LPIPS({**dark, "features.0.bias": -torch.ones(64)})):
        (gradient,) = torch.autograd.grad(network(grey, grey.detach(), 0).sum(), grey)
        assert gradient.isfinite().all()


def test_it_is_frozen_and_compares_the_frames_of_the_step(weights, lpips):
    assert not any(p.requires_grad for p in lpips["vgg"].parameters())
    few = LPIPS(weights["vgg"], frames=1)
    a, b = noise_clip(1, 3, 16, 16, seed=1), noise_clip(1, 3, 16, 16, seed=2)
    for step in (0, 1, 2, 3):
        t = step % 3
        torch.testing.assert_close(few(a, b, step), lpips["vgg"](a[:, :, t : t + 1], b[:, :, t : t + 1], 0))


def test_it_says_which_weights_are_wrong(weights):
    vgg = weights["vgg"]
    with pytest.raises(ValueError, match=r"31 of 31 .*'features.0.weight'"):
        LPIPS({})
    with pytest.raises(ValueError, match=r"'lin2.model.1.weight' .*\[256\].*\[1, 256, 1, 1\]"):
        LPIPS(vgg | {"lin2.model.1.weight": torch.ones(256)})
    with pytest.raises(ValueError, match=r"'lin1.model.1.weight' .*\[1, 128, 1, 1\].*\[1, 192, 1, 1\]"):
        LPIPS(weights["alex"] | {f"lin{i}.model.1.weight": vgg[f"lin{i}.model.1.weight"] for i in range(5)})
    for wrong in (torch.full((1, 64, 1, 1), -0.5), torch.full((1, 64, 1, 1), torch.nan)):
        with pytest.raises(ValueError, match=r"'lin0.model.1.weight'"):
            LPIPS(vgg | {"lin0.model.1.weight": wrong})


def test_it_refuses_small_frames_and_other_channels(lpips):
    with pytest.raises(ValueError, match="3 x 8 x 16"):
        lpips["vgg"](noise_clip(1, 1, 8, 16), noise_clip(1, 1, 8, 16), 0)
    with pytest.raises(ValueError, match="1 x 16 x 16"):
        lpips["vgg"](noise_clip(1, 1, 16, 16, channels=1), noise_clip(1, 1, 16, 16, channels=1), 0)
    smallest = noise_clip(1, 1, 31, 31)
    assert lpips["alex"](smallest, -smallest, 0) > 0
    with pytest.raises(ValueError, match="at least 31"):
        lpips["alex"](smallest[..., :30], smallest[..., :30], 0)


@pytest.mark.parametrize(("total", "count"), [(17, 4), (5, 5), (3, 8), (7, 1), (9, None)])
def test_every_frame_is_selected_equally_often(total, count):
    looks = [select_frames(total, count, step) for step in range(total)]
    assert {len(set(look)) for look in looks} == {min(total, count or total)}
    turns = [t for look in looks for t in look]
    assert {turns.count(t) for t in range(total)} == {min(total, count or total)}


def test_autocast_changes_nothing(lpips):
    assert_autocast_changes_nothing(lpips["alex"])


def test_a_config_refuses_what_makes_no_sense():
    with pytest.raises(ValueError, match="frames = 0"):
        LPIPSConfig("lpips", weight=1.0, weights="vgg", frames=0)
    with pytest.raises(ValueError, match="weight = -1"):
        LPIPSConfig("lpips", weight=-1.0, weights="vgg")
