"""A model with random weights, for measurements that do not depend on what a model has learned."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from prior.config import ContextConfig, PriorConfig
from prior.model import LlamaPrior
from tokenizer.networks.cnn import CNNTokenizer
from tokenizer.networks.config import CNNTokenizerConfig
from tokenizer.quantize import FSQConfig
from videogen.checkpoint import write_folder
from videogen.clip_spec import ClipSpec
from videogen.conditioning import BPEConfig, make_conditioner
from videogen.models import load_tokenizer, prior_files, tokenizer_files
from videogen.playroom.grammar import caption
from videogen.playroom.scene import sample_scenes

FPS, GRID, F_T, F_S = 8.0, 8, 4, 8


@dataclass(frozen=True)
class PriorSize:
    """The size of a prior."""

    width: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 128


def write_random_model(home: Path, grid: int = GRID, shape: PriorSize = PriorSize()) -> Path:
    """A model folder for frames of grid x grid tokens at 8 per second, full of detail; by default small and fast."""
    torch.manual_seed(0)
    captions = [caption(scene, number) for number, scene in enumerate(sample_scenes(200, 1))]
    conditioner = make_conditioner(BPEConfig(), captions)
    tokenizer = CNNTokenizer(tokenizer_config())
    with torch.no_grad():
        for parameter in tokenizer.decoder.parameters():
            parameter.mul_(1.5)
    clips = ClipSpec(F_S * grid, F_S * grid, FPS, 17)
    files = tokenizer_files(tokenizer.config, clips, tokenizer.state_dict(), "# random weights")
    write_folder(home / "tokenizer", files)
    known = load_tokenizer(home / "tokenizer")
    context = ContextConfig(conditioner.length, vocabulary=conditioner.vocabulary)
    config = PriorConfig(
        spec=known.spec,
        **asdict(shape),
        window=4,
        objective="masked",
        context=context,
    )
    weights = LlamaPrior(config).state_dict()
    write_folder(home / "model", prior_files(known, config, clips, weights, conditioner, "# random weights"))
    return home / "model"


def tokenizer_config() -> CNNTokenizerConfig:
    return CNNTokenizerConfig(
        f_t=F_T,
        f_s=F_S,
        front="haar",
        front_t=F_T,
        front_s=2,
        encoder_widths=(8, 12, 16),
        encoder_blocks=(1, 1, 1),
        decoder_widths=(8, 16, 20),
        decoder_blocks=(1, 1, 1),
        attention=False,
        kernel_t=2,
        quantizer=FSQConfig(levels=(8, 5, 5, 5)),
        spread_weight=0.0,
    )
