"""The command `videogen bench`."""

from pathlib import Path
from typing import Any

import click

from videogen.cli.models import DEVICE, GENERATOR, generator_at, usable_device
from videogen.cli.options import sampling_given, sampling_options
from videogen.cli.terminal import Terminal, reports
from videogen.cli.train import THREADS
from videogen.threads import use_threads

PROMPT = "a small red ring drifts left slowly over a dark blue background"
DTYPES = ("float32", "bfloat16", "float16")


@click.command("bench")
@GENERATOR
@click.option("--prompt", default=PROMPT, show_default=True, help="What is made.")
@click.option("--batch", type=click.IntRange(1), default=1, show_default=True, help="Videos at once.")
@sampling_options
@click.option("--rounds", type=click.IntRange(1), default=7, show_default=True, help="Turns of every way.")
@click.option("--prompts", help="playroom:N: judge each way by N prompts too, for quality beside speed.")
@click.option("--dtype", type=click.Choice(DTYPES), help="Of the prior [default: float32].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of what is made.")
@THREADS
@DEVICE
@reports
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
    """Measure a model's speed here, how far that is from the machine's limit, and the other ways with its weights.

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
    usable_device(device)
    began = perf_counter()
    pipe = VideoPipeline.from_pretrained(generator_at(model), device, dtype)
    loading = perf_counter() - began
    job = pipe.request([prompt] * batch, None, 1, seed, sampling_given(options))
    with terminal.progress("measuring", "rounds") as on_progress:
        figures: dict[str, Any] = {"loading_seconds": loading, **measure(pipe.model, job, rounds, on_progress)}
    if wanted is not None:
        figures["judged_by"] = wanted.name
        with terminal.progress("judging", "%") as on_progress:
            figures["ways"] = score_cases(pipe, wanted, figures["ways"], job.sampler, seed, on_progress)
    terminal.report(figures, as_table(figures))
