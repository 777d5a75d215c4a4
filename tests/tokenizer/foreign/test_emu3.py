"""The Emu3 vision tokenizer keeps the laws of tokenizers; its first latent frame holds as many frames as the others."""

import random
from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from interfaces.prior import Text
from interfaces.text import CaptionInput
from interfaces.tokenizer import encode_clip
from tests.tokenizer.foreign.emu3 import SMALL, emu3_model
from tests.tokenizer.models import noise_clip, random_plan
from tokenizer.foreign.emu3.norms import FrameGroupNorm, StoredNorm
from tokenizer.laws import STILL_CLIP, a_state_does_not_grow, any_chunk_plan_gives_the_offline_result, check
from tokenizer.networks.condition.config import FilmConfig
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.layouts import GridConfig
from tokenizer.streaming import flatten_state, unflatten_state

DEEP = replace(SMALL, widths=(32, 32, 32, 64), f_t=2, attention=())  # as 2 x 8 x 8


@pytest.mark.parametrize("config", [SMALL, DEEP], ids=["4 x 4 x 4", "2 x 8 x 8"])
def test_the_laws_of_tokenizers_hold(config):
    model, clip = emu3_model(config), noise_clip(1, 1 + 2 * config.f_t, config.f_s, 2 * config.f_s)
    verdicts = list(check(model, clip, [[1, 0, 2]], 1e-4))
    assert [verdict for verdict in verdicts if not verdict.held] == []
    assert [verdict.law for verdict in verdicts if verdict.skipped] == [STILL_CLIP]


def test_any_chunk_plan_gives_the_offline_result():
    draw, model, clip = random.Random(0), emu3_model(SMALL), noise_clip(2, 11, 4, 8)
    assert len(encode_clip(model, clip).unique()) > 4
    verdict = any_chunk_plan_gives_the_offline_result(model, clip, random_plan(11, draw))
    assert verdict.held, verdict.detail


def test_memory_is_flat_over_many_latent_frames():
    verdict = a_state_does_not_grow(emu3_model(SMALL), noise_clip(1, 8, 4, 4), 8)
    assert verdict.held, verdict.detail


def test_frames_wait_until_the_first_latent_frame_is_full():
    model, clip = emu3_model(SMALL), noise_clip(1, 8, 8, 4)
    spec, whole = model.spec(8, 4), encode_clip(model, clip)
    assert (spec.first_frames, spec.video_frames(2), spec.latent_frames(5)) == (4, 8, 2)
    none, state = model.encode(clip[:, :, :2])
    assert none.shape[1] == 0
    codes, _ = model.encode(clip[:, :, 2:], unflatten_state(flatten_state(state)))
    assert torch.equal(codes, whole)
    assert torch.equal(model.encode_tail(state), encode_clip(model, clip[:, :, [0, 1, 1, 1]]))


def test_an_image_is_four_times_the_same_frame():
    model, image = emu3_model(SMALL), noise_clip(2, 1, 8, 8)
    codes = encode_clip(model, image)
    assert torch.equal(codes, model.encode(image.expand(-1, -1, 4, -1, -1))[0])
    decoded = model.decode(codes, model.spec(8, 8))[0]
    assert decoded.shape[2] == 4
    torch.testing.assert_close(model(image).clip.clamp(-1, 1), decoded[:, :, :1], atol=1e-4, rtol=0)


def test_stored_statistics_stay_as_they_are():
    model, clip = emu3_model(SMALL), noise_clip(2, 8, 8, 8)
    before = {name: tensor.clone() for name, tensor in model.named_buffers()}
    with torch.no_grad():
        evaluated, trained = model(clip).clip, model.train()(clip).clip
    assert torch.equal(evaluated, trained)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.named_buffers())


def test_every_weight_learns():
    model = make_tokenizer(replace(SMALL, spread_weight=0.1))
    out = model(noise_clip(2, 9, 8, 12))
    (out.clip.square().mean() + sum(out.losses.values())).backward()
    without = [name for name, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert without == []
    assert model.last_layer.shape == (3, 32, 3, 3)


def test_norms_are_those_of_torch():
    torch.manual_seed(0)
    x_BTHWC = 3 + torch.randn(2, 3, 4, 5, 64).double()
    groups, stored, batch = FrameGroupNorm(64).double(), StoredNorm(64).double(), torch.nn.BatchNorm3d(64).double()
    for weights in (*groups.parameters(), *stored.parameters(), stored.running_mean, stored.running_var):
        weights.data.uniform_(0.5, 2)
    batch.load_state_dict(stored.state_dict(), strict=False)
    frames_NCHW = x_BTHWC.flatten(0, 1).movedim(-1, 1)
    expected = F.group_norm(frames_NCHW, 32, groups.weight, groups.bias, eps=1e-6).movedim(1, -1)
    torch.testing.assert_close(groups(x_BTHWC).flatten(0, 1), expected)
    torch.testing.assert_close(stored(x_BTHWC), batch.eval()(x_BTHWC.movedim(-1, 1)).movedim(1, -1))
    assert torch.equal(groups(x_BTHWC[1:, 2:]), groups(x_BTHWC)[1:, 2:])


@torch.no_grad()
def test_a_decoder_takes_captions_which_leave_the_guide_alone():
    film = FilmConfig(input=CaptionInput(length=5, vocabulary=11), width=8, dropout=0.1)
    plain, conditional = emu3_model(SMALL), make_tokenizer(replace(SMALL, condition=film)).eval()
    missing = conditional.load_state_dict(plain.state_dict(), strict=False)
    assert missing.unexpected_keys == []
    assert all(name.startswith("decoder.condition.") for name in missing.missing_keys)
    assert len(conditional.decoder.condition_layers) == 6  # two blocks of each level
    codes, spec = encode_clip(plain, noise_clip(1, 8, 8, 4)), plain.spec(8, 4)
    assert torch.equal(conditional.decode(codes, spec)[0], plain.decode(codes, spec)[0])
    for weights in conditional.decoder.condition.parameters():
        weights.add_(0.5 * torch.randn_like(weights))
    text = Text(torch.tensor([[1, 2, 3, 0, 0]]), torch.tensor([[True, True, True, False, False]]))
    told, state = conditional.decode(codes[:, :1], spec, conditional.begin_decoding(text))
    assert not torch.equal(told, conditional.decode(codes[:, :1], spec)[0])
    both = torch.cat([told, conditional.decode(codes[:, 1:], spec, state)[0]], 2)
    assert torch.equal(both, conditional.decode(codes, spec, conditional.begin_decoding(text))[0])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("f_t", 3, "f_t = 3 must be one of 1, 2, 4, 8"),
        ("widths", (32, 64), r"widths = \(32, 64\): expected 3 to 5 multiples of 32"),
        ("widths", (32, 48, 64), r"widths = \(32, 48, 64\): expected"),
        ("blocks", 0, "blocks = 0 must be at least 1"),
        ("attention", (3,), r"attention = \(3,\): expected different levels, 0 to 2"),
        ("attention", (1, 1), r"attention = \(1, 1\): expected different"),
        ("layout", GridConfig(merge=3), "merge = 3"),
    ],
)
def test_a_wrong_setting_is_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **{field: value})


def test_what_decides_codes():
    film = FilmConfig(8, 0.1)
    assert replace(SMALL, spread_weight=1.0, condition=film).encoding == SMALL.encoding
    for other in (replace(SMALL, attention=()), replace(SMALL, f_t=2), replace(SMALL, blocks=2)):
        assert other.encoding != SMALL.encoding
