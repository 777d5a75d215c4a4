"""Weights go from a file to their place: the same bits as through a float32 network, and no second copy of it."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from benchmarks.prior.loading import STATUS, peak_of
from interfaces.tokens import TokenGroup, TokenSpec
from prior.head_config import DepthConfig, FlatConfig, FlowConfig
from tests.pipeline.tiny import tiny_tokenizer
from tests.prior.models import WORDS, tiny_config, tiny_pixelcnn
from tests.tokenizer.foreign.cosmos import small_cosmos
from tests.tokenizer.foreign.test_vidtok import SMALL as VIDTOK
from tests.tokenizer.models import small_config, small_factorized
from tests.tokenizer.networks.test_layouts import LAYOUTS
from tests.tokenizer.networks.test_transformer_tokenizer import CONFIG as TRANSFORMER
from tests.tokenizer.quantize.combinations import COMBINATIONS
from tests.tokenizer.quantize.families import FAMILIES
from videogen.checkpoint import read_folder, write_folder
from videogen.clip_spec import ClipSpec
from videogen.models import prior_files
from videogen.models.registry import PRIORS, TOKENIZERS, kind_of
from videogen.models.weights import fill, parameters_without_memory

CONTINUOUS = TokenSpec((), (TokenGroup("tokens", (2, 3)),), 4, channels=2)
QUANTIZERS = {**FAMILIES, **COMBINATIONS}
CONFIGS: dict[str, Any] = {
    "llama": tiny_config(context=WORDS),
    "llama in order": tiny_config("autoregressive", head=DepthConfig(layers=1, width=8, heads=2)),
    "flat": tiny_config(head=FlatConfig()),
    "flow": tiny_config(spec=CONTINUOUS, head=FlowConfig(layers=1, steps=3)),
    "pixelcnn": tiny_pixelcnn(context=WORDS),
    "factorized": small_factorized(),
    "transformer": TRANSFORMER,
    "cosmos": small_cosmos(),
    "vidtok": VIDTOK,
    **{name: replace(small_config(), layout=LAYOUTS[name]) for name in ("keyframes", "pyramid", "line_nested")},
    **{
        name: replace(small_config(), quantizer=QUANTIZERS[name])
        for name in ("vq", "vq-gradient", "soft-gumbel", "dual")
    },
}
BYTES = 48 * 2**20


def kind_for(config: Any) -> Any:
    kinds = TOKENIZERS if hasattr(config, "encoding") else PRIORS
    return kinds[kind_of(config, kinds)]


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_the_bits_are_those_of_a_float32_network_that_is_converted(tmp_path: Path, config: Any) -> None:
    """Values, types and strides of weights and of all tables, whatever type they were stored in."""
    torch.manual_seed(0)
    made = kind_for(config).make(config)
    for weights in made.parameters():
        nn.init.normal_(weights)
    stored = {name: each.half() if each.is_floating_point() else each for name, each in made.state_dict().items()}
    write_folder(tmp_path / "folder", {"model.safetensors": stored})
    for dtype in (None, torch.bfloat16):
        expected = kind_for(config).make(config)
        expected.load_state_dict(stored)
        expected.to(dtype)
        with parameters_without_memory():
            network = kind_for(config).make(config)
        assert all(weights.is_meta for weights in network.parameters())
        fill(network, read_folder(tmp_path / "folder").each_tensor("model.safetensors"), torch.device("cpu"), dtype)
        ours, theirs = tensors_of(network), tensors_of(expected)
        assert ours.keys() == theirs.keys()
        for name, tensor in ours.items():
            assert (tensor.dtype, tensor.stride()) == (theirs[name].dtype, theirs[name].stride()), name
            assert torch.equal(tensor, theirs[name]), name


def tensors_of(network: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(network.named_parameters(remove_duplicate=False)), **dict(network.named_buffers())}


def test_other_weights_are_refused() -> None:
    weights = {"weight": torch.ones(2, 3), "bias": torch.ones(2)}
    for given, message in (
        ({**weights, "gate": torch.ones(1)}, "gate is not one of its tensors"),
        ({**weights, "bias": torch.ones(1)}, r"bias has the shape \[1\]; expected \[2\]"),
        ({"bias": weights["bias"]}, "1 tensors are missing, such as weight"),
    ):
        with parameters_without_memory():
            network = nn.Linear(3, 2)
        with pytest.raises(ValueError, match=message):
            fill(network, given.items(), torch.device("cpu"))


def test_other_threads_and_later_modules_have_memory() -> None:
    made: list[nn.Module] = []
    with parameters_without_memory():
        thread = threading.Thread(target=lambda: made.append(nn.Linear(2, 2)))
        thread.start()
        thread.join()
    made.append(nn.Linear(2, 2))
    assert not any(weights.is_meta for module in made for weights in module.parameters())


@pytest.mark.skipif(not STATUS.exists(), reason="the system does not say how much memory was used")
@pytest.mark.slow
def test_a_model_in_bfloat16_is_loaded_in_the_memory_of_its_file(tmp_path: Path) -> None:
    """The largest resident set of a process that loads it, over the size of its weights: one copy, and a rest."""
    tokenizer = tiny_tokenizer(tmp_path)
    for name, hidden in (("small", 32), ("large", BYTES // 2 // (48 * 3 * 8))):
        config = replace(tiny_config(spec=tokenizer.spec, layers=8), hidden=hidden)
        with parameters_without_memory():
            shapes = PRIORS["llama"].make(config).state_dict()
        weights = {key: torch.ones(each.shape, dtype=torch.bfloat16) for key, each in shapes.items()}
        clips = ClipSpec(16, 24, 8.0, 9)
        write_folder(tmp_path / name, prior_files(tokenizer, config, clips, weights, None, "# a card"))
    peak, stored = peak_of(tmp_path / "small", tmp_path / "large", "bfloat16")
    file = (tmp_path / "large" / "prior" / "model.safetensors").stat().st_size
    assert 0.99 < stored / file <= 1.0
    assert 0.9 < peak / file < 1.4, "a copy in float32 would be 2 more, a mapped file 1"
