"""Alignment: what is compared with what, and that training by it makes features predictable."""

import pytest
import torch
from torch import Tensor

from interfaces.tokens import TokenGroup, TokenSpec
from tokenizer.losses.alignment import AlignmentConfig, AlignmentHead, alignment_loss, alignment_pairs, last_frames

GRID = TokenSpec((8,), (TokenGroup("tokens", (2, 2)),), frames_per_latent=4)
LINE = TokenSpec((8,), (TokenGroup("tokens", (3,)),), frames_per_latent=4)


class Patches:
    """Colors of patches of 4 x 4 pixels as features."""

    width = 3

    def __call__(self, frames_NCHW: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(frames_NCHW, 4).permute(0, 2, 3, 1)


def numbered(frames: int) -> Tensor:
    """A clip [1, 3, frames, 8, 8] of frames that are their number."""
    return torch.arange(float(frames))[:, None, None].expand(1, 3, frames, 8, 8)


@pytest.mark.parametrize(("frames", "ends"), [(1, [0]), (5, [0, 4]), (9, [0, 4, 8]), (7, [0, 4, 6])])
def test_the_last_frame_of_each_latent_frame_is_compared(frames: int, ends: list[int]) -> None:
    assert last_frames(numbered(frames), GRID)[0, :, 0, 0, 0].tolist() == ends


def test_a_token_of_a_grid_is_compared_with_the_features_at_its_place() -> None:
    clip = torch.rand(2, 3, 5, 8, 8)
    latents = torch.rand(2, 2, 4, 6)
    pairs = alignment_pairs(Patches(), clip, latents, GRID)
    assert torch.equal(pairs.latents, latents)
    assert pairs.features.shape == (2, 2, 4, 3)
    torch.testing.assert_close(pairs.features[1, 1, 2], clip[1, :, 4, 4:, :4].mean((1, 2)))


def test_features_are_resized_to_the_grid() -> None:
    spec = GRID.resized([(4, 3)])
    pairs = alignment_pairs(Patches(), numbered(5), torch.rand(1, 2, 12, 6), spec)
    assert pairs.features.shape == (1, 2, 12, 3)
    torch.testing.assert_close(pairs.features[0, :, :, 0], torch.tensor([0.0, 4.0])[:, None].expand(2, 12))


def test_the_tokens_of_a_line_are_pooled() -> None:
    clip, latents = torch.rand(2, 3, 5, 8, 8), torch.rand(2, 2, 3, 6)
    pairs = alignment_pairs(Patches(), clip, latents, LINE)
    torch.testing.assert_close(pairs.latents, latents.mean(2, keepdim=True))
    torch.testing.assert_close(pairs.features[:, 1, 0], clip[:, :, 4].mean((2, 3)))


def test_groups_are_compared_one_after_the_other() -> None:
    spec = TokenSpec((8,), (TokenGroup("coarse", (1, 1)), TokenGroup("fine", (2, 2))), frames_per_latent=4)
    clip = torch.rand(1, 3, 1, 8, 8)
    features = alignment_pairs(Patches(), clip, torch.rand(1, 1, 5, 6), spec).features
    torch.testing.assert_close(features[0, 0, 0], features[0, 0, 1:].mean(0))


def test_the_loss_is_one_minus_the_cosine() -> None:
    x = torch.rand(2, 3, 4, 5)
    assert float(alignment_loss(3 * x, x)) == pytest.approx(0, abs=1e-6)
    assert float(alignment_loss(-x, x)) == pytest.approx(2)


@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_training_by_it_raises_the_cosine_and_moves_latents(kind: str) -> None:
    torch.manual_seed(0)
    clip = torch.rand(8, 3, 5, 8, 8) * 2 - 1
    latents = torch.randn(8, 2, 4, 6, requires_grad=True)
    head = AlignmentHead(kind, 6, 3)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam([latents, *head.parameters()], lr=0.03)
    losses = []
    for _ in range(100):
        pairs = alignment_pairs(Patches(), clip, latents, GRID)
        loss = alignment_loss(head(pairs.latents), pairs.features)
        optimizer.zero_grad()
        loss.backward()
        assert latents.grad is not None
        assert not pairs.features.requires_grad
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.5
    assert losses[-1] < 0.2


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="weight = -1 must not be negative"):
        AlignmentConfig(None, weight=-1)
