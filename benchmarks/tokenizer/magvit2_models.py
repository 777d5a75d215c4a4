"""Two video tokenizers behind one interface: ours and magvit2-pytorch's, at the same compression and number of codes.

17 x 64 x 64 pixels become 5 x 8 x 8 tokens out of 64,000 in both; the peer gets finite scalar quantization too, which
it offers, so that quantizers do not decide. Two stacks of the peer, both within 10 % of our parameters:

magvit2        the list of layers from its README, its widths scaled down
magvit2_short  one residual unit per level and no attention: the fastest stack of that compression that we found

The peer is trained without its discriminator and perceptual loss, so all minimize the mean squared error. It needs its
own environment, because it requires torchvision, whose other builds do not load with a CPU build of torch:

    python -m venv PEER
    PEER/bin/pip install "torch==2.13.0"            # the same build as ours
    PEER/bin/pip install --no-deps "magvit2-pytorch==0.5.1" "torchvision==0.28.*"
    PEER/bin/pip install accelerate beartype einops ema-pytorch gateloop-transformer kornia opencv-python-headless \\
        pillow pytorch-custom-utils pytorch-warmup taylor-series-linear-attention vector-quantize-pytorch x-transformers
"""

import functools
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

LEVELS = (8, 8, 8, 5, 5, 5)
SIDE = 64
OURS = "ours"

README_LAYERS = (
    "residual",
    "compress_space",
    ("consecutive_residual", 2),
    "compress_space",
    ("consecutive_residual", 2),
    "linear_attend_space",
    "compress_space",
    ("consecutive_residual", 2),
    "attend_space",
    "compress_time",
    ("consecutive_residual", 2),
    "compress_time",
    ("consecutive_residual", 2),
    "attend_time",
)
SHORT_LAYERS = (*("residual", "compress_space") * 3, *("residual", "compress_time") * 2, "residual")


@dataclass(frozen=True)
class LayerStack:
    """The layers of the peer; widths double with each compression up to `max_dim`."""

    layers: tuple[Any, ...]
    init_dim: int
    max_dim: int


BASELINES = {"magvit2": LayerStack(README_LAYERS, 16, 72), "magvit2_short": LayerStack(SHORT_LAYERS, 16, 120)}


@dataclass(frozen=True)
class Contender:
    """A tokenizer to benchmark; clips are [B, 3, 17, 64, 64] in [-1, 1], codes [B, 5, ...]."""

    parameters: list[nn.Parameter]
    encode: Callable[[Tensor], Tensor]  # a clip to codes, without gradients
    decode: Callable[[Tensor], Tensor]  # codes to a clip, without gradients, not necessarily clamped
    loss: Callable[[Tensor], Tensor]  # to minimize: mean squared error + the quantizer's own terms


def prepare(name: str) -> Callable[[], Contender]:
    """Imports what the contender needs without building it, to measure the memory of the libraries."""
    if name == OURS:
        importlib.import_module("tokenizer.networks.cnn")
        return ours
    return functools.partial(magvit2, import_magvit2(), BASELINES[name])


def ours() -> Contender:
    from interfaces.tokenizer import encode_clip
    from tokenizer.networks.cnn import CNNTokenizer
    from tokenizer.networks.config import CNNTokenizerConfig
    from tokenizer.quantize import FSQConfig

    config = CNNTokenizerConfig(
        f_t=4,
        f_s=8,
        front="haar",
        front_t=4,
        front_s=4,
        encoder_widths=(96, 192),
        encoder_blocks=(1, 2),
        decoder_widths=(96, 192),
        decoder_blocks=(2, 3),
        attention=True,
        kernel_t=3,
        quantizer=FSQConfig(LEVELS),
        spread_weight=0.1,
    )
    model = CNNTokenizer(config)

    def loss(clip_BCTHW: Tensor) -> Tensor:
        seen = model(clip_BCTHW)
        total: Tensor = (seen.clip - clip_BCTHW).square().mean() + torch.stack(list(seen.losses.values())).sum()
        return total

    spec = model.spec(64, 64)
    encode, decode = partial(encode_clip, model), lambda codes: model.decode(codes, spec)[0]
    return Contender(list(model.parameters()), encode, decode, loss)


def magvit2(library: Any, stack: LayerStack) -> Contender:
    model = library.VideoTokenizer(
        image_size=SIDE,
        layers=stack.layers,
        init_dim=stack.init_dim,
        max_dim=stack.max_dim,
        use_fsq=True,
        fsq_levels=list(LEVELS),
        use_gan=False,
        perceptual_loss_weight=0.0,
        discr_kwargs={"dim": 8, "max_dim": 8, "image_size": SIDE, "channels": 3},
    )
    del model.discr  # built even without the adversarial loss; removed, so that its memory does not count

    def loss(clip_BCTHW: Tensor) -> Tensor:
        total: Tensor = model.train()(clip_BCTHW, return_loss=True)[0]
        return total

    decode = torch.no_grad()(model.decode_from_code_indices)
    return Contender(list(model.parameters()), model.tokenize, decode, loss)


def import_magvit2() -> Any:
    """The peer's package, also if the compiled part of torchvision does not load: nothing here calls it."""
    if not torchvision_loads():
        declare_operators()
    return importlib.import_module("magvit2_pytorch")


@functools.cache  # the declaration lives as long as its object
def declare_operators() -> torch.library.Library:
    """Declares the two operators that the Python part of torchvision expects."""
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for operator in ("nms", "qnms"):
        schema = f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    return library


def torchvision_loads() -> bool:
    """Whether the compiled part of torchvision loads."""
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        raise SystemExit(
            "torchvision is missing in this environment; see the docstring of benchmarks/tokenizer/magvit2_models.py"
        )
    library = next(iter(Path(spec.origin).parent.glob("_C*.so")), None)
    if library is None:
        return False
    try:
        torch.ops.load_library(library)  # type: ignore[no-untyped-call]
    except OSError:
        return False
    return True
