"""VidTok keeps the laws of tokenizers."""

from dataclasses import replace

import pytest
import torch

from interfaces.prior import Text
from interfaces.text import CaptionInput
from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import FSQ_1000, noise_clip
from tokenizer.foreign.vidtok.config import VidTokConfig
from tokenizer.foreign.vidtok.layers import between
from tokenizer.laws import STILL_CLIP, check, influence
from tokenizer.networks.condition.config import FilmConfig
from tokenizer.networks.condition.fixed import FixedCondition
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.layouts import GridConfig

SMALL = VidTokConfig("1.0", (8, 12, 16), blocks=1, time_down=(0, 1), time_up=(1, 2), quantizer=FSQ_1000)
DEEP = replace(SMALL, widths=(8, 8, 16, 16, 16), time_down=(2, 3), time_up=(1, 2))  # as 4 x 16 x 16
EIGHT = replace(SMALL, widths=(8, 8, 16, 16), time_down=(0, 1, 2), time_up=(1, 2, 3))  # as 8 x 8 x 8


def model_of(config):
    torch.manual_seed(0)
    return make_tokenizer(config).eval()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("config", [SMALL, DEEP, EIGHT], ids=["4 x 4 x 4", "4 x 16 x 16", "8 x 8 x 8"])
def test_the_laws_of_tokenizers_hold(config, version):
    clip = noise_clip(1, 2 + 2 * config.f_t, config.f_s, 2 * config.f_s)
    verdicts = list(check(model_of(replace(config, version=version)), clip, [[1, 0, 2, 3]], 1e-4))
    assert [verdict for verdict in verdicts if not verdict.held] == []
    assert [verdict.law for verdict in verdicts if verdict.skipped] == ([STILL_CLIP] if version == "1.0" else [])


def test_only_version_1_1_begins_as_if_nothing_had_moved():
    still = noise_clip(1, 1, 8, 8).expand(-1, -1, 9, -1, -1)
    for version, same in (("1.0", False), ("1.1", True)):
        codes = encode_clip(model_of(replace(SMALL, version=version)).double(), still.double())
        assert bool((codes == codes[:, :1]).all()) == same


def test_version_1_1_gives_a_frame_as_soon_as_no_later_latent_frame_changes_it():
    model = model_of(replace(SMALL, version="1.1"))
    spec = model.spec(8, 8)
    assert (spec.delay, model.causal) == (1, True)
    latents = model.encode_latents_parallel(noise_clip(1, 13, 8, 8)).detach().requires_grad_()
    frames = model.decode_latents_parallel(latents, spec)
    seen = [influence(frames[:, :, number], latents, keep=1).nonzero().max().item() for number in range(13)]
    assert seen == [0, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3]
    state, given = None, []
    for number in range(4):
        clip, state = model.decode_latents(latents[:, number : number + 1], spec, state)
        given.append(clip.shape[2])
    assert given == [seen.count(0), seen.count(1), seen.count(2), seen.count(3) - 3]
    assert model.decode_latents_tail(state).shape[2] == 3
    assert model.decode_tail(None) is None
    _, state = model.decode_latents(latents[:, :1], spec)
    assert model.decode_tail(state) is None


def test_a_caption_reaches_the_frames_that_are_held_back():
    condition = FilmConfig(8, 0.1, input=CaptionInput(6, vocabulary=20))
    model = model_of(replace(SMALL, version="1.1", condition=condition))
    for name, weights in model.named_parameters():
        if ".condition." in name:
            weights.data.normal_(std=0.3)
    mask = torch.ones(1, 6, dtype=torch.bool)
    text = Text(torch.arange(6)[None], mask)
    assert all(verdict.held for verdict in check(FixedCondition(model, text), noise_clip(1, 10, 4, 8), [[1, 1]], 1e-4))
    codes, spec = encode_clip(model, noise_clip(1, 9, 4, 8)), model.spec(4, 8)
    tails = []
    for caption in (text, Text(text.content + 9, mask)):
        _, state = model.decode(codes[:, :2], spec, model.begin_decoding(caption))
        tails.append(model.decode_tail(state))
    assert not torch.equal(*tails)


def test_frames_lie_between_their_neighbors():
    x_BTHWC = torch.tensor([0.0, 4, 12]).view(1, 3, 1, 1, 1)
    assert between(x_BTHWC).flatten().tolist() == [0, 1, 3, 6, 10, 12]


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_every_weight_learns(version):
    model = make_tokenizer(replace(SMALL, version=version, spread_weight=0.1))
    out = model(noise_clip(2, 9, 12, 12))
    (out.clip.square().mean() + sum(out.losses.values())).backward()
    without = [name for name, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert without == []
    assert model.last_layer.shape == (3, 3 * 8, 3, 3)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("version", "1.2", r"version = '1.2' must be one of 1.0, 1.1"),
        ("widths", (8, 12), r"widths = \(8, 12\): expected 3 to 5"),
        ("blocks", 0, r"blocks = 0 must be at least 1"),
        ("time_down", (1, 2), r"time_down = \(1, 2\): expected at most 3 different levels, 0 to 1"),
        ("time_up", (1, 1), r"time_up = \(1, 1\): expected"),
        ("time_up", (1,), r"time_up = \(1,\) must name as many levels as time_down"),
        ("layout", GridConfig(merge=3), "merge = 3"),
    ],
)
def test_a_wrong_setting_is_named(field, value, message):
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **{field: value})


def test_what_decides_codes():
    assert replace(SMALL, spread_weight=1.0, condition=FilmConfig(8, 0.1)).encoding == SMALL.encoding
    assert replace(SMALL, version="1.1").encoding != SMALL.encoding
