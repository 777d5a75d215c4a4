import math
import random
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from tests.tokenizer.models import StripeTokenizer, noise_clip, random_plan, small_config, small_model
from tests.tokenizer.quantize.families import FAMILIES
from tokenizer import laws
from tokenizer.networks.blocks import FrameAttention, ResidualBlock
from tokenizer.networks.convolution import FrameConv

SHAPES = [
    {"f_t": 1, "f_s": 4, "front": "patch"},
    {"f_t": 1, "f_s": 4, "front": "patch", "front_s": 1, "kernel_t": 2},
    {"f_t": 1, "f_s": 8, "front": "haar", "kernel_t": 1},
    {"f_t": 2, "f_s": 4, "front": "haar", "front_s": 1},
    {"f_t": 2, "f_s": 8, "front": "patch", "front_t": 1},
    {"f_t": 4, "f_s": 8, "front": "haar"},
    {"f_t": 4, "f_s": 8, "front": "haar", "front_t": 1, "kernel_t": 2},
    {"f_t": 4, "f_s": 16, "front": "haar", "front_t": 2, "front_s": 4},
    {"f_t": 4, "f_s": 8, "front": "haar", "front_t": 2, "kernel_t": 1},
    {"f_t": 8, "f_s": 8, "front": "patch", "front_t": 4, "channels": 1},
    {"f_t": 8, "f_s": 16, "front": "haar", "kernel_t": 4},
]


@pytest.fixture(params=SHAPES, ids=lambda shape: "-".join(f"{name}={value}" for name, value in shape.items()))
def shape(request):
    return request.param


def random_clip(shape, draw, most_frames=23):
    batch, f_s = draw.choice([1, 1, 2]), shape["f_s"]
    height, width = f_s * draw.randint(1, 3), f_s * draw.randint(1, 3)
    return noise_clip(batch, draw.randint(1, most_frames), height, width, shape.get("channels", 3), draw.randint(0, 99))


def test_any_chunk_plan_gives_the_offline_result(shape):
    draw = random.Random(str(shape))
    model = small_model(small_config(**shape))
    for _ in range(4):
        clip = random_clip(shape, draw)
        for plan in ([1] * clip.shape[2], random_plan(clip.shape[2], draw), random_plan(clip.shape[2], draw)):
            verdict = laws.any_chunk_plan_gives_the_offline_result(model, clip, plan)
            assert verdict.held, (tuple(clip.shape), plan, verdict.detail)


def test_the_training_path_is_the_streaming_path(shape):
    draw = random.Random(str(shape))
    model = small_model(small_config(**shape)).double()
    for _ in range(2):
        clip = random_clip(shape, draw).double()
        frames = 1 + (clip.shape[2] - 1) // shape["f_t"] * shape["f_t"]
        verdict = laws.streaming_is_the_training_path(model, clip[:, :, :frames], 1e-10)
        assert verdict.held, verdict.detail


def test_the_training_path_is_the_streaming_path_in_float32():
    model = small_model(small_config())
    verdict = laws.streaming_is_the_training_path(model, noise_clip(2, 13, 32, 24), 1e-4)
    assert verdict.held, verdict.detail


def test_no_output_depends_on_the_future(shape):
    draw = random.Random(str(shape))
    model = small_model(small_config(**shape))
    clip = random_clip(shape, draw, most_frames=1)[:1].expand(-1, -1, 1 + 3 * shape["f_t"], -1, -1)
    clip = clip + 0.1 * torch.randn_like(clip)
    for law in (laws.encoder_is_causal, laws.decoder_is_causal):
        verdict = law(model, clip)
        assert verdict.held, (law.__name__, verdict.detail)


def test_a_state_can_be_used_twice_and_does_not_grow(shape):
    model = small_model(small_config(**shape))
    clip = noise_clip(1, 2 + 2 * shape["f_t"], shape["f_s"], 2 * shape["f_s"], shape.get("channels", 3))
    for verdict in (laws.a_state_can_be_used_twice(model, clip), laws.a_state_does_not_grow(model, clip, 5)):
        assert verdict.held, verdict


def test_while_nothing_moves_the_codes_stand_still(shape):
    model = small_model(small_config(**shape))
    verdict = laws.a_still_clip_has_still_codes(model, noise_clip(2, 1, 32, 32, shape.get("channels", 3)), 4)
    assert verdict.held, verdict.detail


@pytest.mark.parametrize("family", FAMILIES)
def test_the_laws_hold_for_every_quantizer(family):
    draw = random.Random(family)
    shape = draw.choice(SHAPES)
    model = small_model(small_config(**shape, quantizer=FAMILIES[family]))
    clip = random_clip(shape, draw)
    for _ in range(3):
        plan = random_plan(clip.shape[2], draw)
        verdict = laws.any_chunk_plan_gives_the_offline_result(model, clip, plan)
        assert verdict.held, (tuple(clip.shape), plan, verdict.detail)
    still = noise_clip(1, 2 + 2 * shape["f_t"], shape["f_s"], 2 * shape["f_s"], shape.get("channels", 3))
    assert laws.a_state_can_be_used_twice(model, still).held
    assert laws.every_token_survives(model).held
    assert laws.every_token_survives(model, most=10).held


