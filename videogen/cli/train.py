"""`videogen train`: stage one, the tokenizer, and stage two, the prior."""

import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.kinds import OUT_FOLDER
from videogen.cli.terminal import Terminal, reports
from videogen.errors import UsageError
from videogen.threads import SPINS_IN_TRAINING, bound_spinning, use_threads

if TYPE_CHECKING:
    from videogen.training.loop.trainer import Outcome

NO_BOARD = "no TensorBoard here (`pip install tensorboard`): figures are in metrics.jsonl, pictures in samples/"
PLACE = click.Path(path_type=Path)
THREADS = click.option(
    "--threads",
    type=click.IntRange(1),
    help="Threads for arithmetic [default: a core each; in generation, the free ones].",
)
RUN_OPTIONS = (
    click.argument("config", metavar="CONFIG"),
    click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
    click.option("--run", "folder", type=OUT_FOLDER, help="The run folder [default: runs/NAME-OF-CONFIG]."),
    click.option(
        "--resume", is_flag=True, help="Go on where the run stopped, to the bit; CONFIG may be the run folder itself."
    ),
    click.option(
        "--dry-run", is_flag=True, help="Say what would be trained, in how much memory and time; train nothing."
    ),
    click.option(
        "--device",
        metavar="NAME",
        help="What a dry run is about: cpu, or a GPU such as rtx4090, a100, h100 [default: what this machine has].",
    ),
    click.option(
        "--processes", type=click.IntRange(1), default=1, help="How many of it a dry run is about [default: 1]."
    ),
    THREADS,
)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """What both stages are told on the command line."""
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return command


