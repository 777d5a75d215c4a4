"""Evaluates a prior's negative log-likelihood on clips, with and without captions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from prior.likelihood import frame_likelihoods
from videogen.data import load_index
from videogen.data.split import hold_out
from videogen.errors import DataError
from videogen.evaluation.prior.likelihood import LikelihoodSums, figures, score_name
from videogen.evaluation.report.folder import write_figures
from videogen.evaluation.report.line_charts import Series, line_chart
from videogen.models import PriorModel
from videogen.tokens import EncodeSpec, TokenSet, encode
from videogen.tokens.description import NAME
from videogen.tokens.plan import plan
from videogen.tokens.windows import TokenWindow, TokenWindows, split_rows, spread

OnProgress = Callable[[int, int], None]
BATCH = 16  # clips, as in validation during training
NUM_HARDEST = 3
FRAME, MASKED = "_frame_", "_masked_"  # in the names of figures by latent frame, and by share of masked tokens
MIN_CLIPS, RESAMPLES = 6, 4000  # of a bootstrap interval


@dataclass(frozen=True)
class ClipSelection:
    """Which clips are evaluated: the first frames of at most `most` clips, spread evenly over the set."""

    frames: int  # of each clip
    most: int | None = None  # None: all
    validation_share: float | None = None  # only what a run with this setting holds out


def evaluate_prior(
    model: PriorModel,
    data: Path,
    selection: ClipSelection,
    scratch: Path,
    index: Path | None = None,
    out: Path | None = None,
    on_progress: OnProgress | None = None,
    on_encoding: OnProgress | None = None,
) -> dict[str, Any]:
    """Figures on a token set, or on indexed clips, which are encoded into `scratch` first.

    The masks depend only on a clip's position in the selection, so a run's own validation of the same clips gives the
    same figures.
    """
    windows, short = select_windows(model, data, selection, scratch, index, on_encoding)
    rows = windows.spread(selection.most or len(windows))
    passes = (True, False) if model.conditioner is not None else (False,)
    scores = []
    for number, captioned in enumerate(passes):
        done, total = number * len(rows), len(passes) * len(rows)
        scores.append(score_clips(model, windows, rows, captioned, offset_progress(on_progress, done, total)))
    with_text, without, name = scores[0], scores[-1], score_name(model.network.likelihood)
    found: dict[str, Any] = {
        "clips": len(rows),
        "skipped": {"too short": short},
        "latent_frames": windows.frames,
        "tokens": len(rows) * windows.frames * windows.spec.tokens,
        "exact": model.config.objective == "autoregressive",
        "score": name,  # what the figures are: nats, or the loss of training
        "nats_if_all_codes_were_alike": None if windows.spec.continuous else windows.spec.bits * float(np.log(2)),
        **with_text.figures,
        f"{name}_95": bootstrap_interval(with_text.nats_C),
        "without_text": None,
        "hardest": hardest_clips(windows, rows, with_text.nats_C),
    }
    if model.conditioner is not None:
        gain_C = without.nats_C - with_text.nats_C
        found |= {"without_text": without.figures, f"{name}_of_text": float(gain_C.mean())}
        found |= {f"{name}_of_text_95": bootstrap_interval(gain_C)}
    if out is not None:
        write_figures(out, found)
        write_chart(found, out / "nats.svg")
    return found


class PriorScores(NamedTuple):
    """Figures over all clips, and the nats of each clip."""

    figures: dict[str, float]
    nats_C: NDArray[np.float64]  # per token


@torch.no_grad()
def score_clips(
    model: PriorModel, windows: TokenWindows, rows: NDArray[np.int64], captioned: bool, on_clips: Callable[[int], None]
) -> PriorScores:
    """Evaluates the clips in these rows, with their captions if `captioned`."""
    device, spec, masked = model.network.device, windows.spec, model.config.objective == "masked"
    sums, nats = LikelihoodSums.none(windows.frames), []
    for first in range(0, len(rows), BATCH):
        clips = [windows.opening(int(row)) for row in rows[first : first + BATCH]]
        codes_BTNK, control = stack_clips(model, clips)
        captions = [clip.caption for clip in clips]
        text = model.conditioner(captions).to(device) if captioned and model.conditioner is not None else None
        frames = frame_likelihoods(model.network, codes_BTNK, spec, masked, text, control, first)
        sums = sums.plus(frames)
        nats.append(frames.nats_BT.mean(1).double().cpu().numpy())
        on_clips(first + len(clips))
    size = windows.tokens.description.clips
    found = figures(sums, spec, size.height * size.width, model.network.likelihood)
    return PriorScores(found, np.concatenate(nats))


def stack_clips(model: PriorModel, clips: Sequence[TokenWindow]) -> tuple[Tensor, Tensor | None]:
    """The codes [B, T, N, K] of these clips, and their controls if they have some."""
    codes_BTNK = torch.from_numpy(np.stack([clip.codes for clip in clips])).to(model.device)
    controls = [clip.control for clip in clips if clip.control is not None]
    return codes_BTNK, torch.from_numpy(np.stack(controls)).to(model.device) if controls else None


def offset_progress(on_progress: OnProgress | None, done: int, total: int) -> Callable[[int], None]:
    return lambda count: on_progress(done + count, total) if on_progress is not None else None


def select_windows(
    model: PriorModel,
    data: Path,
    selection: ClipSelection,
    scratch: Path,
    index: Path | None,
    on_encoding: OnProgress | None = None,
) -> tuple[TokenWindows, int]:
    """The selected clips, and how many others are too short."""
    latent_frames = max(1, model.spec.whole_latent_frames(selection.frames))
    if not (data / NAME).is_file():
        tokens, short = encode_selection(model, data, selection, scratch, index, on_encoding)
        return TokenWindows(tokens, np.arange(len(tokens)), latent_frames, seed=0), short
    tokens = TokenSet.open(data, model.tokenizer.fingerprint)
    tokens.require_control(model.config.control)
    share = selection.validation_share
    rows = np.arange(len(tokens)) if share is None else split_rows(tokens, share)[1]
    windows = TokenWindows(tokens, rows, latent_frames, seed=0)
    return windows, windows.short


def encode_selection(
    model: PriorModel,
    data: Path,
    selection: ClipSelection,
    scratch: Path,
    index: Path | None,
    on_encoding: OnProgress | None,
) -> tuple[TokenSet, int]:
    """Encodes only the selected clips; also returns how many others are too short."""
    found, clips = load_index(data, index), model.clips
    if selection.validation_share is not None:
        found = hold_out(found, selection.validation_share)[1]
    cut = EncodeSpec(clips.height, clips.width, clips.fps, selection.frames)
    planned, _ = plan(found, cut)
    long = [each.clip for each in planned if each.frames == selection.frames]
    if not long:
        raise DataError(f"{data}: none of {len(found.good)} clips has {selection.frames} frames; use fewer")
    chosen = tuple(long[place] for place in spread(len(long), selection.most or len(long)))
    encode(replace(found, good=chosen), scratch, model.tokenizer, cut, on_progress=on_encoding)
    tokens = TokenSet.open(scratch)
    tokens.require_control(model.config.control)
    return tokens, len(found.good) - len(long)


def bootstrap_interval(values_C: NDArray[np.float64]) -> list[float] | None:
    """A 95 % confidence interval of the mean over clips; None for fewer than six clips.

    A percentile bootstrap, so it stays within the values seen, with its tails widened as Student's t widens those of a
    normal distribution. On normal, gamma and lognormal samples of six or more values it covers the mean in 90 to 95 %
    of the trials, as often as the t-interval does.
    """
    count = len(values_C)
    if count < MIN_CLIPS:
        return None
    rng, means = np.random.default_rng(0), []
    for _ in range(RESAMPLES // 100):
        means.append(values_C[rng.integers(0, count, (100, count))].mean(1))
    tail = NormalDist().cdf(-((count / (count - 1)) ** 0.5) * student_t_quantile(count - 1))
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail])
    return [float(low), float(high)]


def student_t_quantile(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, integrated from its density."""
    x = np.linspace(0, 50, 100_001)
    density = (1 + x * x / freedom) ** (-(freedom + 1) / 2)
    grown = density.cumsum()
    return float(x[np.searchsorted(grown, 0.95 * grown[-1])])


