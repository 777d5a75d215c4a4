"""results.json: everything that the page shows, with means and spreads over the seeds."""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from videogen.lab.folder import LAB_FILE, Lab
from videogen.lab.job import BUDGET, FIGURES, RUN, read_json, write_json
from videogen.lab.runner import FAILED
from videogen.lab.variants import Variant

RESULTS = "results.json"
METRICS = "metrics.jsonl"


def gather(lab: Lab, command: str) -> dict[str, Any]:
    """The results of all that is finished; written to results.json too."""
    known = read_json(lab.out / LAB_FILE) or {}
    results = {
        "title": lab.recipe.title,
        "command": command,
        "hardware": known.get("hardware", []),
        "threads": lab.recipe.threads,
        "budget": known.get("budget"),
        "base_ms": known.get("base_ms"),  # CPU time of a step of the base, where the budget is CPU time
        "data": known.get("data"),
        "prior": known.get("prior"),
        "seeds": list(lab.recipe.seeds),
        "variants": [variant_results(lab, variant) for variant in lab.variants],
    }
    write_json(lab.out / RESULTS, results)
    return results


def variant_results(lab: Lab, variant: Variant) -> dict[str, Any]:
    folders = {seed: lab.seed_folder(variant, seed) for seed in lab.recipe.seeds}
    figures = {seed: read_json(folder / FIGURES) for seed, folder in folders.items()}
    failed = [each[FAILED] for each in figures.values() if each and FAILED in each]
    budget = read_json(lab.folder(variant) / BUDGET) or {}
    each = {seed: flat(measured, budget) for seed, measured in figures.items() if measured and FAILED not in measured}
    curves = [validation_curves(folders[seed] / RUN) for seed in each]
    return {
        "name": variant.name,
        "label": variant.label,
        "group": variant.group,
        "note": variant.note,
        "failed": failed[0] if failed else None,
        "finished": len(each),  # seeds
        "figures": over_seeds(list(each.values()), statistics.fmean),
        "spread": over_seeds(list(each.values()), statistics.stdev) if len(each) > 1 else {},
        "by_seed": {str(seed): values for seed, values in each.items()},
        "curves": mean_curves(curves),
    }


def flat(measured: dict[str, dict[str, float | None]], budget: dict[str, Any]) -> dict[str, float | None]:
    """All figures of a training; the time of a step as calibrated, where it was."""
    figures = {name: value for part in measured.values() for name, value in part.items()}
    if "ms_per_step" in budget and "ms_per_step" in figures:
        figures["ms_per_step"] = budget["ms_per_step"]
    return figures


def over_seeds(each: Sequence[dict[str, float | None]], statistic: Any) -> dict[str, float | None]:
    """A statistic of each figure; None where a seed has no finite value."""
    names = dict.fromkeys(name for figures in each for name in figures)
    values = {name: [figures.get(name) for figures in each] for name in names}
    return {name: None if None in some else statistic(some) for name, some in values.items()}


def validation_curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Each figure of the log over the steps: of validation where it is validated, else of training."""
    lines = [json.loads(line) for line in (run / METRICS).read_text(encoding="utf-8").splitlines()]
    curves: dict[str, list[tuple[int, float]]] = {}
    for kind in ("validation", "train"):
        validated = set(curves)
        for line in (line for line in lines if line["kind"] == kind):
            for name in (name for name in line if name not in validated and isinstance(line[name], float)):
                curves.setdefault(name, []).append((line["step"], line[name]))
    return curves


def mean_curves(each: Sequence[dict[str, list[tuple[int, float]]]]) -> dict[str, list[tuple[int, float]]]:
    """Over the seeds, which have the same steps."""
    names = dict.fromkeys(name for curves in each for name in curves)
    together = {name: [curves[name] for curves in each if name in curves] for name in names}
    return {
        name: [(points[0][0], statistics.fmean(y for _, y in points)) for points in zip(*some, strict=False)]
        for name, some in together.items()
    }
