"""First weights from a model whose encoder gives more channels."""

from dataclasses import replace

import pytest
import torch

from tests.tokenizer.models import FSQ_1000, noise_clip, small_config
from tokenizer.networks.kinds import make_tokenizer
from tokenizer.networks.layouts import GRID, LayoutConfig, LineConfig
from tokenizer.quantize import ContinuousConfig
from videogen.training.tokenizer.init_weights import with_channels_of

LINE = LineConfig(tokens=6, width=16, heads=2, blocks=1, decoder_blocks=1)


@pytest.mark.parametrize("layout", [GRID, LINE], ids=["grid", "line"])
def test_without_log_variances_the_latents_are_the_same(layout: LayoutConfig) -> None:
    config = replace(small_config(quantizer=FSQ_1000), layout=layout)
    given = make_tokenizer(replace(config, quantizer=ContinuousConfig(dim=4, kl_weight=1e-3))).eval()
    for weights in given.parameters():
        torch.nn.init.normal_(weights, std=0.1)
    fresh = make_tokenizer(config).eval()
    own = fresh.state_dict()
    fresh.load_state_dict({name: with_channels_of(own[name], w, 4, 8) for name, w in given.state_dict().items()})
    clip = noise_clip(1, 5, 16, 24)
    assert torch.equal(fresh.encode_latents(clip)[0], given.encode_latents(clip)[0])
