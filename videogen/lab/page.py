"""The page of a lab: Markdown with a table, charts and pictures, made of results alone.

Charts and pictures lie in the folder beside the page that has its name: docs/lab/families.md, docs/lab/families/.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from videogen.lab.charts import chosen, draw
from videogen.lab.drawings.exam import SHOWN_DETAILS, describe
from videogen.lab.folder import Lab
from videogen.lab.headings import DEFAULT_COLUMNS, HEADINGS, heading
from videogen.lab.job import PICTURES, write_json
from videogen.lab.results import RESULTS
from videogen.lab.sheets import CLIP, DETAILS, original_of, picture_of, save_sheet
from videogen.lab.variants import Variant

PAGE = "page.md"
NO_PRIOR = "no prior: the recipe leaves it out, its head cannot draw these tokens, or it cannot stream"


def write_page(lab: Lab, results: dict[str, Any], page: Path) -> None:
    """Write the page and what it shows; charts and sheets of an earlier page are removed."""
    beside = page.with_suffix("")
    beside.mkdir(parents=True, exist_ok=True)
    for old in (
        place
        for pattern in ("chart_*.svg", f"{CLIP.format('*')}.png", f"{DETAILS}.png")
        for place in beside.glob(pattern)
    ):
        old.unlink()
    if page.parent != lab.out:  # without curves, which are nine tenths of it
        rows = [{name: value for name, value in row.items() if name != "curves"} for row in results["variants"]]
        write_json(beside / RESULTS, {**results, "variants": rows})
    sections = [*head(lab, results), *charts(lab, results, beside), *sheets(lab, results, beside)]
    page.write_text("\n\n".join(section.strip() for section in sections if section.strip()) + "\n", encoding="utf-8")


def head(lab: Lab, results: dict[str, Any]) -> Iterator[str]:
    recipe = lab.recipe
    yield f"# {recipe.title}"
    yield f"**{recipe.question.strip()}**" if recipe.question else ""
    yield recipe.about
    yield f"## Findings\n\n{recipe.findings}" if recipe.findings else ""
    yield f"## Figures\n\n{made(results)}"
    yield table(results, columns_of(lab, results))
    yield notes(lab, results)


def made(results: dict[str, Any]) -> str:
    """How the figures came about, in a few sentences."""
    budget, count, seeds = results["budget"] or {}, len(results["variants"]), len(results["seeds"])
    spent = f"{budget.get('steps')} steps"
    if budget.get("cpu_seconds"):
        base = results["base_ms"] or 0.0
        spent = (
            f"{budget['cpu_seconds']:g} s of CPU time (at the speed at which a step of the base takes {base:.0f} ms)"
        )
    runs = f"{seeds} seeds each (mean ± standard deviation)" if seeds > 1 else "one seed each"
    threads = "one thread" if results["threads"] == 1 else f"{results['threads']} threads"
    return (
        f"{count} variants, {runs}; each was trained on {clips(results['data'] or {})} for {spent}, on {threads}: "
        f"{'; '.join(results['hardware'])}.{made_prior(results)}\n\n```\n{results['command']}\n```"
    )


def made_prior(results: dict[str, Any]) -> str:
    prior = results["prior"]
    if prior is None:
        return ""
    whole, unit = (prior["cpu_seconds"], "s") if prior["cpu_seconds"] else (prior["steps"], "steps")
    return (
        f"\n\nOn the tokens of each, two priors were trained, for {whole:g} {unit} and for {whole / 2:g} {unit}, each "
        f"to the end of its learning rate. Both then made a video for each of {prior['clips']} held-out captions, with "
        f"{prior['sampling_steps']} sampling steps a latent frame."
    )


def clips(data: dict[str, Any]) -> str:
    if data.get("kind") != "playroom":
        return "the same clips"
    train = data["train"]
    size = f"{train['frames']} frames, {train['size']} x {train['size']}"
    return f"the same {train['clips']:,} clips of the playroom ({size}; {data['held_out']} others are held out)"


def columns_of(lab: Lab, results: dict[str, Any]) -> list[str]:
    """The figures in the table: those that the recipe names, else the usual ones that some variant has."""
    had = {name for row in results["variants"] for name in row["figures"]}
    wanted = lab.recipe.columns or tuple(name for name in HEADINGS if name in DEFAULT_COLUMNS)
    return [name for name in wanted if name in had]


def table(results: dict[str, Any], columns: list[str]) -> str:
    """A row for each variant, under the name of its group."""
    head_row = ["", *(heading(name).text for name in columns)]
    rows = [head_row, ["---", *["---:"] * len(columns)]]
    for group, variants in groupby(results["variants"], key=lambda row: row["group"]):
        if group:
            rows.append([f"**{group}**", *[""] * len(columns)])
        rows += [[row["label"], *cells(row, columns)] for row in variants]
    escaped = [[text.replace("|", r"\|") for text in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in escaped)


def cells(row: dict[str, Any], columns: list[str]) -> list[str]:
    if not row["finished"]:
        return ["diverged" if row["failed"] else "not yet", *[""] * (len(columns) - 1)]
    return [cell(name, row["figures"].get(name), row["spread"].get(name)) for name in columns]


def cell(name: str, value: float | None, spread: float | None) -> str:
    if value is None:
        return "–"
    shown = heading(name).show(value)
    return f"{shown} ± {heading(name).show(spread)}" if spread else shown


def notes(lab: Lab, results: dict[str, Any]) -> str:
    lines = [f"- {row['label']}: {row['note']}" for row in results["variants"] if row["note"]]
    lines += [f"- {row['label']} diverged: {row['failed']}" for row in results["variants"] if row["failed"]]
    finished = [row for row in results["variants"] if row["finished"] and "prior" in lab.recipe.measures]
    lines += [f"- {row['label']}: {NO_PRIOR}" for row in finished if "prior_steps" not in row["figures"]]
    return "\n".join(lines)


def charts(lab: Lab, results: dict[str, Any], beside: Path) -> Iterator[str]:
    for number, chart in enumerate(lab.recipe.charts, 1):
        svg = draw(chart, results["variants"])
        if svg is not None:
            name = f"chart_{number}.svg"
            (beside / name).write_text(svg, encoding="utf-8")
            yield f"![{chart.title}]({beside.name}/{name})"


def left_out(lab: Lab, results: dict[str, Any]) -> list[str]:
    """A line for each chart and column of the recipe that the page lacks, once there are figures."""
    rows = [row for row in results["variants"] if row["finished"]]
    had = {name for row in rows for name in row["figures"]}
    lines = [f"column '{name}': no variant has this figure" for name in lab.recipe.columns if name not in had]
    for chart in lab.recipe.charts:
        if draw(chart, rows) is None:
            lines.append(f"chart '{chart.title}': no variant has {' and '.join(chart.figures)}")
    return lines if rows else []


def sheets(lab: Lab, results: dict[str, Any], beside: Path) -> Iterator[str]:
    """The same clip in all variants, the original first; and the drawings, where they were measured."""
    wanted, seed = lab.recipe.pictures, lab.recipe.seeds[0]
    shown = [row["name"] for row in chosen(results["variants"], wanted.only) if str(seed) in row["by_seed"]]
    some = [variant for variant in lab.variants if variant.name in shown]
    if not some:
        return
    drawn = [each for each in some if picture_of(lab.seed_folder(each, seed) / PICTURES, DETAILS).is_file()]
    if drawn:
        yield "## Details"
        yield sheet(lab, drawn, DETAILS, SHOWN_DETAILS, f"From left to right: {describe()}", beside)
    yield "## Reconstructions of held-out clips"
    for number in wanted.clips:
        yield sheet(lab, some, CLIP.format(number), wanted.frames, f"Held-out clip {number}", beside)


def sheet(lab: Lab, variants: Sequence[Variant], name: str, frames: int, title: str, beside: Path) -> str:
    """The strip of this name in all variants, below each other."""
    folders = [lab.seed_folder(variant, lab.recipe.seeds[0]) / PICTURES for variant in variants]
    strips = [original_of(folders[0], name), *(picture_of(folder, name) for folder in folders)]
    captions = ["original", *(variant.label for variant in variants)]
    save_sheet(strips, captions, frames, beside / f"{name}.png")
    return f"![{title}]({beside.name}/{name}.png)"