def hardest_clips(windows: TokenWindows, rows: NDArray[np.int64], nats_C: NDArray[np.float64]) -> dict[str, float]:
    """The clips with the highest negative log-likelihood, by key."""
    worst = np.argsort(-nats_C, kind="stable")[:NUM_HARDEST]
    return {windows.tokens.label(int(rows[place]))[0]: float(nats_C[place]) for place in worst}


def nats_by_frame(figures: dict[str, Any]) -> list[float]:
    return [value for key, value in figures.items() if FRAME in key]


def write_chart(figures: dict[str, Any], place: Path) -> None:
    """A chart of nats per token for each latent frame, with and without captions."""
    name = figures["score"]
    lines = [Series("with caption", *frame_curve(figures))]
    if figures["without_text"] is not None:
        lines.append(Series("without caption", *frame_curve(figures["without_text"])))
    place.write_text(
        line_chart(f"{name.capitalize()} per token along the clip", "latent frame", name, lines), encoding="utf-8"
    )


def frame_curve(figures: dict[str, Any]) -> tuple[list[float], list[float]]:
    nats = nats_by_frame(figures)
    return [float(frame) for frame in range(len(nats))], nats


def as_table(figures: dict[str, Any]) -> str:
    """A table for people, with what each figure is compared to."""
    f, name = figures, figures["score"]
    short = f" ({f['skipped']['too short']:,} too short)" if f["skipped"]["too short"] else ""
    uniform = f["nats_if_all_codes_were_alike"]
    bound = ", of training: it has no likelihood" if name == "loss" else ", exactly" if f["exact"] else ", at most"
    alike = "" if uniform is None else f"; uniform: {uniform:.2f}"
    rows = [
        ("clips", f"{f['clips']:,} of {f['latent_frames']} latent frames{short}"),
        (f"{name} per token", f"{f[name]:.3f}{format_interval(f[f'{name}_95'])}{bound}{alike}"),
        ("  by frame", "  ".join(f"{nats:.2f}" for nats in nats_by_frame(f))),
    ]
    if quarters := {key.partition(MASKED)[2]: nats for key, nats in f.items() if MASKED in key}:
        masked = ", ".join(f"{nats:.2f} up to {share} %" for share, nats in quarters.items())
        rows.append(("  by masked", masked))
    if f["without_text"] is not None:
        worth = f"captions save {f[f'{name}_of_text']:.3f}{format_interval(f[f'{name}_of_text_95'])}"
        rows.append(("without text", f"{f['without_text'][name]:.3f}: {worth}"))
    if name == "nats":
        rows += [
            ("bits per pixel", f"{f['bits_per_pixel']:.4f}"),
            ("top-1 accuracy", f"{f['top_guess']:.1%} of the tokens"),
        ]
    rows.append(("hardest", ", ".join(f"{key} ({nats:.2f})" for key, nats in f["hardest"].items())))
    return "\n".join(f"{label:<15}{value}" for label, value in rows)


def format_interval(bootstrap_interval: list[float] | None) -> str:
    return (
        " (too few clips for an interval)"
        if bootstrap_interval is None
        else f" ({bootstrap_interval[0]:.3f} to {bootstrap_interval[1]:.3f})"
    )
