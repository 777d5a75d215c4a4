"""All that a clip adds to the evaluation of a tokenizer: measured here, or by workers that load the tokenizer once."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from interfaces.tokenizer import State, decode_clip, encode_clip
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, load_index
from videogen.errors import CheckpointError
from videogen.evaluation.distances.folders import extractors_of
from videogen.evaluation.tokenizer.metrics import Totals, psnr
from videogen.executors.base import Executor, in_order, only_value, with_errors
from videogen.io.pixels import to_clip, to_frames
from videogen.models import TokenizerModel, load_tokenizer
from videogen.models.perceptual import load_lpips
from videogen.system.threads import one_thread

SAMPLES = 8  # clips that are drawn
CLIPS_OF_TASK = 4


@dataclass(frozen=True)
class MeasureFolders:
    """Of pretrained networks."""

    lpips: Path | None = None
    i3d: Path | None = None
    transnet: Path | None = None

    @property
    def named(self) -> list[Path]:
        return [folder for folder in (self.lpips, self.i3d, self.transnet) if folder is not None]


@dataclass(frozen=True)
class ClipMeasures:
    """Of one clip; tensors on the CPU."""

    caption: str
    codes_BTNK: Tensor
    totals: Totals
    psnr_T: Tensor
    uncaptioned: Totals | None  # of a decoder with a condition that is given none
    first_tokens: dict[int, Tensor]  # PSNR of each frame from so many first tokens
    lpips: float | None
    features: dict[str, tuple[Tensor, Tensor]]  # by distance: of the reconstruction and of the original
    drawn: tuple[Tensor, Tensor] | None  # the original and its reconstruction


class ClipMeasurer:
    """A tokenizer, clips, and the networks of the measures."""

    def __init__(
        self, model: TokenizerModel, data: Path, index: Path | None, spec: ClipSpec | None, folders: MeasureFolders
    ) -> None:
        self.model, self.device = model, model.network.device
        self.dataset = ClipDataset(load_index(data, index), spec or model.clips, seed=0, max_bad_fraction=1.0)
        self.tokens = model.network.spec(self.dataset.spec.height, self.dataset.spec.width)
        self.look = None if folders.lpips is None else load_lpips(folders.lpips).to(self.device)
        self.extractors = extractors_of(folders.i3d, folders.transnet, str(self.device))

    @torch.no_grad()
    def measure(self, number: int, prefixes: Sequence[int] = ()) -> ClipMeasures:
        """Encode and decode one clip in streaming form."""
        model, sample = self.model, self.dataset.sample(0, number)
        original = torch.from_numpy(sample.clip)
        clip = to_clip(original[None].to(self.device))
        codes = encode_clip(model.network, clip)
        start = model.begin_decoding([sample.caption])
        frames = self._decoded(codes, len(original), start)
        plain = None if start is None else totals_of(self._decoded(codes, len(original)), original)
        shown = None if self.look is None else to_clip(frames[None].to(self.device))
        sides = (frames, original)
        return ClipMeasures(
            caption=sample.caption,
            codes_BTNK=codes.cpu(),
            totals=totals_of(frames, original),
            psnr_T=psnr(frames, original),
            uncaptioned=plain,
            first_tokens={first: psnr_of_first(model, codes, first, original, start) for first in prefixes},
            lpips=None if self.look is None else float(self.look(shown, clip, number)),
            features={each.key: tuple(each(s[None].numpy()) for s in sides) for each in self.extractors},  # type: ignore[misc]
            drawn=(original, frames) if number < SAMPLES else None,
        )

    def _decoded(self, codes_BTNK: Tensor, frames: int, start: State = None) -> Tensor:
        decoded = decode_clip(self.model.network, codes_BTNK, self.tokens, start)[:, :, :frames]
        return to_frames(decoded)[0].cpu()


def totals_of(frames: Tensor, original: Tensor) -> Totals:
    """On one thread, because the last bits of a sum over many pixels depend on the number of threads."""
    with one_thread():
        return replace(Totals().plus_frames(frames, original), last=None)


def psnr_of_first(
    model: TokenizerModel, codes_BTNK: Tensor, tokens: int, original: Tensor, decoder: State = None
) -> Tensor:
    """PSNR of each frame, decoded from the first tokens of each latent frame alone."""
    spec = model.spec_of(*original.shape[1:3]).resized([(tokens,)])
    decoded = decode_clip(model.network, codes_BTNK[:, :, :tokens], spec, decoder)
    return psnr(to_frames(decoded[:, :, : len(original)])[0].cpu(), original)


@dataclass(frozen=True)
class WorkerSetup:
    """What a worker opens before its first clip."""

    model: Path
    fingerprint: str
    tokens: int | None
    device: str
    threads: int
    data: Path
    index: Path | None
    spec: ClipSpec
    folders: MeasureFolders
    prefixes: tuple[int, ...]


def measure_with(executor: Executor, setup: WorkerSetup, clips: int) -> Iterator[ClipMeasures]:
    """The measures of so many clips, in order."""
    executor.check([setup.model, setup.data, *setup.folders.named, *([setup.index] if setup.index else [])])
    tasks = [range(first, min(first + CLIPS_OF_TASK, clips)) for first in range(0, clips, CLIPS_OF_TASK)]
    work = functools.partial(with_errors, functools.partial(_measure_some, setup))
    for task, result in zip(tasks, in_order(executor.run_each(work, tasks)), strict=True):
        yield from only_value(result, f"clips {task.start} to {task.stop - 1}")


def _measure_some(setup: WorkerSetup, numbers: range) -> list[ClipMeasures]:
    measurer = _opened(setup)
    return [measurer.measure(number, setup.prefixes) for number in numbers]


@functools.lru_cache(1)
def _opened(setup: WorkerSetup) -> ClipMeasurer:
    torch.set_num_threads(setup.threads)
    model = load_tokenizer(setup.model, setup.device, setup.tokens)
    if model.fingerprint != setup.fingerprint:
        raise CheckpointError(f"{setup.model}: the tokenizer was replaced while it was evaluated")
    return ClipMeasurer(model, setup.data, setup.index, setup.spec, setup.folders)
