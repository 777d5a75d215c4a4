"""`videogen train`: stage one trains the tokenizer, stage two the prior."""

import sys
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.options import THREADS, Command, add_options
from videogen.cli.param_types import DATA, OUTPUT_FOLDER
from videogen.cli.terminal import Terminal, terminal_options
from videogen.errors import UsageError
from videogen.storage import Location
from videogen.system.threads import SPINS_IN_TRAINING, bound_spinning, use_threads

if TYPE_CHECKING:
    from videogen.training.loop.trainer import TrainingResult

NO_TENSORBOARD = "TensorBoard is not installed: metrics are in metrics.jsonl, images in samples/"
RUN_OPTIONS = (
    click.argument("config", metavar="CONFIG"),
    click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
    click.option("--run", "folder", type=OUTPUT_FOLDER, help="The run folder [default: runs/NAME-OF-CONFIG]."),
    click.option(
        "--resume", is_flag=True, help="Continue the run exactly where it stopped; CONFIG may be the run folder."
    ),
    click.option(
        "--mirror",
        type=DATA,
        metavar="URL",
        help="Copy each checkpoint below this URL, such as s3://bucket/runs; --resume fetches a run that is not here.",
    ),
    click.option("--dry-run", is_flag=True, help="Print what would be trained, with an estimate of memory and time."),
    click.option(
        "--device",
        metavar="NAME",
        help="Hardware of a dry run: cpu, or a GPU such as rtx4090, a100, h100 [default: this machine's].",
    ),
    click.option("--processes", type=click.IntRange(1), default=1, help="Devices of a dry run [default: 1]."),
    THREADS,
)


def run_options(command: Command) -> Command:
    """The options of both stages."""
    return add_options(command, RUN_OPTIONS)


