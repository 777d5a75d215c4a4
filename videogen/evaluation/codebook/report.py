"""`videogen evaluate codebook`: whether a codebook lives, in figures, charts and pictures."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizer.quantize.base import Quantizer
from tokenizer.quantize.pair import QuantizerPair
from videogen.data import ClipDataset, load_index
from videogen.errors import CheckpointError
from videogen.evaluation.codebook import charts, pictures
from videogen.evaluation.codebook.bits import size_bits
from videogen.evaluation.codebook.books import Book, books_of
from videogen.evaluation.codebook.page import page_of
from videogen.evaluation.codebook.parts import CodebookPart, parts_of, separate_codebooks
from videogen.evaluation.codebook.survey import CodeSurvey, OnProgress, survey
from videogen.evaluation.codebook.usage import PartUsage
from videogen.evaluation.lab.runs import METRICS, log_lines
from videogen.evaluation.report.folder import write_figures
from videogen.models import TokenizerModel

PAGE = "README.md"


@dataclass(frozen=True, eq=False)
class CodebookLook:
    """All that is known about the codes of a tokenizer; without data no usages and no survey."""

    model: TokenizerModel
    parts: tuple[CodebookPart, ...]
    usages: tuple[PartUsage, ...]
    separate: tuple[PartUsage, ...]  # code by code, where a part has several
    books: tuple[Book, ...]
    survey: CodeSurvey | None
    training: dict[str, Any] | None


def evaluate_codebook(
    model: TokenizerModel,
    out: Path,
    data: Path | None = None,
    index: Path | None = None,
    most: int | None = None,
    run: Path | None = None,
    on_progress: OnProgress | None = None,
) -> dict[str, Any]:
    """Writes figures.json, charts, pictures and a page to `out`, and returns the figures.

    At most `most` clips of `data` are encoded; without `data` nothing is known about use. The perplexity over training
    comes from the log of the folder `run`, if it has one.
    """
    look = look_at(model, data, index, most, run, on_progress)
    figures = figures_of(look, data)
    write_figures(out, figures)
    written = write_charts(out, look, figures) + write_pictures(out, look)
    (out / PAGE).write_text(page_of(figures, written), encoding="utf-8")
    return figures


def look_at(
    model: TokenizerModel,
    data: Path | None,
    index: Path | None,
    most: int | None,
    run: Path | None,
    on_progress: OnProgress | None = None,
) -> CodebookLook:
    spec = model.spec
    if spec.continuous:
        raise CheckpointError(
            f"{model.path}: its tokens are continuous ({spec}); only a tokenizer with codes has a codebook"
        )
    parts = parts_of(spec.codebooks, quantizer_of(model))
    found = None
    if data is not None:
        dataset = ClipDataset(load_index(data, index), model.clips, seed=0, max_bad_fraction=1.0)
        leaves = list(dict.fromkeys(part.leaf for part in parts if part.leaf is not None))
        found = survey(model, leaves, dataset, min(len(dataset), most or len(dataset)), on_progress)
    usages = tuple(PartUsage.of(part, found.codes_CTNK) for part in parts) if found is not None else ()
    several = found is not None and len(parts) < len(spec.codebooks)
    separate = (
        tuple(PartUsage.of(part, found.codes_CTNK) for part in separate_codebooks(spec.codebooks))
        if found is not None and several
        else ()
    )
    return CodebookLook(model, parts, usages, separate, books_of(parts, usages, found), found, training_perplexity(run))


def quantizer_of(model: TokenizerModel) -> Quantizer | None:
    """The quantizer of a tokenizer's tokens, if it has one of ours for all of them."""
    quantizer = getattr(model.network, "quantizer", None)
    quantizer = quantizer.tokens if isinstance(quantizer, QuantizerPair) else quantizer
    return quantizer if isinstance(quantizer, Quantizer) else None


def training_perplexity(run: Path | None) -> dict[str, Any] | None:
    """Steps and perplexities of a run's log, of training batches and of held-out clips."""
    if run is None or not (run / METRICS).is_file():
        return None
    names = {"train": "training batch", "validation": "held-out clips"}
    lines = {
        name: [line for line in log_lines(run, kind) if line.get("perplexity") is not None]
        for kind, name in names.items()
    }
    return {
        name: {key: [line[key] for line in known] for key in ("step", "perplexity")}
        for name, known in lines.items()
        if known
    } or None


def figures_of(look: CodebookLook, data: Path | None) -> dict[str, Any]:
    model, found = look.model, look.survey
    parts = [usage.figures() for usage in look.usages]
    seen = None
    if found is not None:
        clips, latent_frames = found.codes_CTNK.shape[:2]
        seen = {
            "path": str(data),
            "clips": clips,
            "frames": model.clips.frames,
            "latent_frames": latent_frames,
            "tokens": found.tokens,
            "entropy_bits": sum(part["entropy_bits"] for part in parts),
        }
    return {
        "model": {
            "path": str(model.path),
            "fingerprint": model.fingerprint,
            "quantizer": str(getattr(model.config, "quantizer", model.spec)),
            "codebooks": list(model.spec.codebooks),
            "bits": sum(map(size_bits, model.spec.codebooks)),
        },
        "data": seen,
        "parts": parts,
        "codebooks": [usage.figures() for usage in look.separate],
        "quantizers": [book.figures() for book in look.books],
        "use_by_latent_frame": {usage.part.name: usage.share_by_position() for usage in look.usages},
        "training": look.training,
    }


def write_charts(out: Path, look: CodebookLook, figures: dict[str, Any]) -> list[str]:
    """The names of the charts that were written: those that there are figures for."""
    drawn = {}
    if look.usages:
        drawn = {
            "usage.svg": charts.usage_chart(look.usages),
            "ranks.svg": charts.rank_chart(look.usages),
            "bits.svg": charts.bits_chart([*figures["parts"], *figures["codebooks"]]),
            "positions.svg": charts.position_chart(look.usages),
            "chunks.svg": charts.chunk_chart(look.usages),
        }
    if look.training is not None:
        drawn["perplexity.svg"] = charts.perplexity_chart(look.training)
    for number, book in enumerate(look.books[: pictures.MOST_BOOKS], start=1):
        if book.whole or book.seen is not None:
            place = "distances.svg" if len(look.books) == 1 else f"distances_{number}.svg"
            drawn[place] = charts.distance_chart(book)
    for place, text in drawn.items():
        (out / place).write_text(text, encoding="utf-8")
    return list(drawn)


def write_pictures(out: Path, look: CodebookLook) -> list[str]:
    if not look.books:
        return []
    others_K = pictures.common_codes(look.parts, look.usages, len(look.model.spec.codebooks))
    pictures.cell_sheet(look.books).save(out / "voronoi.png")
    pictures.decoded_sheet(look.model, look.books, others_K).save(out / "decoded.png")
    return ["voronoi.png", "decoded.png"]
