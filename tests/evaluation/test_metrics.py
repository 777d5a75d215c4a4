"""PSNR, SSIM and flicker against their published formulas in float64 and loops."""

import math
import random

import numpy as np
import pytest
import torch

from videogen.errors import DataError
from videogen.evaluation.tokenizer.metrics import BEST_PSNR, Totals, flicker, merge_totals, psnr, ssim


def clips(frames=4, height=16, width=21, noise=25, seed=0):
    """Smooth frames and noisy copies of them, uint8 [T, H, W, 3]."""
    draw = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    phase = draw.uniform(0, 6, (frames, 1, 1, 3))
    original = 127 + 90 * np.sin(y[None, ..., None] / 3 + phase) * np.cos(x[None, ..., None] / 4 + phase)
    copy = original + draw.normal(0, noise, original.shape) * draw.uniform(0.2, 1, (frames, 1, 1, 1))
    return tuple(torch.from_numpy(np.clip(a, 0, 255).astype(np.uint8)) for a in (copy, original))


def oracle_psnr(a, b):
    return 20 * math.log10(255) - 10 * math.log10(np.mean((a.numpy().astype(float) - b.numpy().astype(float)) ** 2))


def oracle_ssim(a, b):
    line = np.array([math.exp(-(i**2) / 4.5) for i in range(-5, 6)])
    window = np.outer(line, line) / line.sum() ** 2
    values = []
    for y in range(5, a.shape[0] - 5):
        for x in range(5, a.shape[1] - 5):
            p, q = (n[y - 5 : y + 6, x - 5 : x + 6].astype(float) for n in (a, b))
            m, n = (window * p).sum(), (window * q).sum()
            s, t, st = (window * (p - m) ** 2).sum(), (window * (q - n) ** 2).sum(), (window * (p - m) * (q - n)).sum()
            values.append((2 * m * n + 6.5025) * (2 * st + 58.5225) / (m * m + n * n + 6.5025) / (s + t + 58.5225))
    return np.mean(values)


def test_psnr_is_the_formula():
    copy, original = clips()
    expected = [oracle_psnr(x, y) for x, y in zip(copy, original, strict=True)]
    torch.testing.assert_close(psnr(copy, original), torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=0)


def test_psnr_of_one_gray_level_everywhere_and_of_equal_frames():
    dark, light = torch.full((1, 8, 8, 3), 7, dtype=torch.uint8), torch.full((1, 8, 8, 3), 8, dtype=torch.uint8)
    assert float(psnr(dark, light)) == pytest.approx(48.1308, abs=1e-4)
    assert float(psnr(dark, dark)) == BEST_PSNR


def test_ssim_is_the_formula():
    copy, original = clips(frames=2)
    for c in range(3):
        expected = [oracle_ssim(x[..., c].numpy(), y[..., c].numpy()) for x, y in zip(copy, original, strict=True)]
        got = ssim(copy[..., c : c + 1], original[..., c : c + 1])
        torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9)


def test_ssim_of_color_is_the_mean_over_channels_and_1_for_equal_frames():
    copy, original = clips()
    channels = torch.stack([ssim(copy[..., c : c + 1], original[..., c : c + 1]) for c in range(3)])
    torch.testing.assert_close(ssim(copy, original), channels.mean(0))
    assert torch.equal(ssim(original, original), torch.ones(4, dtype=torch.float64))


def test_scikit_image_agrees():
    metrics = pytest.importorskip("skimage.metrics")
    copy, original = clips(height=33, width=48)
    for x, y, p, s in zip(copy, original, psnr(copy, original), ssim(copy, original), strict=True):
        assert float(p) == pytest.approx(metrics.peak_signal_noise_ratio(y.numpy(), x.numpy()), rel=1e-12)
        how = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "channel_axis": 2}
        assert float(s) == pytest.approx(metrics.structural_similarity(y.numpy(), x.numpy(), **how), rel=1e-9)


def test_flicker_is_the_change_of_the_error():
    copy, original = clips()
    error = copy.numpy().astype(float) - original.numpy().astype(float)
    expected = [np.abs(error[t + 1] - error[t]).mean() for t in range(3)]
    torch.testing.assert_close(flicker(copy, original), torch.tensor(expected, dtype=torch.float64))


def test_a_constant_error_does_not_flicker_and_an_alternating_one_does():
    original = torch.randint(40, 200, (6, 12, 12, 3), dtype=torch.uint8)
    swing = torch.tensor([0, 4] * 3, dtype=torch.uint8)[:, None, None, None]
    assert torch.equal(flicker(original + 9, original), torch.zeros(5, dtype=torch.float64))
    assert torch.equal(flicker(original + swing, original), torch.full((5,), 4.0, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(5))
def test_quality_does_not_depend_on_the_chunks_of_a_stream(seed):
    copy, original = clips(frames=11, seed=seed)
    whole = Totals().plus_frames(copy, original).quality()
    draw, totals, start = random.Random(seed), Totals(), 0
    while start < 11:
        end = start + draw.randint(0, 4)
        totals, start = totals.plus_frames(copy[start:end], original[start:end]), end
    cut = totals.quality()
    assert cut.frames == whole.frames == 11
    for name in ("psnr", "psnr_pooled", "psnr_worst", "ssim", "flicker"):
        assert getattr(cut, name) == pytest.approx(getattr(whole, name), rel=1e-12)


def test_the_quality_of_a_stream_is_that_of_its_frames():
    copy, original = clips(frames=7)
    quality = Totals().plus_frames(copy, original).quality()
    each = psnr(copy, original)
    assert quality.psnr == pytest.approx(float(each.mean()))
    assert quality.psnr_worst == float(each.min())
    assert quality.psnr_pooled == pytest.approx(oracle_psnr(copy, original))
    assert quality.ssim == pytest.approx(float(ssim(copy, original).mean()))
    assert quality.flicker == pytest.approx(float(flicker(copy, original).mean()))


def test_totals_keep_only_one_frame():
    copy, original = clips(frames=9)
    totals = Totals().plus_frames(copy, original)
    assert totals.last is not None
    assert [kept.untyped_storage().nbytes() for kept in totals.last] == [16 * 21 * 3] * 2


def test_merged_totals_weight_frames_equally_and_join_no_streams():
    pairs = [clips(frames=n, noise=10 * n, seed=n) for n in (1, 2, 5)]
    quality = merge_totals([Totals().plus_frames(*pair) for pair in pairs]).quality()
    every = torch.cat([psnr(*pair) for pair in pairs])
    assert quality.frames == 8
    assert quality.psnr == pytest.approx(float(every.mean()))
    assert quality.psnr_worst == float(every.min())
    assert quality.flicker == pytest.approx(float(torch.cat([flicker(*pair) for pair in pairs]).mean()))


def test_one_frame_has_no_flicker_and_no_frames_are_an_error():
    copy, original = clips(frames=1)
    assert Totals().plus_frames(copy, original).quality().flicker == 0
    with pytest.raises(DataError):
        Totals().plus_frames(copy[:0], original[:0]).quality()


def test_frames_of_different_shapes_are_an_error():
    copy, original = clips()
    with pytest.raises(DataError, match="16 x 21"):
        psnr(copy[:3], original)
    with pytest.raises(ValueError, match="float32"):
        ssim(copy.float(), original)
    with pytest.raises(DataError, match="11 x 11"):
        ssim(copy[:, :10], original[:, :10])
