"""The transformer tokenizer keeps the laws of tokenizers and learns."""

from dataclasses import replace

import pytest
import torch

from interfaces.tokenizer import encode_clip
from tests.tokenizer.models import FSQ_1000, moving_squares, noise_clip
from tests.tokenizer.networks.test_transformer import SMALL, strong
from tokenizer.laws import check
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.layouts import CoarseFineConfig, GridConfig
from tokenizer.networks.transformer.tokenizer import TransformerTokenizer
from tokenizer.quantize import VQConfig

CONFIG = replace(SMALL, quantizer=FSQ_1000)
CONFIGS = {
    "fsq": CONFIG,
    "vq": replace(CONFIG, quantizer=VQConfig(size=64, dim=4)),
    "patch": replace(CONFIG, front="patch", f_t=1, window_t=2, window=3),
    "coarse_fine": replace(CONFIG, layout=CoarseFineConfig(width=8)),
}


def model_of(config):
    torch.manual_seed(0)
    return strong(make_tokenizer(config)).eval()


@pytest.mark.parametrize("name", CONFIGS)
def test_the_laws_of_tokenizers_hold(name):
    config = CONFIGS[name]
    model = model_of(config)
    clip = noise_clip(2, 2 + 4 * config.f_t, 4 * config.f_s, 6 * config.f_s)
    verdicts = list(check(model, clip, [[1, 2, 3], [1, 0, 1]], 1e-4))
    assert [verdict for verdict in verdicts if not verdict.held or verdict.skipped] == []


def test_codes_are_the_same_alone_and_in_a_batch():
    model = model_of(CONFIG).requires_grad_(False)
    clip = noise_clip(3, 7, 12, 20)
    codes, spec = encode_clip(model, clip), model.spec(12, 20)
    assert torch.equal(codes, torch.cat([encode_clip(model, clip[b : b + 1]) for b in range(3)]))
    pixels = model.decode(codes, spec)[0]
    assert torch.equal(pixels, torch.cat([model.decode(codes[b : b + 1], spec)[0] for b in range(3)]))


def test_a_centered_window_sees_later_frames_and_cannot_stream():
    model = model_of(replace(CONFIG, causal=False))
    broken = {verdict.law for verdict in check(model, noise_clip(1, 9, 8, 8), [[1, 4]], 1e-4) if not verdict.held}
    assert {"the encoder is causal", "the decoder is causal", "any chunk plan gives the offline result"} <= broken
    assert model.state_dict().keys() == model_of(CONFIG).state_dict().keys()
    state = model.encode(noise_clip(1, 9, 8, 8))[1]
    with pytest.raises(ValueError, match="not causal cannot stream"):
        model.encode(noise_clip(1, 2, 8, 8), state)


def test_it_learns_moving_squares():
    torch.manual_seed(0)
    model, clips = TransformerTokenizer(replace(CONFIG, f_t=4, f_s=8, width=32)), moving_squares(4, 9, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(40):
        out = model(clips)
        errors.append((out.clip - clips).square().mean().item())
        loss = (out.clip - clips).abs().mean() + torch.stack(list(out.losses.values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert min(errors[-5:]) < 0.35 * clips.var().item() < errors[0]


def test_every_weight_learns():
    model = TransformerTokenizer(CONFIG)
    out = model(noise_clip(2, 9, 12, 12))
    (out.clip.square().mean() + sum(out.losses.values())).backward()
    without = [name for name, weights in model.named_parameters() if weights.grad is None or not weights.grad.any()]
    assert without == []


def test_a_layout_that_does_not_fit_is_named():
    with pytest.raises(ValueError, match="merge = 4"):
        replace(CONFIG, layout=GridConfig(merge=4))
