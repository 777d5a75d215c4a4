import pytest
import torch

from tests.tokenizer.models import moving_squares
from tokenizer.diagnostics import (
    codes_collapse,
    discriminator_dominates,
    flat_reconstructions,
    input_out_of_range,
    share_out_of_range,
    within_frame_variance,
)


@pytest.mark.parametrize(("value", "warns"), [(-1.0, False), (1.0, False), (0.0, False), (-1.2, True), (255.0, True)])
def test_a_single_value_out_of_range_is_reported(value, warns):
    clip = torch.zeros(2, 3, 5, 16, 16)
    clip[1, 2, 3, 4, 5] = value
    assert (input_out_of_range(float(share_out_of_range(clip))) is not None) == warns


def test_good_batches_do_not_hide_a_bad_one():
    fine, bytes_ = torch.rand(2, 3, 1, 16, 16) * 2 - 1, torch.randint(0, 256, (2, 3, 1, 16, 16)).float()
    mean = torch.stack([share_out_of_range(clip) for clip in (fine, bytes_, *[fine] * 98)]).mean()
    assert "1.00% of the values" in str(input_out_of_range(round(float(mean), 3)))


def test_not_a_number_is_not_in_range():
    assert float(share_out_of_range(torch.full((1, 3, 1, 8, 8), float("nan")))) == 1


def test_frames_of_one_color_have_no_variance():
    clip = moving_squares(2, 3, 16)
    flat = clip.mean((-1, -2), keepdim=True).expand_as(clip)
    assert float(within_frame_variance(flat)) < 1e-10
    expected = torch.stack(
        [clip[b, c, t].var(correction=0) for b in range(2) for c in range(3) for t in range(3)]
    ).mean()
    torch.testing.assert_close(within_frame_variance(clip), expected)


def test_flat_reconstructions_are_noticed_and_soft_or_flat_clips_are_not():
    assert flat_reconstructions(0.001, 0.2) is not None
    assert flat_reconstructions(0.15, 0.2) is None
    assert flat_reconstructions(0.0, 0.0) is None


@pytest.mark.parametrize(("accuracy", "warns"), [(0.5, False), (0.9, False), (0.995, True)])
def test_a_discriminator_that_is_always_right_is_noticed(accuracy, warns):
    message = discriminator_dominates(accuracy)
    assert (message is not None) == warns
    assert message is None or "99.5%" in message


@pytest.mark.parametrize(
    ("perplexity", "tokens", "vocabulary", "warns"),
    [
        (1.0, 5120, 1024, True),
        (15.0, 5120, 1024, True),
        (300.0, 5120, 1024, False),
        (900.0, 5120, 64000, False),  # few tokens cannot show many codes
        (20.0, 5120, 64000, True),
        (1.9, 5120, 2, False),
        (1.0, 1, 1024, False),  # one token says nothing
    ],
)
def test_a_collapse_is_measured_against_what_so_many_tokens_could_show(perplexity, tokens, vocabulary, warns):
    assert (codes_collapse(perplexity, tokens, (vocabulary,)) is not None) == warns
