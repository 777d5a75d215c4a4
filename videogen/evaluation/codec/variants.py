"""What a model is measured with: each way to code that it has, on the same frames."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BytesIO
from time import perf_counter, process_time

import torch
from torch import Tensor

from videogen.codec.compress import compress
from videogen.codec.container import ChunkReader
from videogen.codec.decompress import Decompressor
from videogen.codec.figures import CodecFigures
from videogen.codec.settings import AnyModel, CodecSettings, Source, tokenizer_of
from videogen.errors import UsageError
from videogen.generation.reconstruct import round_trip
from videogen.models import PriorModel, TokenizerModel, keep_first_tokens


@dataclass(frozen=True)
class CodecPlan:
    """Which ways to code are measured."""

    probabilities: tuple[Source, ...] | None = None  # None: all that the model has
    steps: tuple[int, ...] = (1, 4, 8)  # of a masked prior
    captions: bool = False  # whether the prior is told what a clip shows, which is then in the file
    chunk: int = 8


@dataclass(frozen=True, eq=False)
class CodecVariant:
    """One way to code. Variants of one curve differ in their quality alone, by their numbers of tokens."""

    curve: str
    model: AnyModel
    settings: CodecSettings
    steps: int | None = None  # of a masked prior; None: none
    tokens: int | None = None  # so many first ones of each latent frame; None: all

    @property
    def name(self) -> str:
        return self.curve if self.tokens is None else f"{self.curve}, {self.tokens} tokens"


@dataclass(frozen=True, eq=False)
class CodedClip:
    frames: Tensor  # uint8 [T, H, W, 3], read back from the file
    figures: CodecFigures  # of writing
    encode_seconds: float  # of CPU time, on a CPU
    decode_seconds: float
    coder_share: float  # of the time to write and to read


def variants_of(model: AnyModel, plan: CodecPlan) -> list[CodecVariant]:
    """UsageError for probabilities that the model does not have."""
    chosen = plan.probabilities or sources_of(model)
    if plan.captions and (not isinstance(model, PriorModel) or model.conditioner is None):
        raise UsageError(f"{model.path}: has no prior that takes captions")
    made = prior_variants(model, plan) if "prior" in chosen else []
    tokenizer = tokenizer_of(model)
    for source in chosen:
        if source != "prior":
            settings = CodecSettings(source, chunk=plan.chunk)
            made += [CodecVariant(source, kept, settings, tokens=tokens) for kept, tokens in prefixes_of(tokenizer)]
    return made


def sources_of(model: AnyModel) -> tuple[Source, ...]:
    """All that the model has."""
    by_prior = isinstance(model, PriorModel) and model.network.likelihood
    return ("prior", "adaptive", "flat") if by_prior else ("adaptive", "flat")


def prior_variants(model: AnyModel, plan: CodecPlan) -> list[CodecVariant]:
    settings, told = CodecSettings("prior", chunk=plan.chunk), ", captions" if plan.captions else ""
    if isinstance(model, PriorModel) and model.network.autoregressive:
        return [CodecVariant(f"prior, token by token{told}", model, settings)]
    names = {steps: f"prior, {steps} step{'s' * (steps > 1)}{told}" for steps in sorted(set(plan.steps))}
    return [CodecVariant(name, model, replace(settings, steps=steps), steps) for steps, name in names.items()]


def prefixes_of(tokenizer: TokenizerModel) -> list[tuple[TokenizerModel, int | None]]:
    """The tokenizer with each number of first tokens that decodes; itself where there is no choice."""
    counts = tokenizer.prefixes
    return [(keep_first_tokens(tokenizer, count), count) for count in counts] if counts else [(tokenizer, None)]


def code_clip(variant: CodecVariant, frames: Tensor, fps: float, caption: str) -> CodedClip:
    """Writes and reads a clip uint8 [T, H, W, 3], in memory."""
    clock, file = clock_of(tokenizer_of(variant.model)), BytesIO()
    settings, (_, height, width, _) = replace(variant.settings, prompt=caption), frames.shape
    began = clock()
    for written in compress(variant.model, iter(frames.numpy()), (height, width), fps, settings, file):  # noqa: B007
        pass
    between = clock()
    reader = ChunkReader(BytesIO(file.getvalue()), variant.name)
    decompressor = Decompressor(variant.model, reader)
    found = torch.cat(list(decompressor.frames()))
    ended = clock()
    seconds = [figures.seconds for figures in (written, decompressor.figures)]
    coder = sum(each["coder"] for each in seconds) / sum(sum(each.values()) for each in seconds)
    return CodedClip(found, written, between - began, ended - between, coder)


def own_reconstruction(tokenizer: TokenizerModel, frames: Tensor) -> Tensor:
    """What the tokenizer itself makes of a clip: `videogen reconstruct`."""
    return torch.cat([piece.frames for piece in round_trip(tokenizer.network, iter(frames.numpy()))])


def clock_of(tokenizer: TokenizerModel) -> Callable[[], float]:
    """CPU time on a CPU, so that other programs do not count."""
    return process_time if tokenizer.device.type == "cpu" else perf_counter
