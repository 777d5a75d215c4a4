import pytest
import torch
import torch.nn.functional as F

from tests.tokenizer.models import moving_squares, noise_clip
from tokenizer.losses.perceptual import (
    LPIPS,
    LPIPSConfig,
    MultiscaleStructure,
    MultiscaleStructureConfig,
    downsample_2x,
    select_frames,
)

MULTISCALE = MultiscaleStructure(MultiscaleStructureConfig("multiscale_structure", weight=1.0))
CONVOLUTIONS = {0: (3, 64), 2: (64, 64), 5: (64, 128), 7: (128, 128), 10: (128, 256), 12: (256, 256), 14: (256, 256)}
CONVOLUTIONS |= {17: (256, 512)} | dict.fromkeys((19, 21, 24, 26, 28), (512, 512))
HEADS = (64, 128, 256, 512, 512)


@pytest.fixture(scope="module")
def weights():
    """Random ones, under the published names."""
    g = torch.Generator().manual_seed(0)
    made = {}
    for i, (dim_in, dim_out) in CONVOLUTIONS.items():
        made[f"features.{i}.weight"] = torch.randn(dim_out, dim_in, 3, 3, generator=g) * (2 / (9 * dim_in)) ** 0.5
        made[f"features.{i}.bias"] = torch.randn(dim_out, generator=g) * 0.1
    for i, dim in enumerate(HEADS):
        made[f"lin{i}.model.1.weight"] = torch.rand(1, dim, 1, 1, generator=g)
    return made


@pytest.fixture(scope="module")
def lpips(weights):
    return LPIPS(weights)


def oracle_lpips(weights, a, b):
    """Zhang et al., equation 1, for two images [3, H, W]."""
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    x, total, head = torch.stack([a, b]), 0.0, 0
    x = (x - shift[:, None, None]) / scale[:, None, None]
    for i in CONVOLUTIONS:
        x = F.max_pool2d(x, 2) if i in (5, 10, 17, 24) else x
        x = torch.relu(F.conv2d(x, weights[f"features.{i}.weight"], weights[f"features.{i}.bias"], padding=1))
        if i in (2, 7, 14, 21, 28):
            unit = F.normalize(x, dim=1)
            w = weights[f"lin{head}.model.1.weight"].flatten()
            total, head = total + ((unit[0] - unit[1]) ** 2 * w[:, None, None]).sum(0).mean(), head + 1
    return float(total)


def test_lpips_is_its_equation_averaged_over_frames(weights, lpips):
    a, b = noise_clip(2, 2, 32, 48, seed=1), moving_squares(2, 2, 48)[..., :32, :]
    expected = [sum(oracle_lpips(weights, a[i, :, t], b[i, :, t]) for t in range(2)) / 2 for i in range(2)]
    torch.testing.assert_close(lpips(a, b, 0), torch.tensor(expected), rtol=1e-4, atol=1e-6)


def test_lpips_is_zero_for_equal_clips_symmetric_and_depends_on_every_pixel(lpips):
    a, b = noise_clip(1, 1, 32, 32, seed=1).requires_grad_(), noise_clip(1, 1, 32, 32, seed=2)
    assert torch.equal(lpips(b, b, 0), torch.zeros(1))
    torch.testing.assert_close(lpips(a, b, 0), lpips(b, a.detach(), 0))
    (gradient,) = torch.autograd.grad(lpips(a, b, 0).sum(), a)
    assert gradient.isfinite().all()
    assert (gradient != 0).all()


