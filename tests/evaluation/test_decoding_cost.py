"""The memory and the operations of decoding are those of real tensors, though they are counted on fake ones."""

import copy

import pytest
import torch
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tests.tokenizer.foreign.test_vidtok import SMALL
from tests.tokenizer.models import small_config
from tokenizer.networks.kinds import TokenizerConfig, make_tokenizer
from videogen.checkpoint import write_folder
from videogen.clip_spec import ClipSpec
from videogen.evaluation.info.decoding import ATTENTION, LiveBytes, decoding_cost
from videogen.models import load_tokenizer, tokenizer_files


def test_live_bytes_are_of_tensors_that_are_there_at_once() -> None:
    with LiveBytes() as live:
        one = torch.ones(256)
        view = one[:128]
        del one
        assert live.now == 1024, "a view keeps the storage"
        two = torch.ones(512)
        del view
        three = torch.ones(64)
        assert (live.now, live.most) == (2048 + 256, 1024 + 2048)
        two.add_(1)
        del two, three
    assert (live.now, live.most) == (0, 3072)


@pytest.mark.parametrize("config", [small_config(), SMALL], ids=["cnn", "vidtok"])
@torch.no_grad()
def test_the_cost_is_that_of_real_tensors(tmp_path, config: TokenizerConfig) -> None:
    weights = make_tokenizer(config).eval().state_dict()
    clips = ClipSpec(64, 64, 8.0, 9)
    write_folder(tmp_path / "model", tokenizer_files(config, clips, weights, "# a card"))
    model = load_tokenizer(tmp_path / "model")
    network, spec = copy.deepcopy(model.network).double(), model.spec  # in float32 a CPU has ways of its own
    latents = torch.zeros(1, 1, spec.tokens, network.quantizer.dim, dtype=torch.float64)
    _, state = network.decode_latents(latents, spec, None)
    held = sum(each.untyped_storage().nbytes() for each in tree_leaves(state) if isinstance(each, torch.Tensor))
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter, LiveBytes() as live:
        network.decode_latents(latents, spec, state)
    cost = decoding_cost(model)
    assert cost is not None
    assert cost.operations == counter.get_total_flops() > 0
    assert 2 * cost.bytes == pytest.approx(held + live.most, rel=0.02)


def test_a_tokenizer_of_whole_clips_has_no_stream(tmp_path) -> None:
    config = small_config(causal=False)
    weights = make_tokenizer(config).state_dict()
    write_folder(tmp_path / "model", tokenizer_files(config, ClipSpec(64, 64, 8.0, 9), weights, "# a card"))
    assert decoding_cost(load_tokenizer(tmp_path / "model")) is None