def test_all_laws_hold_and_none_is_skipped(shape):
    model = small_model(small_config(**shape))
    clip = noise_clip(1, 2 + 2 * shape["f_t"], shape["f_s"], 2 * shape["f_s"], shape.get("channels", 3))
    verdicts = list(laws.check(model, clip, [[1, 0, 1]], 1e-4))
    assert all(verdict.held for verdict in verdicts), verdicts
    assert not any(verdict.skipped for verdict in verdicts)


def test_laws_that_a_tokenizer_offers_nothing_for_are_skipped():
    verdicts = {verdict.law: verdict for verdict in laws.check(StripeTokenizer(), noise_clip(1, 10, 8, 8), [[3]], 1e-4)}
    assert all(verdict.held for verdict in verdicts.values()), verdicts
    skipped = {law for law, verdict in verdicts.items() if verdict.skipped}
    assert skipped == {
        laws.TRAINING_PATH, laws.CAUSAL_ENCODER, laws.CAUSAL_DECODER, laws.STILL_CLIP, laws.ROUND_TRIP
    }  # fmt: skip


def test_a_wrong_count_of_frames_is_found(monkeypatch):
    model, clip = StripeTokenizer(), noise_clip(1, 10, 8, 8)
    assert laws.counts_are_those_of_the_spec(model, clip).held
    monkeypatch.setattr(
        model, "spec", lambda height, width: replace(StripeTokenizer().spec(height, width), first_frames=1)
    )
    assert not laws.counts_are_those_of_the_spec(model, clip).held


@pytest.mark.parametrize("codebooks", [(3, 4), (1024,) * 8])
def test_tokens_are_spread_over_the_whole_codebook(codebooks):
    tokens = laws.spread_tokens(codebooks, most=4096)
    assert len(tokens) == min(4096, math.prod(codebooks))
    assert len(tokens.unique(dim=0)) == len(tokens)
    assert tokens.amin(0).tolist() == [0] * len(codebooks)
    assert (tokens.amax(0) < torch.tensor(codebooks)).all()


def test_a_lost_code_is_found(monkeypatch):
    model = small_model(small_config())
    to_codes = model.quantizer.to_codes
    monkeypatch.setattr(model.quantizer, "to_codes", lambda latents: to_codes(latents).clamp_max(6))
    assert not laws.every_token_survives(model).held


class NormOverTime(nn.Module):
    """GroupNorm as public tokenizers use it, over time as well: the mistake that the laws are there to catch."""

    def forward(self, x_BTHWC: Tensor) -> Tensor:
        return (x_BTHWC - x_BTHWC.mean((1, 2, 3), keepdim=True)) / x_BTHWC.std((1, 2, 3), keepdim=True)


class BlindToTheFirst(FrameConv):
    def forward(self, x_BTHWC: Tensor) -> Tensor:
        y = super().forward(x_BTHWC)
        return y * (torch.arange(y.shape[1]) > 0).view(1, -1, 1, 1, 1)


def test_the_laws_catch_a_model_that_normalizes_over_time():
    model, clip = small_model(small_config()), noise_clip(1, 13, 16, 16)
    for stack in (model.encoder, model.decoder):
        next(layer for layer in stack.layers if isinstance(layer, ResidualBlock)).norm = NormOverTime()
    assert not laws.encoder_is_causal(model, clip).held
    assert not laws.decoder_is_causal(model, clip).held
    assert not laws.streaming_is_the_training_path(model, clip, 1e-3).held


def test_the_laws_catch_a_model_that_does_not_look_at_a_frame():
    model, clip = small_model(small_config()), noise_clip(1, 13, 16, 16)
    first = model.encoder.layers[0].conv
    model.encoder.layers[0] = BlindToTheFirst(first.in_channels, first.out_channels, 3)
    verdict = laws.encoder_is_causal(model, clip)
    assert not verdict.held
    assert "does not move" in verdict.detail


def test_the_laws_catch_a_layer_that_keeps_state_on_itself(monkeypatch):
    model, clip = small_model(small_config()), noise_clip(1, 13, 16, 16)
    calls = iter(range(1000))
    attention = next(layer for layer in model.encoder.layers if isinstance(layer, FrameAttention))
    monkeypatch.setattr(attention, "forward", lambda x: x.roll(next(calls), -1))
    assert not laws.any_chunk_plan_gives_the_offline_result(model, clip, [1, 4, 4]).held
    assert not laws.a_state_can_be_used_twice(model, clip).held
