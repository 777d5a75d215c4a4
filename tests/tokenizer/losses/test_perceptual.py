import pytest
import torch
import torch.nn.functional as F

from tests.tokenizer.losses.autocast import assert_autocast_changes_nothing
from tests.tokenizer.models import moving_squares, noise_clip
from tokenizer.losses.perceptual import MultiscaleStructure, MultiscaleStructureConfig, downsample_2x

MULTISCALE = MultiscaleStructure(MultiscaleStructureConfig("multiscale_structure", weight=1.0))


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


def test_autocast_changes_nothing():
    assert_autocast_changes_nothing(MULTISCALE)
