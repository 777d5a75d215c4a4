"""The Cosmos network: the laws of tokenizers, and its parts from their definitions."""

import itertools
import random
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from interfaces.text import CaptionInput
from tests.tokenizer.foreign.cosmos import RATIOS, cosmos_model, small_cosmos
from tests.tokenizer.models import noise_clip, random_plan
from tokenizer import laws
from tokenizer.foreign.cosmos.attention import CosmosTimeAttention
from tokenizer.foreign.cosmos.layers import CosmosDownsample, CosmosUpsample, WholeFrameNorm
from tokenizer.foreign.cosmos.network import CosmosTokenizer
from tokenizer.foreign.cosmos.walsh import WalshPatchify, walsh_signs
from tokenizer.networks.condition.config import FilmConfig
from tokenizer.streaming import State


@pytest.mark.parametrize(("f_t", "f_s"), RATIOS)
def test_it_keeps_the_laws(f_t: int, f_s: int) -> None:
    model, clip = cosmos_model(small_cosmos(f_t, f_s)), noise_clip(1, 2 + 3 * f_t, f_s, 2 * f_s)
    verdicts = list(laws.check(model, clip, [[1, 2], [2, 0, f_t]], 1e-4))
    assert [verdict for verdict in verdicts if not verdict.held or verdict.skipped] == []


def test_any_chunk_plan_gives_the_offline_result() -> None:
    draw, model, clip = random.Random(0), cosmos_model(small_cosmos()), noise_clip(2, 22, 8, 16)
    for _ in range(3):
        verdict = laws.any_chunk_plan_gives_the_offline_result(model, clip, random_plan(22, draw))
        assert verdict.held, verdict.detail


def test_memory_is_flat_over_many_latent_frames() -> None:
    verdict = laws.a_state_does_not_grow(cosmos_model(small_cosmos(window=4)), noise_clip(1, 5, 8, 8), 12)
    assert verdict.held, verdict.detail


def test_an_image_is_the_first_latent_frame() -> None:
    model, clip = cosmos_model(small_cosmos(8, 8)).double(), noise_clip(1, 17, 16, 8).double()
    with torch.no_grad():
        whole, image = (model.encode_latents_parallel(part) for part in (clip, clip[:, :, :1]))
    torch.testing.assert_close(image, whole[:, :1], rtol=0, atol=1e-12)


def windowed_attention(layer: CosmosTimeAttention, x_BTHWC: Tensor, window: int) -> Tensor:
    """By a loop over frames, each with its keys alone."""
    normed, frames = layer.norm(x_BTHWC), []
    q, k, v = layer.q(normed), layer.k(normed), layer.v(normed)
    for t in range(x_BTHWC.shape[1]):
        seen = slice(max(0, t + 1 - window), t + 1)
        scores_BSHW = (q[:, t : t + 1] * k[:, seen]).sum(-1) * q.shape[-1] ** -0.5
        frames.append((scores_BSHW.softmax(1).unsqueeze(-1) * v[:, seen]).sum(1))
    return x_BTHWC + layer.proj_out(torch.stack(frames, 1))  # type: ignore[no-any-return]


@torch.no_grad()
@pytest.mark.parametrize("window", [2, 3, 9])
def test_attention_over_time_is_its_definition_in_any_chunks(window: int) -> None:
    torch.manual_seed(0)
    layer, x = CosmosTimeAttention(6, window).double(), 2 * torch.randn(2, 7, 2, 1, 6).double()
    layer.proj_out.conv.weight.mul_(10)
    expected = windowed_attention(layer, x, window)
    for plan in ([7], [1] * 7, [3, 4], [2, 1, 4]):
        parts, state = list[Tensor](), None
        for chunk in torch.split(x, plan, dim=1):
            y, state = layer(chunk, state)
            parts.append(y)
        torch.testing.assert_close(torch.cat(parts, 1), expected, rtol=0, atol=1e-12)


@torch.no_grad()
def test_streams_of_different_ages_go_on_side_by_side() -> None:
    torch.manual_seed(0)
    layer, x = CosmosTimeAttention(6, 4).double(), torch.randn(2, 3, 1, 2, 6).double()
    young, old = layer(x[:1, :1], None)[1], layer(x[1:], None)[1]
    both = tuple(torch.cat(pair) for pair in zip(young, old, strict=True))
    following = torch.randn(2, 1, 1, 2, 6).double()
    together, _ = layer(following, both)
    for row, state in enumerate((young, old)):
        torch.testing.assert_close(together[row : row + 1], layer(following[row : row + 1], state)[0])


def test_a_latent_frame_sees_a_window_of_others_through_attention() -> None:
    layer, x = CosmosTimeAttention(4, 3), torch.randn(1, 8, 2, 2, 4, requires_grad=True)
    for t in range(8):
        reached = laws.influence(layer(x, None)[0][:, t], x, keep=1).nonzero().flatten().tolist()
        assert reached == list(range(max(0, t - 2), t + 1))


def test_patches_are_two_steps_of_means_and_differences_of_neighbors() -> None:
    clip = torch.randn(1, 2, 4, 4, 4, dtype=torch.float64)
    step: list[Tensor] = [clip]
    for _ in range(2):  # all low and high pairs of (time, height, width); the later step counts slowest
        step = [halved(part, signs) for signs in itertools.product((1, -1), repeat=3) for part in step]
    expected = torch.cat([part.flatten() for part in step])
    torch.testing.assert_close(WalshPatchify()(clip).flatten(), expected)


