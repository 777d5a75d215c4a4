"""The table of `videogen bench`: model and machine, a row for each case, and quality if prompts are given."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from sampling.config import SamplerConfig
from videogen.evaluation.generation.clip_sources import model_clips
from videogen.evaluation.generation.evaluator import Evaluator, evaluate_clips, split_progress
from videogen.evaluation.generation.prompts import Prompts
from videogen.evaluation.generation.sampler_variants import SamplerVariant
from videogen.pipeline import VideoPipeline

OnProgress = Callable[[int, int], None]
HEADER = ("", "steps", "ms per latent frame", "frames/s", "x configured", "x cached raster", "bound", "attributes", "")
LEGEND = (
    "x configured: time relative to the first row; x cached raster: speed relative to the last row",
    "bound: min(tokens, break-even) / (steps + 1), the latter ratio if both ran at the machine's limit;",
    "a row exceeds it if token by token is further from its own limit",
)
BATCH = 16


def score_cases(
    pipe: VideoPipeline,
    prompts: Prompts,
    cases: Sequence[Mapping[str, Any]],
    base: SamplerConfig,
    seed: int,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Adds oracle scores of clips of these prompts to the cases that sample as the prior was trained."""
    evaluator = Evaluator(pipe.fps, pipe.frame_count(None))
    next_part = split_progress(sum(case["settings"] is not None for case in cases), on_progress)
    rows = []
    for case in cases:
        oracle = None
        if case["settings"] is not None:
            variant = SamplerVariant(case["name"], {**asdict(base), **case["settings"]})
            source = model_clips(pipe, prompts, variant, evaluator.frames, seed)
            oracle = evaluate_clips(case["name"], source, prompts, evaluator, BATCH, None, next_part()).figures(
                prompts, evaluator
            )
        rows.append({**case, "oracle": oracle and oracle["oracle"]})
    return rows


def as_table(figures: dict[str, Any]) -> str:
    cells = [HEADER, *(table_row(case) for case in figures["cases"])]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADER))]
    rows = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    return "\n".join([*summary(figures), "", *rows, *LEGEND])


def summary(figures: dict[str, Any]) -> list[str]:
    model, machine, split = figures["model"], figures["machine"], figures["split"]
    shares = ", ".join(f"{who} {share:.0%}" for who, share in split.items())
    lines = [
        f"{'model':<15}{model['parameters'] / 1e6:.1f} M parameters, {model['tokens']} tokens per latent frame, "
        f"{model['frames_per_latent']} frames each; window {model['window']}",
        f"{'machine':<15}{machine['device']}, {machine['threads']} threads, {machine['dtype']}: "
        f"{machine['gemm_gflops']:.0f} GFLOP/s, {machine['bandwidth_gb']:.1f} GB/s, "
        f"break-even {machine['break_even_tokens']:.0f} tokens per pass",
        f"{'loading':<15}{figures['loading_seconds']:.2f} s",
        f"{'first frame':<15}{figures['first_frame_ms']:.0f} ms after the prompt, batch {figures['batch']}",
        f"{'speed':<15}{figures['frames_per_second']:.1f} frames/s ({model['fps']:g} is real time); "
        f"{figures['latent_frame_ms']:.0f} ms per latent frame of {figures['steps']:.1f} proposals: {shares}",
        f"{'memory':<15}{figures['peak_memory_mib']:.0f} MiB peak",
    ]
    if "fraction_of_floor" in figures:
        lines.append(
            f"{'roofline':<15}{figures['fraction_of_floor']:.0%} "
            f"(prior {figures['prior_fraction']:.0%} of {figures['prior_floor_ms']:.1f} ms; "
            f"decoder {figures['decoder_fraction']:.0%} of {figures['decoder_floor_ms']:.1f} ms)"
        )
    return lines


def table_row(case: Mapping[str, Any]) -> tuple[str, ...]:
    oracle = case.get("oracle")
    return (
        case["name"],
        f"{case['steps']:.1f}",
        f"{case['latent_frame_ms']:.1f}",
        f"{case['frames_per_second']:.1f}",
        f"{case['time_of_configured']:.2f}",
        f"{case['faster_than_raster']:.2f}",
        "-" if case["bound"] is None else f"{case['bound']:.2f}",
        "-" if oracle is None else f"{100 * oracle['attributes']:.1f} %",
        case["note"],
    )