def test_lpips_of_equal_clips_has_a_finite_gradient(lpips):
    grey = torch.zeros(1, 3, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(lpips(grey, grey.detach(), 0).sum(), grey)
    assert gradient.isfinite().all()


def test_lpips_is_frozen_and_compares_the_frames_of_the_step(weights, lpips):
    assert not any(p.requires_grad for p in lpips.parameters())
    few = LPIPS(weights, frames=1)
    a, b = noise_clip(1, 3, 16, 16, seed=1), noise_clip(1, 3, 16, 16, seed=2)
    for step in (0, 1, 2, 3):
        t = step % 3
        torch.testing.assert_close(few(a, b, step), lpips(a[:, :, t : t + 1], b[:, :, t : t + 1], 0))


def test_lpips_says_which_weights_are_wrong(weights):
    with pytest.raises(ValueError, match=r"31 of 31 .*'features.0.weight'"):
        LPIPS({})
    with pytest.raises(ValueError, match=r"'lin2.model.1.weight' .*\[256\].*\[1, 256, 1, 1\]"):
        LPIPS(weights | {"lin2.model.1.weight": torch.ones(256)})
    for wrong in (torch.full((1, 64, 1, 1), -0.5), torch.full((1, 64, 1, 1), torch.nan)):
        with pytest.raises(ValueError, match=r"'lin0.model.1.weight'"):
            LPIPS(weights | {"lin0.model.1.weight": wrong})


def test_lpips_refuses_small_frames_and_other_channels(lpips):
    with pytest.raises(ValueError, match="3 x 8 x 16"):
        lpips(noise_clip(1, 1, 8, 16), noise_clip(1, 1, 8, 16), 0)
    with pytest.raises(ValueError, match="1 x 16 x 16"):
        lpips(noise_clip(1, 1, 16, 16, channels=1), noise_clip(1, 1, 16, 16, channels=1), 0)


@pytest.mark.parametrize(("total", "count"), [(17, 4), (5, 5), (3, 8), (7, 1), (9, None)])
def test_every_frame_is_selected_equally_often(total, count):
    looks = [select_frames(total, count, step) for step in range(total)]
    assert {len(set(look)) for look in looks} == {min(total, count or total)}
    turns = [t for look in looks for t in look]
    assert {turns.count(t) for t in range(total)} == {min(total, count or total)}


@pytest.mark.parametrize("shape", [(2, 3, 5, 32, 24), (1, 3, 1, 17, 23), (1, 1, 3, 8, 8), (1, 3, 2, 1, 5)])
def test_multiscale_is_zero_for_equal_clips_and_positive_for_others(shape):
    b, c, t, h, w = shape
    x, y = noise_clip(b, t, h, w, c, seed=1), noise_clip(b, t, h, w, c, seed=2)
    assert torch.equal(MULTISCALE(x, x, 0), torch.zeros(b))
    assert (MULTISCALE(x, y, 0) > 0).all()


def test_multiscale_is_symmetric_and_compares_each_clip_alone():
    x, y = noise_clip(3, 4, 32, 32, seed=1), moving_squares(3, 4, 32)
    torch.testing.assert_close(MULTISCALE(x, y, 0), MULTISCALE(y, x, 0))
    alone = torch.cat([MULTISCALE(x[i : i + 1], y[i : i + 1], 0) for i in range(3)])
    torch.testing.assert_close(MULTISCALE(x, y, 0), alone)


def test_multiscale_gradient_is_the_slope_of_its_value():
    x = noise_clip(1, 2, 12, 10, seed=1).double().requires_grad_()
    y = noise_clip(1, 2, 12, 10, seed=2).double()
    assert torch.autograd.gradcheck(lambda x: MULTISCALE(x, y, 0), x, fast_mode=True)


def test_multiscale_weighs_blur_more_than_a_shift_of_brightness_of_the_same_size():
    clip = moving_squares(4, 3, 64)
    blurred = F.avg_pool3d(F.pad(clip, (2, 2, 2, 2, 0, 0), mode="replicate"), (1, 5, 5), stride=1)
    error = (blurred - clip).square().mean((1, 2, 3, 4), keepdim=True)
    shifted = clip + error.sqrt()
    assert (MULTISCALE(blurred, clip, 0) > 4 * MULTISCALE(shifted, clip, 0)).all()


def test_multiscale_grows_with_blur():
    clip, scores = moving_squares(2, 2, 64), []
    for radius in (0, 1, 2, 4):
        padded = F.pad(clip, (radius,) * 4 + (0, 0), mode="replicate")
        scores.append(MULTISCALE(F.avg_pool3d(padded, (1, 2 * radius + 1, 2 * radius + 1), stride=1), clip, 0))
    assert (torch.stack(scores).diff(dim=0) > 0).all()


def test_multiscale_weighs_an_error_that_flickers_more_than_one_that_stays():
    clip, grain = moving_squares(1, 6, 32), 0.1 * noise_clip(1, 1, 32, 32, seed=3)
    turn = torch.tensor([1.0, -1.0] * 3)[:, None, None]
    assert MULTISCALE(clip + grain * turn, clip, 0) > 1.2 * MULTISCALE(clip + grain, clip, 0)


def test_structure_is_what_ssim_says_of_contrast():
    """1 - (2 cov + c) / (var x + var y + c), window by window, on one scale without the edges."""
    only = MultiscaleStructure(MultiscaleStructureConfig("multiscale_structure", weight=1.0, edges=0.0, scales=1))
    x, y = noise_clip(1, 1, 8, 8, 1, seed=1).double(), noise_clip(1, 1, 8, 8, 1, seed=2).double()
    lost = []
    for top in (-1, 1, 3, 5):
        for left in (-1, 1, 3, 5):
            p, q = (z[0, 0, 0, max(top, 0) : top + 4, max(left, 0) : left + 4].flatten() for z in (x, y))
            covariance = torch.cov(torch.stack([p, q]), correction=0)
            lost.append(1 - (2 * covariance[0, 1] + 0.0036) / (covariance[0, 0] + covariance[1, 1] + 0.0036))
    torch.testing.assert_close(only(x, y, 0), torch.stack(lost).mean()[None])


@pytest.mark.parametrize("side", range(2, 12))
def test_halving_keeps_a_flat_frame_flat_and_depends_on_every_pixel(side):
    x = torch.full((1, 1, 1, side, side), 0.3, requires_grad=True)
    y = downsample_2x(x)
    torch.testing.assert_close(y, torch.full((1, 1, 1, side // 2, side // 2), 0.3))
    (gradient,) = torch.autograd.grad(y.sum(), x)
    assert (gradient > 0).all()


def test_half_precision_is_compared_in_float32():
    x, y = noise_clip(1, 2, 16, 16, seed=1).bfloat16(), noise_clip(1, 2, 16, 16, seed=2)
    assert torch.equal(MULTISCALE(x, y, 0), MULTISCALE(x.float(), y, 0))


def test_configs_refuse_what_makes_no_sense():
    with pytest.raises(ValueError, match="weight"):
        MultiscaleStructureConfig("multiscale_structure", weight=-1.0)
    with pytest.raises(ValueError, match="scales = 0"):
        MultiscaleStructureConfig("multiscale_structure", weight=1.0, scales=0)
    with pytest.raises(ValueError, match="frames = 0"):
        LPIPSConfig("lpips", weight=1.0, weights="vgg.safetensors", frames=0)


@pytest.mark.parametrize("kind", ["lpips", "multiscale"])
def test_autocast_changes_nothing(kind, lpips):
    judge = {"lpips": lpips, "multiscale": MULTISCALE}[kind]
    x, y = noise_clip(1, 1, 32, 32, seed=1).requires_grad_(), noise_clip(1, 1, 32, 32, seed=2)
    with torch.autocast("cpu", torch.bfloat16):
        under = judge(x, y, 0)
    plain = judge(x, y, 0)
    assert under.dtype == torch.float32
    assert torch.equal(under, plain)
    gradients = [torch.autograd.grad(value.sum(), x)[0] for value in (under, plain)]
    assert torch.equal(*gradients)
