"""Evaluates a tokenizer on an indexed dataset."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tokenizer.quantize.usage import TableUsage, Usage
from videogen.clip_spec import ClipSpec
from videogen.evaluation.distances.distance import Distance
from videogen.evaluation.distances.extractor import Extractor
from videogen.evaluation.distances.frechet import FeatureStatistics
from videogen.evaluation.report.folder import write_figures
from videogen.evaluation.report.line_charts import Series, line_chart
from videogen.evaluation.tokenizer.clip_measures import (
    ClipMeasurer,
    ClipMeasures,
    MeasureFolders,
    WorkerSetup,
    measure_with,
)
from videogen.evaluation.tokenizer.disentanglement import Disentanglement
from videogen.evaluation.tokenizer.metrics import merge_totals
from videogen.evaluation.tokenizer.reconstruction import draw_pairs
from videogen.evaluation.tokenizer.video import reconstruction_figures
from videogen.executors.base import Executor
from videogen.models import TokenizerModel

OnProgress = Callable[[int, int], None]


def evaluate_tokenizer(
    model: TokenizerModel,
    data: Path,
    index: Path | None = None,
    spec: ClipSpec | None = None,
    most: int | None = None,
    folders: MeasureFolders = MeasureFolders(),  # noqa: B008 - frozen
    out: Path | None = None,
    on_progress: OnProgress | None = None,
    executor: Executor | None = None,
    device: str | None = None,
) -> dict[str, Any]:
    """Figures over one clip of each entry, at most `most`, at the tokenizer's own clip size or that of `spec`.

    Clips are encoded and decoded in streaming form, here or by the workers of an `executor` on their own `device`. A
    decoder with a condition is given their captions; `psnr_without_caption` is the PSNR when it is given nothing.
    Refused and short entries are skipped and counted. Charts and reconstructions are written to `out`.
    `disentanglement` is among the figures where captions tell attributes. LPIPS and the Frechet distances of `folders`
    are of frames as bytes; distances are those of the reconstructions to the same clips, and `pinned` says what they
    depend on.
    """
    measurer = ClipMeasurer(model, data, index, spec, folders)
    dataset, tokens, look = measurer.dataset, measurer.tokens, measurer.look
    count = min(len(dataset), most or len(dataset))
    usage, disentanglement = Usage.none(tokens.codebooks), Disentanglement(tokens)
    measured: list[ClipMeasures] = []
    prefixes = tuple(model.prefixes) if out is not None else ()
    for clip in measures_of(measurer, count, prefixes, executor, (data, index, folders, device)):
        usage = usage.plus(clip.codes_BTNK)
        disentanglement.add(clip.caption, clip.codes_BTNK[0])
        measured.append(replace(clip, codes_BTNK=clip.codes_BTNK[:0]))
        if on_progress is not None:
            on_progress(len(measured), count)
    uncaptioned = [clip.uncaptioned for clip in measured if clip.uncaptioned is not None]
    totals = merge_totals([clip.totals for clip in measured])
    figures = {
        "clips": count,
        "skipped": {"refused": len(dataset.refused), "too short": len(dataset.short)},
        **reconstruction_figures(totals, usage, tokens, dataset.spec.height * dataset.spec.width),
        **({"psnr_without_caption": merge_totals(uncaptioned).quality().psnr} if uncaptioned else {}),
        "lpips": None if look is None else sum(clip.lpips or 0.0 for clip in measured) / count,
        **frechet_figures(measurer.extractors, [clip.features for clip in measured], dataset.spec.frames),
    }
    if look is not None:
        figures["pinned"] = {"lpips": {"network": look.variant}, **figures.get("pinned", {})}
    if (attributes := disentanglement.figures()) is not None:
        figures["disentanglement"] = attributes
    by_tokens = {first: float(torch.cat([clip.first_tokens[first] for clip in measured]).mean()) for first in prefixes}
    if by_tokens:
        figures["psnr_of_first_tokens"] = {str(first): value for first, value in by_tokens.items()}
    if out is not None:
        write_figures(out, figures)
        drawn = [clip.drawn for clip in measured if clip.drawn is not None]
        write_charts(out, dataset.spec.fps, torch.stack([clip.psnr_T for clip in measured]).mean(0), usage, drawn)
        if by_tokens:
            curve = Series("all clips", list(by_tokens), list(by_tokens.values()))
            chart = line_chart("PSNR from the first tokens alone", "tokens of a latent frame", "dB", [curve])
            (out / "tokens.svg").write_text(chart, encoding="utf-8")
    return figures


def measures_of(
    measurer: ClipMeasurer,
    clips: int,
    prefixes: tuple[int, ...],
    executor: Executor | None,
    places: tuple[Path, Path | None, MeasureFolders, str | None],
) -> Iterator[ClipMeasures]:
    """In order, measured here or by workers."""
    if executor is None or (executor.is_local and min(executor.workers, clips) == 1):
        return (measurer.measure(number, prefixes) for number in range(clips))
    (data, index, folders, device), model = places, measurer.model
    kept = model.prefixes[-1] if model.prefixes else None
    where = (model.path, model.fingerprint, kept, device or str(measurer.device), executor.threads)
    setup = WorkerSetup(*where, data, index, measurer.dataset.spec, folders, prefixes)
    return measure_with(executor, setup, clips)


def frechet_figures(
    extractors: Sequence[Extractor], features: Sequence[dict[str, tuple[Tensor, Tensor]]], frames: int
) -> dict[str, Any]:
    """The distance of each extractor and what it depends on; nothing for a single clip."""
    found, pinned = dict[str, Any](), dict[str, Any]()
    for extractor in extractors:
        made, true = zip(*(of_clip[extractor.key] for of_clip in features), strict=True)
        reference = FeatureStatistics.of(torch.cat(true), extractor.population)
        distance = Distance(extractor, reference, "the same clips")
        if (value := distance.of(made)) is not None:
            found[extractor.key], pinned[extractor.key] = value, distance.pinned(frames, len(made))
    return {**found, "pinned": pinned} if found else {}


def write_charts(out: Path, fps: float, psnr_T: Tensor, usage: Usage, pairs: list[tuple[Tensor, Tensor]]) -> None:
    """Writes `psnr.svg`, `codes.svg` for discrete tokens, `reconstructions.png` and `reconstructions.mp4`."""
    frames = list(range(len(psnr_T)))
    quality = Series("all clips", frames, psnr_T.tolist())
    (out / "psnr.svg").write_text(line_chart("PSNR along the clip", "frame", "dB", [quality]), encoding="utf-8")
    if usage.tables:
        (out / "codes.svg").write_text(code_chart(usage), encoding="utf-8")
    originals, reconstructions = (torch.stack(side).numpy() for side in zip(*pairs, strict=True))
    draw_pairs(originals, reconstructions, fps, out / "reconstructions")


def code_chart(usage: Usage) -> str:
    named = ["seen"] if len(usage.tables) == 1 else [f"codebook {place}" for place in range(len(usage.tables))]
    ranks = [ranks_of(table, name) for table, name in zip(usage.tables, named, strict=True)]
    even = Series("uniform use", [1, max(table.size for table in usage.tables)], [1.0, 1.0])
    return line_chart("Code usage, most common first", "code rank", "multiple of uniform use", [*ranks, even])


def ranks_of(table: TableUsage, name: str) -> Series:
    """How often each entry was seen, as multiples of its even share, the most common first."""
    ranks = torch.linspace(0, table.size - 1, min(400, table.size), dtype=torch.float64).round().long()
    counts = torch.zeros(len(ranks), dtype=torch.float64)
    seen = ranks < table.used
    counts[seen] = table.counts_U.sort(descending=True).values[ranks[seen]].double()
    return Series(name, (ranks + 1).tolist(), (counts / table.tokens * table.size).tolist())