class WithPresets(click.Command):
    """A command whose help ends with the names of its presets."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from videogen.config.presets import presets, short_names

        assert self.name is not None
        names = ", ".join(short_names(presets([self.name])))
        with formatter.indentation():
            formatter.write_paragraph()
            formatter.write_text(f"Presets: {names}. `videogen config list` describes them.")


@click.group()
def train() -> None:
    """Train a model: first the tokenizer, then the prior."""
    bound_spinning(SPINS_IN_TRAINING)


@train.command("tokenizer", cls=WithPresets)
@run_options
@terminal_options
def tokenizer(
    terminal: Terminal,
    config: str,
    overrides: tuple[str, ...],
    folder: Path | None,
    resume: bool,
    mirror: Location | None,
    dry_run: bool,
    device: str | None,
    processes: int,
    threads: int | None,
) -> None:
    """Train the tokenizer of CONFIG, a configuration file or the name of a preset.

    The run folder gets the resolved configuration, metrics.jsonl, TensorBoard events, sample grids (originals above
    reconstructions), checkpoints, and the newest model in `model/`. Ctrl-C, SIGTERM and SIGHUP save a checkpoint first.
    For several processes, start it with `torchrun --nproc-per-node N -m -- videogen train ...` or `accelerate launch`.

    \b
    Examples:
      videogen train tokenizer video_64_cpu data.train=~/videos --dry-run
      videogen train tokenizer video_64_cpu data.train=~/videos --run runs/tokenizer
      videogen train tokenizer --resume runs/tokenizer
    """
    from videogen.training.tokenizer.run import run_tokenizer

    settings, run = resolve_run_config("tokenizer", config, overrides, folder, resume or dry_run, mirror)
    use_threads(threads)
    refuse_ignored(dry_run, device, processes)
    if dry_run:
        from videogen.training.estimate.machine import find_machine
        from videogen.training.tokenizer.dry_run import dry_run as estimate

        terminal.report(*estimate(settings, find_machine(device), processes))
        return
    run_stage(terminal, settings.training.steps, lambda **listeners: run_tokenizer(settings, run, resume, **listeners))


@train.command("prior", cls=WithPresets)
@run_options
@click.option(
    "--tokenizer",
    metavar="PATH",
    help="A model folder or a run folder with the tokenizer. A resumed run knows its own; a dry run accepts its "
    "configuration.",
)
@terminal_options
def prior(
    terminal: Terminal,
    config: str,
    overrides: tuple[str, ...],
    folder: Path | None,
    resume: bool,
    mirror: Location | None,
    dry_run: bool,
    device: str | None,
    processes: int,
    threads: int | None,
    tokenizer: str | None,
) -> None:
    """Train the prior of CONFIG, a configuration file or the name of a preset, on tokens or on clips.

    Clips are encoded into the run folder first. The run folder is like that of a tokenizer; its samples are videos of
    held-out captions, and its model/ holds tokenizer, prior and text encoder: all that generation needs.

    \b
    Examples:
      videogen train prior video_64_cpu --tokenizer runs/tokenizer data.train=tokens --dry-run
      videogen train prior video_64_cpu --tokenizer runs/tokenizer data.train=tokens --run runs/prior
      videogen train prior --resume runs/prior
    """
    from videogen.training.prior.run import run_prior, tokenizer_of_run

    settings, run = resolve_run_config("prior", config, overrides, folder, resume or dry_run, mirror)
    use_threads(threads)
    refuse_ignored(dry_run, device, processes)
    if dry_run:
        from videogen.training.estimate.machine import find_machine
        from videogen.training.prior.dry_run import dry_run as estimate

        known = tokenizer or (str(tokenizer_of_run(run)) if run == Path(config) else None)
        terminal.report(*estimate(settings, known, find_machine(device), processes))
        return
    path = None if tokenizer is None else Path(tokenizer)
    run_stage(
        terminal, settings.training.steps, lambda **listeners: run_prior(settings, path, run, resume, **listeners)
    )


def refuse_ignored(dry_run: bool, device: str | None, processes: int) -> None:
    """UsageError for options of a dry run in a real run, which uses the machine's GPU and the launcher's processes."""
    if not dry_run and (device is not None or processes > 1):
        name = "--device" if device is not None else "--processes"
        raise UsageError(
            f"{name} is for --dry-run; a run takes the GPU there is, and torchrun starts several processes"
        )


def resolve_run_config(
    schema: str,
    config: str,
    overrides: tuple[str, ...],
    folder: Path | None,
    may_exist: bool,
    mirror: Location | None = None,
) -> tuple[Any, Path]:
    """The configuration and the run folder, from a file, a preset, or an existing run."""
    from videogen.config import resolve, resolve_run
    from videogen.config.run_config import RUN_CONFIG
    from videogen.training.loop.mirror_fetch import fetch_missing_run

    run = Path(config)
    if mirror is not None:
        overrides = (*overrides, f"training.mirror={mirror}")
        if may_exist and not names_config(schema, config):
            fetch_missing_run(mirror, run, lambda note: print(note, file=sys.stderr))
    if not (run / RUN_CONFIG).is_file():
        return resolve(config, overrides, expected=schema)[1].value, folder or Path("runs") / run.stem
    if not may_exist:
        raise UsageError(f"{run}: already holds a run; --resume continues it")
    if folder is not None and folder.resolve() != run.resolve():
        raise UsageError(f"--resume continues {run}, and --run names {folder}; leave out --run")
    return resolve_run(run, overrides, schema).value, run


def names_config(schema: str, config: str) -> bool:
    """Whether it is a file or a preset, rather than a run folder."""
    from videogen.config import ConfigError
    from videogen.config.presets import find_config

    try:
        find_config(config, [schema])
    except ConfigError:
        return False
    return True


def run_stage(terminal: Terminal, steps: int, run: "Callable[..., TrainingResult]") -> None:
    """Train a stage with a progress bar and log lines, then print the result."""
    hints = [] if find_spec("tensorboard") else [NO_TENSORBOARD]
    on_encoding = terminal.progress("encoding", "clips")
    with closing(on_encoding), terminal.progress("training", "steps", has_lines=True) as on_progress:

        def on_log(line: dict[str, Any]) -> None:
            while hints:  # once
                terminal.note(hints.pop())
            terminal.note(as_line(line, steps, on_progress.time_left.text(line["step"], steps)))

        trained = run(
            on_progress=on_progress,
            on_log=on_log,
            on_alarm=lambda name, message: terminal.note(f"alarm, {name}: {message}"),
            on_note=terminal.note,
            on_encoding=on_encoding,
        )
    best = None if trained.best is None else str(trained.best)
    result = {"model": str(trained.model), "steps": trained.steps, "best": best, "best_step": trained.best_step}
    metrics = format_metrics(trained.metrics) or "nothing left to do"
    better = f"\n{best} is the best model by validation, from step {trained.best_step}"
    ended = f"{trained.model} after {trained.steps} steps: {metrics}"
    terminal.report(
        {**result, **trained.metrics}, ended + (better if trained.best_step not in (None, trained.steps) else "")
    )


def as_line(line: dict[str, Any], steps: int, left: str) -> str:
    """A line of metrics.jsonl, shortened for the terminal."""
    speed = line.get("speed", {}).get("clips_per_second")
    tokenizer = ("psnr", "ssim", "code_use", "total/tokenizer", "l1", "perplexity", "discriminator_accuracy")
    prior = ("nats", "loss", "top_guess", "caption_nats", "bits_per_pixel", "nats_of_frequencies", "nats_of_copying")
    shown = {name: line[name] for name in (*tokenizer, *prior) if isinstance(line.get(name), float)}
    pace = f"  {speed:.1f} clips/s" if speed else ""
    width, ends = len(str(steps)), f"  {left}" if left and line["kind"] == "train" else ""
    return f"step {line['step']:>{width}} of {steps} {line['kind']:<10} {format_metrics(shown)}{pace}{ends}"


def format_metrics(metrics: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in metrics.items())
