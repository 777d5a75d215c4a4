"""What a video is coded with: settings, the header that keeps them, and what a header asks of a model."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import torch

import videogen
from interfaces.tokens import TokenSpec
from sampling.config import SamplerConfig
from sampling.orders import STATIC_ORDERS
from tokenizer.quantize import ResidualConfig
from videogen.codec.container import LARGEST_CHUNK, Header
from videogen.codec.probabilities import AdaptiveProbabilities, FlatProbabilities, PriorProbabilities, Probabilities
from videogen.errors import CheckpointError, UsageError
from videogen.generate import read_prompt
from videogen.models import PriorModel, TokenizerModel
from videogen.models.fewer_codes import keep_first_levels, keep_first_tokens

AnyModel: TypeAlias = TokenizerModel | PriorModel
Source: TypeAlias = Literal["prior", "adaptive", "flat"]
SOURCES: tuple[Source, ...] = get_args(Source)
TOKEN_BY_TOKEN = "autoregressive"
FINGERPRINT = 16  # hexadecimal digits of a model's


@dataclass(frozen=True)
class CodecSettings:
    """How a video is coded."""

    probabilities: Source = "prior"
    order: str | None = None  # None: that of the prior: token by token, or halton
    steps: int = 8  # in which a masked prior codes a latent frame: more take more time and fewer bits
    prompt: str = ""
    chunk: int = 8  # latent frames of a chunk: fewer are sooner there, more take fewer bytes
    scene: float | None = None  # seconds after which a new scene begins, where a reader can start; None: one scene

    def __post_init__(self) -> None:
        if self.probabilities not in SOURCES:
            raise UsageError(f"probabilities is {self.probabilities}; expected one of {', '.join(SOURCES)}")
        for name, most in (("steps", 1 << 16), ("chunk", LARGEST_CHUNK)):
            if not 1 <= getattr(self, name) <= most:
                raise UsageError(f"{name} is {getattr(self, name)}; expected 1 to {most}")
        if self.scene is not None and not self.scene > 0:
            raise UsageError(f"scene is {self.scene:g} seconds; expected more than 0")


def tokenizer_of(model: AnyModel) -> TokenizerModel:
    return model.tokenizer if isinstance(model, PriorModel) else model


def coded_spec(model: AnyModel, height: int, width: int) -> TokenSpec:
    """The tokens of frames of this size; UsageError where they cannot be coded."""
    tokenizer = tokenizer_of(model)
    tokenizer.check_causal()
    try:
        spec = tokenizer.spec_of(height, width)
    except ValueError as error:
        raise UsageError(f"{tokenizer.path}: {error}") from None
    if spec.continuous:
        raise UsageError(f"{tokenizer.path}: its tokens are continuous; only codes can be written without loss")
    return spec


def header_of(model: AnyModel, settings: CodecSettings, size: tuple[int, int], fps: float) -> Header:
    """UsageError for settings that the model cannot code with."""
    order = settings.order
    if settings.probabilities == "prior":
        order = prior_order(model, order)
        fingerprint = model.fingerprint
        if settings.prompt and (not isinstance(model, PriorModel) or model.conditioner is None):
            raise UsageError(f"{model.path}: its prior takes no prompt")
    else:
        fingerprint = tokenizer_of(model).fingerprint
        if settings.prompt or order is not None:
            raise UsageError("a prompt and an order are for the prior; adaptive and flat probabilities take none")
    spec = coded_spec(model, *size)
    return Header(
        model=fingerprint[:FINGERPRINT],
        height=size[0],
        width=size[1],
        fps=float(fps),
        probabilities=settings.probabilities,
        order=order or "",
        steps=settings.steps,
        prompt=settings.prompt,
        tokens=spec.tokens,
        depth=spec.depth,
        chunk=settings.chunk,
        made=made_with(model),
    )


def prior_order(model: AnyModel, order: str | None) -> str:
    if not isinstance(model, PriorModel):
        raise UsageError(f"{model.path}: has no prior; choose the probabilities adaptive or flat")
    if not model.network.likelihood:
        raise UsageError(f"{model.path}: its prior knows no probabilities of tokens; choose adaptive or flat")
    orders = (TOKEN_BY_TOKEN,) if model.network.autoregressive else STATIC_ORDERS
    if order is not None and order not in orders:
        raise UsageError(f"order is {order}; this prior codes in the order {' or '.join(orders)}")
    return order or (TOKEN_BY_TOKEN if model.network.autoregressive else "halton")


def made_with(model: AnyModel) -> dict[str, str]:
    """What the probabilities of a prior depend on to the last bit, beside the model."""
    weights = next(iter(model.network.parameters()))
    return {
        "videogen": videogen.__version__,
        "torch": torch.__version__.partition("+")[0],
        "device": weights.device.type,
        "kernel": torch.backends.cpu.get_cpu_capability(),
        "precision": str(weights.dtype).removeprefix("torch."),
    }


def fitting(model: AnyModel, header: Header) -> AnyModel:
    """The model, or one that makes only as many codes of a latent frame as the file has."""
    spec = coded_spec(model, header.height, header.width)
    if isinstance(model, PriorModel):
        return model
    if header.tokens < spec.tokens:
        model = keep_first_tokens(model, header.tokens)
    if header.depth < spec.depth and isinstance(model.config.quantizer, ResidualConfig):
        model = keep_first_levels(model, header.depth * model.config.quantizer.depth // spec.depth)
    return model


def check_model(model: AnyModel, header: Header, name: str) -> None:
    """CheckpointError unless it is the model that the file was made with."""
    by_prior = header.probabilities == "prior"
    if by_prior and not isinstance(model, PriorModel):
        raise CheckpointError(f"{model.path}: has no prior, and {name} was made with one; give that model")
    fingerprint = model.fingerprint if by_prior else tokenizer_of(model).fingerprint
    if fingerprint[:FINGERPRINT] != header.model:
        raise CheckpointError(
            f"{model.path}: is another model ({fingerprint[:FINGERPRINT]}) than {name} was made with ({header.model})"
        )


def probabilities_of(model: AnyModel, header: Header, spec: TokenSpec) -> Probabilities:
    """Those that the header names, for a writer and a reader alike; UsageError if there are none of that name."""
    if header.probabilities == "adaptive":
        return AdaptiveProbabilities(spec)
    if header.probabilities == "flat":
        return FlatProbabilities(spec)
    if header.probabilities != "prior" or not isinstance(model, PriorModel):
        raise UsageError(f"probabilities {header.probabilities[:60]!a} are of a later version of videogen")
    text = None
    if header.prompt and model.conditioner is not None:
        text = model.conditioner([read_prompt(model, header.prompt)]).to(model.device)
    sampler = SamplerConfig(order=prior_order(model, header.order), steps=header.steps)  # type: ignore[arg-type]
    return PriorProbabilities(model.network, text, spec, sampler)
