"""`videogen bench`."""

from pathlib import Path
from typing import Any

import click

from videogen.cli.options import DEVICE, DTYPE, MODEL, THREADS, model_or_bundled, sampling_given, sampling_options
from videogen.cli.terminal import Terminal, terminal_options
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

PROMPT = "a small red ring drifts left slowly over a dark blue background"


@click.command("bench")
@MODEL
@click.option("--prompt", default=PROMPT, show_default=True, help="Prompt of the videos.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Videos in a batch.")
@sampling_options
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Measurements of each case.")
@click.option("--prompts", help="playroom:N also evaluates the quality of each case on N prompts.")
@DTYPE
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the videos.")
@THREADS
@DEVICE
@terminal_options
def bench(
    terminal: Terminal,
    model: Path | None,
    prompt: str,
    batch: int,
    rounds: int,
    prompts: str | None,
    dtype: str | None,
    seed: int,
    threads: int | None,
    device: str,
    **options: Any,
) -> None:
    """Measure the speed of a model on this machine, its distance from the hardware limit, and other sampler settings.

    \b
    Examples:
      videogen bench --model runs/play
      videogen bench --model runs/play --prompts playroom:32 --threads 2 --json
    """
    use_threads(threads)
    from time import perf_counter

    from videogen.evaluation.generation.prompts import read_prompts
    from videogen.evaluation.lab.bench import bench as measure
    from videogen.evaluation.lab.bench_report import as_table, score_cases
    from videogen.pipeline import VideoPipeline

    wanted = None if prompts is None else read_prompts(prompts)
    device = use_device(device)
    began = perf_counter()
    pipe = VideoPipeline.from_pretrained(model_or_bundled(model), device, dtype)
    loading = perf_counter() - began
    request = pipe.request([prompt] * batch, None, 1, seed, sampling_given(options))
    with terminal.progress("measuring", "rounds") as on_progress:
        report: dict[str, Any] = {"loading_seconds": loading, **measure(pipe.model, request, rounds, on_progress)}
    if wanted is not None:
        report["judged_by"] = wanted.name
        with terminal.progress("evaluating", "%") as on_progress:
            report["cases"] = score_cases(pipe, wanted, report["cases"], request.sampler, seed, on_progress)
    terminal.report(report, as_table(report))