class WithPresets(click.Command):
    """Its help ends with the names of the presets that it takes."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from videogen.config.presets import presets, short_names

        assert self.name is not None
        names = ", ".join(short_names(presets([self.name])))
        with formatter.indentation():
            formatter.write_paragraph()
            formatter.write_text(f"Presets: {names}. `videogen config list` says what each is for.")


@click.group()
def train() -> None:
    """Train a model from clips: first the tokenizer, then the prior."""
    bound_spinning(SPINS_IN_TRAINING)


@train.command("tokenizer", cls=WithPresets)
@run_options
@reports
def tokenizer(
    terminal: Terminal,
    config: str,
    overrides: tuple[str, ...],
    folder: Path | None,
    resume: bool,
    dry_run: bool,
    device: str | None,
    processes: int,
    threads: int | None,
) -> None:
    """Train the tokenizer that CONFIG describes, on the clips that it names; CONFIG is a file or a preset's name.

    The run folder gets the resolved configuration, metrics.jsonl, TensorBoard events, sample grids (originals above
    reconstructions), checkpoints, and the newest model in `model/`. Ctrl-C, SIGTERM and a terminal that is closed save
    first. Several processes: start it by torchrun or `accelerate launch`.

    \b
    Examples:
      videogen train tokenizer video_64_cpu data.train=~/videos --dry-run
      videogen train tokenizer video_64_cpu data.train=~/videos --run runs/tokenizer
      videogen train tokenizer --resume runs/tokenizer
    """
    from videogen.training.tokenizer.run import run_tokenizer

    settings, run = settled("tokenizer", config, overrides, folder, resume or dry_run)
    use_threads(threads)
    refuse_ignored(dry_run, device, processes)
    if dry_run:
        from videogen.training.estimate.machine import machine_called
        from videogen.training.tokenizer.dry_run import survey

        terminal.report(*survey(settings, machine_called(device), processes))
        return
    conclude(terminal, settings.training.steps, lambda **listeners: run_tokenizer(settings, run, resume, **listeners))


@train.command("prior", cls=WithPresets)
@run_options
@click.option(
    "--tokenizer",
    metavar="PATH",
    help="The tokenizer: a model or a run folder. A run that is resumed knows its own; for a dry run its configuration "
    "is enough.",
)
@reports
def prior(
    terminal: Terminal,
    config: str,
    overrides: tuple[str, ...],
    folder: Path | None,
    resume: bool,
    dry_run: bool,
    device: str | None,
    processes: int,
    threads: int | None,
    tokenizer: str | None,
) -> None:
    """Train the prior that CONFIG describes, on tokens that `videogen encode` made, or on clips; CONFIG is a file or a
    preset's name.

    Clips are encoded first, into the run folder. The run folder is like that of a tokenizer; its samples are videos of
    captions that are not trained on, and its model/ holds tokenizer, prior and text: all that generation needs.

    \b
    Examples:
      videogen train prior video_64_cpu --tokenizer runs/tokenizer data.train=tokens --dry-run
      videogen train prior video_64_cpu --tokenizer runs/tokenizer data.train=tokens --run runs/prior
      videogen train prior --resume runs/prior
    """
    from videogen.training.prior.run import run_prior, tokenizer_of_run

    settings, run = settled("prior", config, overrides, folder, resume or dry_run)
    use_threads(threads)
    refuse_ignored(dry_run, device, processes)
    if dry_run:
        from videogen.training.estimate.machine import machine_called
        from videogen.training.prior.dry_run import survey

        known = tokenizer or (str(tokenizer_of_run(run)) if run == Path(config) else None)
        terminal.report(*survey(settings, known, machine_called(device), processes))
        return
    path = None if tokenizer is None else Path(tokenizer)
    conclude(terminal, settings.training.steps, lambda **listeners: run_prior(settings, path, run, resume, **listeners))


def refuse_ignored(dry_run: bool, device: str | None, processes: int) -> None:
    """UsageError for what a run that trains would not look at: it takes what the machine has and a launcher starts."""
    if not dry_run and (device is not None or processes > 1):
        name = "--device" if device is not None else "--processes"
        raise UsageError(
            f"{name} is for --dry-run; a run takes the GPU there is, and torchrun starts several processes"
        )


def settled(
    schema: str, config: str, overrides: tuple[str, ...], folder: Path | None, goes_on: bool
) -> tuple[Any, Path]:
    """The configuration and the run folder: of a file, of a preset by its name, or of a run that is to go on."""
    from videogen.config import resolve, resolve_run
    from videogen.config.schemas import RUN_CONFIG

    run = Path(config)
    if not (run / RUN_CONFIG).is_file():
        return resolve(config, overrides, expected=schema)[1].value, folder or Path("runs") / run.stem
    if not goes_on:
        raise UsageError(f"{run}: a run has begun here; --resume goes on with it")
    if folder is not None and folder.resolve() != run.resolve():
        raise UsageError(f"--resume goes on in {run}, and --run names {folder}; leave --run out")
    return resolve_run(run, overrides, schema).value, run


def conclude(terminal: Terminal, steps: int, run: "Callable[..., Outcome]") -> None:
    """Run a stage, saying what happens, and report how it ended."""
    clock = Clock(steps)
    with terminal.progress("training", "steps") as bar:

        def on_progress(done: int, total: int) -> None:
            clock.tick(done)
            bar(done, total)

        def on_log(line: dict[str, Any]) -> None:
            if not clock.has_spoken and find_spec("tensorboard") is None:
                terminal.note(NO_BOARD)
            terminal.note(as_line(line, steps, clock.left(line["step"])))

        outcome = run(
            on_progress=on_progress,
            on_log=on_log,
            on_alarm=lambda name, message: terminal.note(f"alarm, {name}: {message}"),
            on_note=terminal.note,
        )
    best = None if outcome.best is None else str(outcome.best)
    figures = {"model": str(outcome.model), "steps": outcome.steps, "best": best, "best_step": outcome.best_step}
    said = in_words(outcome.figures) or "nothing was left to do"
    better = f"\n{best} is the best by validation, of step {outcome.best_step}"
    ended = f"{outcome.model} after {outcome.steps} steps: {said}"
    terminal.report(
        {**figures, **outcome.figures}, ended + (better if outcome.best_step not in (None, outcome.steps) else "")
    )


class Clock:
    """How long a run will go on, by how long it took since it began here: validation, samples and all."""

    def __init__(self, steps: int):
        self.steps, self.has_spoken = steps, False
        self._first: tuple[int, float] | None = None

    def tick(self, step: int) -> None:
        self._first = self._first or (step, time.monotonic())

    def left(self, step: int) -> str:
        """In words; none where nothing is left, or none was measured yet."""
        self.has_spoken = True
        if self._first is None or not self._first[0] < step < self.steps:
            return ""
        first, began = self._first
        seconds = (time.monotonic() - began) / (step - first) * (self.steps - step)
        return f"  {in_hours(seconds)} left"


def in_hours(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02} min"
    return f"{minutes} min" if minutes >= 2 else f"{seconds:.0f} s"


def as_line(line: dict[str, Any], steps: int, left: str) -> str:
    """A line of metrics.jsonl, shortened to what a person follows."""
    speed = line.get("speed", {}).get("clips_per_second")
    tokenizer = ("psnr", "ssim", "code_use", "total/tokenizer", "l1", "perplexity", "discriminator_accuracy")
    prior = ("nats", "top_guess", "bits_per_pixel", "nats_of_frequencies", "nats_of_copying")
    shown = {name: line[name] for name in (*tokenizer, *prior) if isinstance(line.get(name), float)}
    pace = f"  {speed:.1f} clips/s" if speed else ""
    width, ends = len(str(steps)), left if line["kind"] == "train" else ""
    return f"step {line['step']:>{width}} of {steps} {line['kind']:<10} {in_words(shown)}{pace}{ends}"


def in_words(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
