"""`videogen evaluate generation`: figures of sampler variants, drift over time, tables, charts and contact sheets."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from videogen.evaluation.distances.distance import TITLES, describe
from videogen.evaluation.generation.clip_sources import model_stream
from videogen.evaluation.generation.drift import DriftCurve, DriftPlan, attribute_loss, choose_streams
from videogen.evaluation.generation.evaluator import (
    ClipSetResult,
    Evaluator,
    fill_row,
    shuffled_baseline,
    split_progress,
)
from videogen.evaluation.generation.plan import EvaluationPlan, drift_curve, drift_names, empty_rows, source_of
from videogen.evaluation.generation.prompts import Prompts
from videogen.evaluation.report.bar_charts import Bars, Dot, bar_chart, dot_chart
from videogen.evaluation.report.folder import write_figures
from videogen.evaluation.report.line_charts import Series, line_chart
from videogen.evaluation.report.tables import aligned
from videogen.io.contact_sheet import contact_sheet
from videogen.pipeline import VideoPipeline

OnProgress = Callable[[int, int], None]
Evaluation = Callable[[list[ClipSetResult], OnProgress | None], dict[str, DriftCurve]]
DRIFT_ATTRIBUTES = ("objects", "colour", "shape", "size", "motion", "ground colour")  # as many as a chart has colors
MAX_LABEL = 16  # characters
CHARTS = {
    "attributes": "share of attributes right",
    "frechet": "Frechet distance",
    "fvd_i3d": "FVD",
    "frechet_transnet": "Frechet distance, TransNet",
    "change": "gray levels between frames",
}


def evaluate_generation(
    pipe: VideoPipeline,
    prompts: Prompts,
    plan: EvaluationPlan,
    evaluator: Evaluator,
    out: Path,
    on_progress: OnProgress | None = None,
    evaluate: Evaluation | None = None,
) -> dict[str, Any]:
    """Figures of each variant, of true clips and of chance, written to `out` with charts and contact sheets.

    `evaluate` fills the rows and returns the curves of drift; by default this process does.
    """
    rows = empty_rows(pipe, prompts, plan)
    curves = (evaluate or partial(evaluate_here, pipe, prompts, plan, evaluator))(rows, on_progress)
    first = len(rows) - len(plan.variants)
    figures = {
        "model": {"path": str(pipe.model.path), "fingerprint": pipe.model.fingerprint},
        "prompts": {"from": prompts.name, "count": len(prompts.captions)},
        "clips": {"frames": plan.frames, "fps": pipe.fps, "batch": effective_batch(prompts, plan), "seed": plan.seed},
        "pinned": evaluator.pinned(len(prompts.captions)),
        "rows": [
            *(row.figures(prompts, evaluator) for row in rows),
            *chance_results(rows[first], prompts, evaluator),
        ],
        "drift": None if plan.drift is None else drift_figures(plan.drift, curves),
    }
    write_figures(out, figures)
    write_charts(out, prompts, rows, figures, curves)
    return figures


def evaluate_here(
    pipe: VideoPipeline,
    prompts: Prompts,
    plan: EvaluationPlan,
    evaluator: Evaluator,
    rows: Sequence[ClipSetResult],
    on_progress: OnProgress | None,
) -> dict[str, DriftCurve]:
    next(model_stream(pipe, prompts.captions[:1], plan.variants[0], plan.seed))  # warm-up
    names = drift_names(prompts, plan)
    next_part = split_progress(len(rows) + len(names), on_progress)
    for number, row in enumerate(rows):
        fill_row(row, source_of(pipe, prompts, plan, number), prompts, evaluator, plan.batch, next_part())
    return {name: drift_curve(pipe, prompts, plan, evaluator, name, next_part()) for name in names}


def effective_batch(prompts: Prompts, plan: EvaluationPlan) -> int:
    return min(plan.batch, len(prompts.captions))


def chance_results(row: ClipSetResult, prompts: Prompts, evaluator: Evaluator) -> list[dict[str, Any]]:
    return [shuffled_baseline(row, prompts, evaluator)] if len(prompts.captions) > 1 and any(prompts.wanted) else []


def drift_figures(plan: DriftPlan, curves: dict[str, DriftCurve]) -> dict[str, Any]:
    each = {name: {**curve.figures(), "attributes_lost": attribute_loss(curve)} for name, curve in curves.items()}
    return {**asdict(plan), "curves": each}


def write_charts(
    out: Path, prompts: Prompts, rows: Sequence[ClipSetResult], figures: dict[str, Any], curves: dict[str, DriftCurve]
) -> None:
    """Writes `attributes.svg`, `speed.svg`, `drift_*.svg`, and `clips_*.png` with the errors of each clip."""
    judged = [row for row in figures["rows"] if row["oracle"] is not None]
    series = [
        Bars(row["name"], {"all right": row["oracle"]["all_correct"], **row["oracle"]["by_attribute"]})
        for row in judged
    ]
    if series:
        write_text(out / "attributes.svg", bar_chart("Share of attributes as in the prompt, by the oracle", series))
    dots = [Dot(row["name"], row["frames_per_second"], row["oracle"]["attributes"]) for row in judged if row["sampler"]]
    if len(dots) > 1:
        write_text(out / "speed.svg", dot_chart("Quality and speed", "frames per second", "attributes right", dots))
    for number, row in enumerate(rows):
        contact_sheet(row.drawn, row.captions(prompts)).save(out / f"clips_{number}_{slug(row.name)}.png")
    write_drift_charts(out, prompts, curves, figures["drift"])


def write_drift_charts(
    out: Path, prompts: Prompts, curves: dict[str, DriftCurve], drift: dict[str, Any] | None
) -> None:
    if drift is None:
        return
    for measure, label in CHARTS.items():
        lines = [
            Series(shorten(name), c.seconds, c.measures[measure]) for name, c in curves.items() if measure in c.measures
        ]
        if lines:
            title = f"Drift: {label}, in windows of {drift['window']} frames along {drift['streams']} streams"
            write_text(out / f"drift_{measure}.svg", line_chart(title, "seconds", "", lines))
    numbers = choose_streams(prompts.wanted, drift["streams"])
    captions = [prompts.captions[number] for number in numbers]
    for place, (name, curve) in enumerate(curves.items()):
        lines = [
            Series(each, curve.seconds, curve.measures[each]) for each in DRIFT_ATTRIBUTES if each in curve.measures
        ]
        if lines:
            write_text(
                out / f"drift_{place}_{slug(name)}.svg", line_chart(f"Drift, {name}: still right", "seconds", "", lines)
            )
        streams = list(np.stack(curve.stills, axis=1))
        contact_sheet(streams, captions).save(out / f"drift_{place}_{slug(name)}.png")


def shorten(name: str) -> str:
    """A label for a chart; of a long name only the values."""
    return name if len(name) <= MAX_LABEL else ",".join(pair.rpartition("=")[2] for pair in name.split(","))[:MAX_LABEL]


def write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def slug(name: str) -> str:
    """A name as part of a file name."""
    return "".join(letter if letter.isalnum() else "_" for letter in name).strip("_")


def as_table(figures: dict[str, Any]) -> str:
    """A table for people, with notes on the Frechet distance, on missing measures and on drift."""
    cells = drop_empty_columns([HEADER, *(table_row(row) for row in figures["rows"])])
    return "\n".join([aligned(cells), *notes(figures)])


def drop_empty_columns(cells: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Drops the columns without figures; the first line is the header."""
    kept = [column for column in range(len(cells[0])) if any(line[column] != EMPTY for line in cells[1:])]
    return [tuple(line[column] for column in kept) for line in cells]


