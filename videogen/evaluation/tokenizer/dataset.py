"""Evaluates a tokenizer on an indexed dataset."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from interfaces.tokenizer import State, decode_clip, encode_clip
from tokenizer.quantize.usage import TableUsage, Usage
from videogen.clip_spec import ClipSpec
from videogen.data import ClipDataset, load_index
from videogen.evaluation.distances.distance import Distance
from videogen.evaluation.distances.extractor import Extractor
from videogen.evaluation.distances.frechet import FeatureStatistics
from videogen.evaluation.report.folder import write_figures
from videogen.evaluation.report.line_charts import Series, line_chart
from videogen.evaluation.tokenizer.disentanglement import Disentanglement
from videogen.evaluation.tokenizer.metrics import Totals, merge_totals, psnr
from videogen.evaluation.tokenizer.reconstruction import draw_pairs
from videogen.evaluation.tokenizer.video import reconstruction_figures
from videogen.io.pixels import to_clip, to_frames
from videogen.models import TokenizerModel
from videogen.models.perceptual import load_lpips

OnProgress = Callable[[int, int], None]
SAMPLES = 8


def evaluate_tokenizer(
    model: TokenizerModel,
    data: Path,
    index: Path | None = None,
    spec: ClipSpec | None = None,
    most: int | None = None,
    lpips: Path | None = None,
    extractors: Sequence[Extractor] = (),
    out: Path | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Figures over one clip of each entry, at most `most`, at the tokenizer's own clip size or that of `spec`.

    Clips are encoded and decoded in streaming form. A decoder with a condition is given their captions;
    `psnr_without_caption` is the PSNR when it is given nothing. Refused and short entries are skipped and counted.
    Charts and reconstructions are written to `out`. `disentanglement` is among the figures where captions tell
    attributes. LPIPS and the Frechet distances of `extractors` are of frames as bytes; distances are those of the
    reconstructions to the same clips, and `pinned` says what they depend on.
    """
    dataset = ClipDataset(load_index(data, index), spec or model.clips, seed=0, max_bad_fraction=1.0)
    tokens = model.network.spec(dataset.spec.height, dataset.spec.width)
    device = model.network.device
    look = None if lpips is None else load_lpips(lpips).to(device)
    count = min(len(dataset), most or len(dataset))
    usage, disentanglement = Usage.none(tokens.codebooks), Disentanglement(tokens)
    each, uncaptioned, by_frame, distances = [], [], [], []
    features: dict[str, tuple[list[Tensor], list[Tensor]]] = {each.key: ([], []) for each in extractors}
    drawn: list[tuple[Tensor, Tensor]] = []
    prefixes: dict[int, list[Tensor]] = {count: [] for count in model.prefixes} if out is not None else {}
    with torch.no_grad():
        for number in range(count):
            sample = dataset.sample(0, number)
            original = torch.from_numpy(sample.clip)
            clip = to_clip(original[None].to(device))
            codes = encode_clip(model.network, clip)
            start = model.begin_decoding([sample.caption])
            decoded = decode_clip(model.network, codes, tokens, start)[:, :, : len(original)]
            if start is not None:
                without = to_frames(decode_clip(model.network, codes, tokens)[:, :, : len(original)])[0].cpu()
                uncaptioned.append(Totals().plus_frames(without, original))
            frames = to_frames(decoded)[0].cpu()
            each.append(Totals().plus_frames(frames, original))
            by_frame.append(psnr(frames, original))
            usage = usage.plus(codes)
            disentanglement.add(sample.caption, codes[0])
            for first, values in prefixes.items():
                values.append(psnr_of_first(model, codes, first, original, start))
            if look is not None:
                distances.append(float(look(to_clip(frames[None].to(device)), clip, number)))
            for extractor in extractors:
                for side, shown in zip(features[extractor.key], (frames, original), strict=True):
                    side.append(extractor(shown[None].numpy()))
            if len(drawn) < SAMPLES:
                drawn.append((original, frames))
            if on_progress is not None:
                on_progress(number + 1, count)
    figures = {
        "clips": count,
        "skipped": {"refused": len(dataset.refused), "too short": len(dataset.short)},
        **reconstruction_figures(merge_totals(each), usage, tokens, dataset.spec.height * dataset.spec.width),
        **({"psnr_without_caption": merge_totals(uncaptioned).quality().psnr} if uncaptioned else {}),
        "lpips": sum(distances) / count if distances else None,
        **frechet_figures(extractors, features, dataset.spec.frames),
    }
    if look is not None:
        figures["pinned"] = {"lpips": {"network": look.variant}, **figures.get("pinned", {})}
    if (attributes := disentanglement.figures()) is not None:
        figures["disentanglement"] = attributes
    by_tokens = {first: float(torch.cat(each).mean()) for first, each in prefixes.items()}
    if by_tokens:
        figures["psnr_of_first_tokens"] = {str(first): value for first, value in by_tokens.items()}
    if out is not None:
        write_figures(out, figures)
        write_charts(out, dataset.spec.fps, torch.stack(by_frame).mean(0), usage, drawn)
        if by_tokens:
            curve = Series("all clips", list(by_tokens), list(by_tokens.values()))
            chart = line_chart("PSNR from the first tokens alone", "tokens of a latent frame", "dB", [curve])
            (out / "tokens.svg").write_text(chart, encoding="utf-8")
    return figures


def frechet_figures(
    extractors: Sequence[Extractor], features: dict[str, tuple[list[Tensor], list[Tensor]]], frames: int
) -> dict[str, Any]:
    """The distance of each extractor and what it depends on; nothing for a single clip."""
    found, pinned = dict[str, Any](), dict[str, Any]()
    for extractor in extractors:
        made, true = features[extractor.key]
        reference = FeatureStatistics.of(torch.cat(true), extractor.population)
        distance = Distance(extractor, reference, "the same clips")
        if (value := distance.of(made)) is not None:
            found[extractor.key], pinned[extractor.key] = value, distance.pinned(frames, len(made))
    return {**found, "pinned": pinned} if found else {}


def psnr_of_first(
    model: TokenizerModel, codes_BTNK: Tensor, tokens: int, original: Tensor, decoder: State = None
) -> Tensor:
    """PSNR of each frame, decoded from the first tokens of each latent frame alone."""
    spec = model.spec_of(*original.shape[1:3]).resized([(tokens,)])
    decoded = decode_clip(model.network, codes_BTNK[:, :, :tokens], spec, decoder)
    return psnr(to_frames(decoded[:, :, : len(original)])[0].cpu(), original)


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
