"""Scores the captions that a prior writes of playroom clips, attribute by attribute, beside captions of other clips."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prior.model import PriorBatch
from sampling.rollout import commit_codes
from videogen.errors import DataError
from videogen.evaluation.prior.caption_likelihood import CaptionLikelihoods, caption_likelihoods
from videogen.evaluation.prior.evaluate import BATCH, ClipSelection, OnProgress, select_windows, stack_clips
from videogen.evaluation.report.bar_charts import Bars, bar_chart
from videogen.evaluation.report.folder import write_figures
from videogen.generation.captioning import check_captions, draw_captions, search_captions
from videogen.models import PriorModel
from videogen.playroom.grammar import OutsideWorldError, parse
from videogen.playroom.scene import Backdrop, Scene
from videogen.playroom.score import NOTHING, Score
from videogen.system.threads import on_free_cores
from videogen.tokens.windows import TokenWindows

UNREADABLE = Scene((), Backdrop(NOTHING, NOTHING))  # what an unreadable caption says
SHOWN = 8  # captions in the figures


class CaptionedClips(NamedTuple):
    """The captions that a prior wrote of clips, and the likelihood of their true captions."""

    written: list[str]
    likelihoods: CaptionLikelihoods


def evaluate_captions(
    model: PriorModel,
    data: Path,
    selection: ClipSelection,
    scratch: Path,
    index: Path | None = None,
    out: Path | None = None,
    beams: int = 1,
    on_progress: OnProgress | None = None,
    on_encoding: OnProgress | None = None,
) -> dict[str, Any]:
    """Figures on a token set of playroom clips, or on indexed clips, which are encoded into `scratch` first.

    Clips with captions from outside the playroom are left out. The captions of other clips are the same captions, each
    compared with the truth of a clip half the set further: what a prior gets that does not look.
    """
    check_captions(model)
    windows, short = select_windows(model, data, selection, scratch, index, on_encoding)
    rows, truths, outside = playroom_clips(windows, windows.spread(selection.most or len(windows)))
    if len(rows) < 2:
        raise DataError(f"{data}: {len(rows)} clips have captions of the playroom; at least two can be compared")
    clips = caption_clips(model, windows, rows, beams, on_progress)
    scenes = [scene_of(caption) for caption in clips.written]
    half = len(rows) // 2
    found: dict[str, Any] = {
        "clips": len(rows),
        "skipped": {"too short": short, "outside the playroom": outside},
        "latent_frames": windows.frames,
        "beams": beams,
        **clips.likelihoods.figures(),
        "readable": sum(scene is not UNREADABLE for scene in scenes) / len(rows),
        "captions": score(truths, scenes),
        "captions_of_other_clips": score(truths, [*scenes[half:], *scenes[:half]]),
        "by_things": by_things(truths, scenes),
        "examples": [example(windows, row, text) for row, text in zip(rows[:SHOWN], clips.written, strict=False)],
    }
    if out is not None:
        write_figures(out, found)
        series = [Bars(name.replace("_", " "), found[name]["by_attribute"]) for name in SERIES]
        chart = bar_chart("Share of attributes that captions name as they are", series)
        (out / "attributes.svg").write_text(chart, encoding="utf-8")
    return found


SERIES = ("captions", "captions_of_other_clips")


def playroom_clips(windows: TokenWindows, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], list[Scene], int]:
    """The rows whose caption is about the playroom, their scenes, and how many others there are."""
    scenes = [scene_of(windows.tokens.label(int(row))[1]) for row in rows]
    inside = [place for place, scene in enumerate(scenes) if scene is not UNREADABLE]
    return rows[inside], [scenes[place] for place in inside], len(rows) - len(inside)


def scene_of(caption: str) -> Scene:
    try:
        return parse(caption)
    except OutsideWorldError:
        return UNREADABLE


def example(windows: TokenWindows, row: int, written: str) -> dict[str, str]:
    key, caption = windows.tokens.label(int(row))
    return {"clip": key, "caption": caption, "written": written}


def score(truths: Sequence[Scene], said: Sequence[Scene]) -> dict[str, Any]:
    counts = Score()
    for truth, scene in zip(truths, said, strict=True):
        counts.add(truth, scene)
    return counts.figures()


def by_things(truths: Sequence[Scene], said: Sequence[Scene]) -> dict[str, dict[str, Any]]:
    """The scores of clips with one thing, with two, and so on."""
    found = {}
    for count in sorted({len(truth.things) for truth in truths}):
        pairs = [(truth, scene) for truth, scene in zip(truths, said, strict=True) if len(truth.things) == count]
        figures = score(*zip(*pairs, strict=True))
        found[str(count)] = {name: figures[name] for name in ("clips", "attributes", "all_correct")}
    return found


@torch.no_grad()
@on_free_cores
def caption_clips(
    model: PriorModel, windows: TokenWindows, rows: NDArray[np.int64], beams: int, on_progress: OnProgress | None
) -> CaptionedClips:
    """Captions of the clips in these rows, by beam search."""
    conditioner, masked = check_captions(model), model.config.objective == "masked"
    written, likelihoods = list[str](), CaptionLikelihoods.none()

    def losses(batch: PriorBatch) -> Any:
        return model.network(batch)

    for first in range(0, len(rows), BATCH):
        clips = [windows.opening(int(row)) for row in rows[first : first + BATCH]]
        codes_BTNK, control = stack_clips(model, clips)
        text = conditioner([clip.caption for clip in clips]).to(model.device)
        likelihoods = likelihoods.plus(caption_likelihoods(losses, codes_BTNK, windows.spec, masked, text, control))
        for ids in captions_of(model, windows, codes_BTNK, control, beams):
            written.append(conditioner.caption_of(ids))
        if on_progress is not None:
            on_progress(first + len(clips), len(rows))
    return CaptionedClips(written, likelihoods)


def captions_of(
    model: PriorModel, windows: TokenWindows, codes_BTNK: Tensor, control: Tensor | None, beams: int
) -> list[tuple[int, ...]]:
    """The ids of a caption of each clip; with one beam, of all clips together."""
    network, spec = model.network, windows.spec
    if beams == 1:
        past = commit_codes(network, network.begin(None, len(codes_BTNK), spec), codes_BTNK, control)
        return [ids for _, ids in draw_captions(model, past, [0] * len(codes_BTNK), 0.0)]
    found = []
    for row in range(len(codes_BTNK)):
        one = slice(row, row + 1)
        given = None if control is None else control[one]
        past = commit_codes(network, network.begin(None, 1, spec), codes_BTNK[one], given)
        found.append(search_captions(model, past, beams)[0].ids)
    return found


def as_table(figures: dict[str, Any]) -> str:
    """Each attribute in the captions, and in captions of other clips."""
    own, other = (figures[name] for name in SERIES)
    lines = [
        f"{figures['clips']} clips of {figures['latent_frames']} latent frames: {figures['caption_nats']:.3f} nats per "
        f"token of their captions; {figures['readable']:.1%} of the written captions can be read",
        f"{'':17}{'captions':>9}{'of other clips':>16}",
        f"{'all attributes':17}{own['attributes']:9.1%}{other['attributes']:16.1%}",
    ]
    for name, rate in own["by_attribute"].items():
        lines.append(f"  {name:15}{rate:9.1%}{other['by_attribute'].get(name, 0.0):16.1%}")
    lines.append(f"{'clips right in all':17}{own['all_correct']:8.1%}{other['all_correct']:16.1%}")
    for count, rates in figures["by_things"].items():
        things = f"{count} thing" + "s" * (count != "1")
        lines.append(
            f"of {rates['clips']} clips with {things}: {rates['attributes']:.1%} of the attributes, "
            f"{rates['all_correct']:.1%} right in all"
        )
    for each in figures["examples"][:3]:
        lines += [f"{each['clip']}: {each['caption']}", f"  written: {each['written']}"]
    return "\n".join(lines)