def halved(clip_BCTHW: Tensor, signs: tuple[int, ...]) -> Tensor:
    """The mean of neighbors, or half their difference, along time, height and width."""
    for dim, sign in zip((2, 3, 4), signs, strict=True):
        even, odd = torch.unflatten(clip_BCTHW, dim, (-1, 2)).unbind(dim + 1)
        clip_BCTHW = (even + sign * odd) / 2
    return clip_BCTHW


def test_patches_lose_nothing() -> None:
    patchify, clip = WalshPatchify(), noise_clip(2, 8, 8, 12).double()
    torch.testing.assert_close(patchify.inverse(patchify(clip)), clip, rtol=0, atol=1e-13)
    torch.testing.assert_close(patchify(clip)[..., :3].mean((1, 2, 3)), clip.mean((2, 3, 4)))
    assert torch.equal(walsh_signs() @ walsh_signs().T, 64 * torch.eye(64, dtype=torch.float64))


def test_the_norm_is_a_group_norm_of_each_frame() -> None:
    norm, x_BTHWC = WholeFrameNorm(6).double(), 3 + torch.randn(2, 3, 4, 5, 6).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    for b, t in itertools.product(range(2), range(3)):
        expected = F.group_norm(x_BTHWC[b, t].permute(2, 0, 1)[None], 1, norm.weight, norm.bias, eps=1e-6)
        torch.testing.assert_close(norm(x_BTHWC)[b, t], expected[0].permute(1, 2, 0))


@torch.no_grad()
@pytest.mark.parametrize(("time", "space"), [(1, 2), (2, 2), (2, 1)])
def test_without_its_convolutions_resampling_is_means_and_copies(time: int, space: int) -> None:
    down, up = CosmosDownsample(3, time, space), CosmosUpsample(3, time, space)
    for layer in (down, up):
        for name, weights in layer.named_parameters():
            weights.zero_()
            if name == "conv3.conv.weight":
                weights.copy_(torch.eye(3)[:, :, None, None])
    x_BTHWC = torch.randn(2, 4, 4, 6, 3)
    means = x_BTHWC.reshape(2, 4 // time, time, 4 // space, space, 6 // space, space, 3).mean((2, 4, 6))
    torch.testing.assert_close(down(x_BTHWC, None)[0], means)
    copies = x_BTHWC.repeat_interleave(time, 1).repeat_interleave(space, 2).repeat_interleave(space, 3)
    torch.testing.assert_close(up(x_BTHWC, None)[0], copies)


@torch.no_grad()
def test_the_kernel_that_halves_time_sees_the_frame_before_the_two() -> None:
    layer, x = CosmosDownsample(1, 2, 1), torch.arange(1.0, 7).reshape(1, 6, 1, 1, 1)
    assert layer.conv2 is not None
    layer.conv2.weight.copy_(torch.tensor([100.0, 10, 1]).reshape(1, 1, 3, 1))
    layer.conv3.conv.weight.fill_(1)
    expected, parts, state = [112 + 1.5, 234 + 3.5, 456 + 5.5], list[Tensor](), None
    for chunk in torch.split(x, [2, 4], dim=1):
        y, state = layer(chunk, state)
        parts.append(y)
    assert torch.cat(parts, 1).flatten().tolist() == expected


def test_a_decoder_takes_captions() -> None:
    captions = FilmConfig(input=CaptionInput(length=5, vocabulary=11, features=None), width=8, dropout=0.1)
    config = small_cosmos()
    plain, conditional = CosmosTokenizer(config).eval(), CosmosTokenizer(replace(config, condition=captions)).eval()
    assert conditional.conditional
    assert not plain.conditional
    missing = conditional.load_state_dict(plain.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    assert all(name.startswith("decoder.condition.") for name in missing.missing_keys)
    codes, spec = plain.encode(noise_clip(1, 5, 8, 8))[0], plain.spec(8, 8)
    torch.testing.assert_close(conditional.decode(codes, spec)[0], plain.decode(codes, spec)[0])


def test_what_decides_codes_is_the_encoder_and_the_window() -> None:
    config = small_cosmos()
    for other in (replace(config, decoder_blocks=1), replace(config, decoder_widths=(8, 8, 8, 8), spread_weight=0.1)):
        assert other.encoding == config.encoding
    for other in (replace(config, window=5), replace(config, encoder_blocks=2), replace(config, f_t=8)):
        assert other.encoding != config.encoding


def test_the_state_of_another_layer_is_refused() -> None:
    layer, other = CosmosTimeAttention(4, 3), CosmosTimeAttention(4, 5)
    x = torch.randn(1, 1, 1, 1, 4)
    state: State = other(x, None)[1]
    with pytest.raises(ValueError, match="state of another layer"):
        layer(x, state)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"f_t": 2}, "f_t = 2"),
        ({"f_s": 4}, "f_s = 4"),
        ({"encoder_widths": (8, 8, 8)}, "encoder_widths"),
        ({"decoder_widths": (8, 8, 8, 0)}, "decoder_widths"),
        ({"encoder_blocks": 0}, "encoder_blocks = 0"),
        ({"decoder_blocks": 0}, "decoder_blocks = 0"),
        ({"latent_channels": 0}, "latent_channels = 0"),
        ({"window": 1}, "window = 1"),
        ({"spread_weight": -1.0}, "spread_weight = -1"),
    ],
)
def test_impossible_settings_are_refused_by_name(changes: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        replace(small_cosmos(), **changes)  # type: ignore[arg-type]