EMPTY = "-"
HEADER = (
    "", "all right", "(95 %)", "1 thing", "2 things", "attributes", "shape", "color", "size", "motion", "speed",
    *TITLES.values(), "CLIP", "steps", "frames/s",
)  # fmt: skip


def table_row(row: dict[str, Any]) -> tuple[str, ...]:
    oracle = row["oracle"]
    rates = [EMPTY] * 10
    if oracle is not None:
        low, high = oracle["all_correct_95"]
        one, two = (oracle["by_things"].get(things, {}).get("all_correct") for things in (1, 2))
        each = [oracle["by_attribute"].get(name) for name in ("shape", "colour", "size", "motion", "speed")]
        whole = [percent(rate) for rate in (one, two, oracle["attributes"], *each)]
        rates = [percent(oracle["all_correct"]), f"{100 * low:.0f} to {100 * high:.0f}", *whole]
    numbers = [*(row.get(key) for key in TITLES), row["clip_score"], row["steps"], row["frames_per_second"]]
    return (row["name"], *rates, *(EMPTY if value is None else f"{value:.3g}" for value in numbers))


def percent(rate: float | None) -> str:
    return EMPTY if rate is None else f"{100 * rate:.1f} %"


def notes(figures: dict[str, Any]) -> list[str]:
    clips, drift = figures["clips"], figures["drift"]
    lines = [f"clips: {clips['frames']} frames at {clips['fps']:g} per second; speed at batch {clips['batch']}"]
    lines += distance_notes(figures) + missing_note(figures)
    for name, curve in (drift["curves"] if drift else {}).items():
        lines += drift_note(name, curve)
    return lines


def distance_notes(figures: dict[str, Any]) -> list[str]:
    """What each Frechet distance depends on, where there is a reference."""
    pinned, clips = figures["pinned"], figures["prompts"]["count"]
    there = [key for key in TITLES if key in pinned and pinned[key]["reference"]]
    return [f"{TITLES[key]}: {describe(pinned[key], clips)}" for key in there]


def missing_note(figures: dict[str, Any]) -> list[str]:
    """The missing measures, and which option adds them."""
    pinned = figures["pinned"]
    has_oracle, has_reference = any(row["oracle"] for row in figures["rows"]), bool(pinned["frechet"]["reference"])
    if has_oracle and has_reference:
        return []
    lacking = {
        "attributes (the oracle knows only the playroom)": has_oracle,
        "Frechet distance (--reference DATA)": has_reference,
        "CLIP score (--clip FOLDER)": pinned["clip_score"] is not None,
    }
    return ["not judged: " + ", ".join(what for what, is_there in lacking.items() if not is_there)]


def drift_note(name: str, curve: dict[str, Any]) -> list[str]:
    """Attributes in the first and the last window; without an oracle, the change between frames."""
    if len(curve["seconds"]) < 2:
        return []
    begin, end = (f"{curve['seconds'][place]:.0f} s" for place in (0, -1))
    if curve["attributes_lost"] is not None:
        first, last = (percent(curve["attributes"][place]) for place in (0, -1))
        return [f"drift, {name}: attributes {first} at {begin}, {last} at {end}"]
    if "change" in curve:
        first, last = (f"{curve['change'][place]:.3g}" for place in (0, -1))
        return [f"drift, {name}: gray levels between frames {first} at {begin}, {last} at {end}"]
    return []
