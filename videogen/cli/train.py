"""`videogen train`: stage one, the tokenizer, and stage two, the prior."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.kinds import OUT_FOLDER
from videogen.cli.terminal import Terminal, reports

if TYPE_CHECKING:
    from videogen.training.trainer import Outcome

PLACE = click.Path(path_type=Path)
THREADS = click.option("--threads", type=click.IntRange(1), help="Threads for arithmetic [default: torch's choice].")
RUN_OPTIONS = (
    click.argument("config_path", metavar="CONFIG", type=PLACE),
    click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
    click.option("--run", "folder", type=OUT_FOLDER, help="The run folder [default: runs/NAME-OF-CONFIG]."),
    click.option("--resume", is_flag=True, help="Go on where the run stopped, to the bit."),
    click.option("--dry-run", is_flag=True, help="Say what would be trained, and in how much memory; train nothing."),
    THREADS,
)


def run_options(command: Callable[..., None]) -> Callable[..., None]:
    """What both stages are told on the command line."""
    for option in reversed(RUN_OPTIONS):
        command = option(command)
    return command


@click.group()
def train() -> None:
    """Train a model from clips: first the tokenizer, then the prior."""


@train.command("tokenizer")
@run_options
@reports
def tokenizer(
    terminal: Terminal,
    config_path: Path,
    overrides: tuple[str, ...],
    folder: Path | None,
    resume: bool,
    dry_run: bool,
    threads: int | None,
) -> None:
    """Train the tokenizer that CONFIG describes, on the clips that it names.

    The run folder gets the resolved configuration, metrics.jsonl, TensorBoard events, sample grids (originals above
    reconstructions), checkpoints, and the newest model in `model/`. Ctrl-C and SIGTERM save first. Several processes:
    start it by torchrun or `accelerate launch`.

    \b
    Examples:
      videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml --dry-run
      videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml --run runs/toys data.train=toys
      videogen train tokenizer configs/tokenizer/playroom_64_cpu.yaml --run runs/toys data.train=toys --resume
    """
    from videogen.config import resolve
    from videogen.training.tokenizer_run import run_tokenizer, survey

    _, resolved = resolve(config_path, overrides, expected="tokenizer")
    use_threads(threads)
    if dry_run:
        terminal.report(*survey(resolved.value))
        return
    folder = folder or Path("runs") / config_path.stem
    conclude(terminal, lambda **listeners: run_tokenizer(resolved.value, folder, resume, **listeners))


@train.command("prior")
@run_options
@click.option(
    "--tokenizer", "tokenizer_path", type=PLACE, required=True, help="The tokenizer: a model or a run folder."
)
@reports
def prior(
    terminal: Terminal,
    config_path: Path,
    overrides: tuple[str, ...],
    folder: Path | None,
    resume: bool,
    dry_run: bool,
    threads: int | None,
    tokenizer_path: Path,
) -> None:
    """Train the prior that CONFIG describes, on tokens that `videogen encode` made, or on clips.

    Clips are encoded first, into the run folder. The run folder is like that of a tokenizer; its samples are videos of
    captions that are not trained on, and its model/ holds tokenizer, prior and text: all that generation needs.

    \b
    Examples:
      videogen train prior configs/prior/playroom_64_cpu.yaml --tokenizer runs/toys --dry-run
      videogen train prior configs/prior/playroom_64_cpu.yaml --tokenizer runs/toys --run runs/play data.train=tokens
      videogen train prior configs/prior/playroom_64_cpu.yaml --tokenizer runs/toys --run runs/play --resume
    """
    from videogen.config import resolve
    from videogen.training.prior_run import run_prior, survey

    _, resolved = resolve(config_path, overrides, expected="prior")
    use_threads(threads)
    if dry_run:
        terminal.report(*survey(resolved.value, tokenizer_path))
        return
    folder = folder or Path("runs") / config_path.stem
    conclude(terminal, lambda **listeners: run_prior(resolved.value, tokenizer_path, folder, resume, **listeners))


def conclude(terminal: Terminal, run: "Callable[..., Outcome]") -> None:
    """Run a stage, saying what happens, and report how it ended."""
    with terminal.progress("training", "steps") as on_progress:
        outcome = run(
            on_progress=on_progress,
            on_log=lambda line: terminal.note(as_line(line)),
            on_alarm=lambda name, message: terminal.note(f"alarm, {name}: {message}"),
            on_note=terminal.note,
        )
    figures = {"model": str(outcome.model), "steps": outcome.steps, **outcome.figures}
    said = in_words(outcome.figures) or "nothing was left to do"
    terminal.report(figures, f"{outcome.model} after {outcome.steps} steps: {said}")


def use_threads(threads: int | None) -> None:
    if threads is not None:
        import torch

        torch.set_num_threads(threads)


def as_line(line: dict[str, Any]) -> str:
    """A line of metrics.jsonl, shortened to what a person follows."""
    speed = line.get("speed", {}).get("clips_per_second")
    tokenizer = ("psnr", "ssim", "code_use", "total/tokenizer", "l1", "perplexity", "discriminator_accuracy")
    prior = ("nats", "top_guess", "bits_per_pixel", "nats_of_frequencies", "nats_of_copying")
    shown = {name: line[name] for name in (*tokenizer, *prior) if isinstance(line.get(name), float)}
    pace = f"  {speed:.1f} clips/s" if speed else ""
    return f"step {line['step']:>7} {line['kind']:<10} {in_words(shown)}{pace}"


def in_words(figures: dict[str, float]) -> str:
    return "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
