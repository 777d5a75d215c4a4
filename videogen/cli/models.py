"""Commands that use a tokenizer: reconstruct, evaluate, selftest, info."""

import os
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from videogen.cli.films import Film, clear_pictures, targets_of
from videogen.cli.formats import format_options, note_stretching, output_format
from videogen.cli.kinds import ABOVE_0, DRAWING, OUT_FOLDER, Size, refuse_taken
from videogen.cli.terminal import Terminal, reports
from videogen.cli.train import THREADS
from videogen.threads import use_threads

PLACE = click.Path(path_type=Path)
MODEL = click.option(
    "--model", type=PLACE, required=True, help="A model or run folder, or playroom, which comes along."
)
GENERATOR = click.option(
    "--model",
    type=PLACE,
    envvar="VIDEOGEN_MODEL",
    show_envvar=True,
    help="A model or run folder [default: playroom, which comes along].",
)
DEVICE = click.option("--device", default="cpu", show_default=True, help="Where to compute, such as cuda or cuda:1.")


OVERWRITE = click.option("--overwrite", is_flag=True, help="Replace the report that is there already.")


@click.command("reconstruct")
@click.argument("source", metavar="IN", type=PLACE)
@click.argument("target", metavar="OUT", type=Film())
@click.option("--overwrite", is_flag=True, help="Replace what is there already.")
@MODEL
@click.option("--side-by-side", is_flag=True, help="Show the original at the left.")
@click.option("--size", type=Size(), help="Scale and crop to this size first [default: as much as whole tokens fill].")
@format_options
@THREADS
@DEVICE
@reports
def reconstruct(
    terminal: Terminal,
    source: Path,
    target: str,
    overwrite: bool,
    model: Path,
    side_by_side: bool,
    size: tuple[int, int] | None,
    threads: int | None,
    device: str,
    **options: Any,
) -> None:
    """Send the video IN through a tokenizer into OUT, and say how much of it came back.

    Any length, in the memory of a few frames. OUT is a file or a folder as for `generate`, or - for raw RGB. It has the
    size of the video, less what fills no token at its borders. Ctrl-C leaves what there is, playable. What is there
    already is replaced only with --overwrite.

    \b
    Examples:
      videogen reconstruct clip.mp4 seen.mp4 --model runs/toys --side-by-side
      videogen reconstruct film.mp4 seen.webm --model runs/toys --size 128x192
    """
    from videogen.evaluation.tokenizer.video import as_table, crop_notice, reconstruct_video
    from videogen.models import load_tokenizer

    targets_of(target, 1, False, overwrite, source)
    output = output_format(options)
    use_threads(threads)
    opened = load_tokenizer(model, usable_device(device))
    clear_pictures(target)
    with terminal.progress("reconstructing", "frames") as on_progress:
        how = size, side_by_side, on_progress, output, not options["no_metadata"]
        figures = reconstruct_video(opened, source, target, *how)
    note_stretching(terminal, (figures["height"], figures["width"] * (2 if side_by_side else 1)), output)
    if size is None and (remark := crop_notice(figures)) is not None:
        terminal.note(f"{source}: {remark}")
    if target == "-":
        terminal.note(as_table(figures))
        return
    terminal.report(figures, f"{as_table(figures)}\n{target}")


@click.group()
def evaluate() -> None:
    """Judge models and runs."""


@evaluate.command("tokenizer")
@click.argument("data", metavar="DATA", type=PLACE)
@MODEL
@click.option("--index", type=PLACE, help="The index, where it does not lie with the data.")
@click.option("--clips", type=click.IntRange(1), help="Judge at most so many clips.")
@click.option("--frames", type=click.IntRange(1), help="Frames a clip [default: as trained].")
@click.option("--size", type=Size(), help="Of the clips [default: as trained].")
@click.option("--fps", type=ABOVE_0, help="Frames a second [default: as trained].")
@click.option("--lpips", type=PLACE, help="Weights of LPIPS (safetensors), to report it too.")
@click.option("--out", type=OUT_FOLDER, help="A folder for plots, a grid of reconstructions and figures.json.")
@OVERWRITE
@THREADS
@DEVICE
@reports
def tokenizer(
    terminal: Terminal,
    data: Path,
    model: Path,
    index: Path | None,
    clips: int | None,
    frames: int | None,
    size: tuple[int, int] | None,
    fps: float | None,
    lpips: Path | None,
    out: Path | None,
    overwrite: bool,
    threads: int | None,
    device: str,
) -> None:
    """Judge a tokenizer on the indexed clips of DATA: quality, use of codes, bits, flicker.

    \b
    Example:
      videogen evaluate tokenizer fresh --model runs/toys --out report
    """
    from videogen.clip_spec import ClipSpec
    from videogen.evaluation.report.folder import check_report_folder
    from videogen.evaluation.tokenizer.dataset import evaluate_tokenizer
    from videogen.evaluation.tokenizer.video import as_table, check_size
    from videogen.models import load_tokenizer

    if out is not None:
        check_report_folder(out, overwrite)
    use_threads(threads)
    opened = load_tokenizer(model, usable_device(device))
    clips_seen = opened.clips
    height, width = size or (clips_seen.height, clips_seen.width)
    check_size(opened.network, height, width)
    spec = ClipSpec(height, width, fps or clips_seen.fps, frames or clips_seen.frames)
    with terminal.progress("judging", "clips") as on_progress:
        figures = evaluate_tokenizer(opened, data, index, spec, clips, lpips, out, on_progress)
    skipped = ", ".join(f"{count} {why}" for why, count in figures["skipped"].items() if count)
    left_out = f" ({skipped}: skipped)" if skipped else ""
    terminal.report(figures, f"{figures['clips']} clips of {data}{left_out}\n{as_table(figures)}")


@evaluate.command("runs")
@click.argument("runs", metavar="RUN...", type=PLACE, nargs=-1, required=True)
@click.option("--figure", help="What to draw [default: psnr of tokenizers, nats of priors].")
@click.option("--out", type=DRAWING, help="Draw the figure over the steps into this SVG.")
@click.option("--overwrite", is_flag=True, help="Replace the SVG that is there already.")
@reports
def runs(terminal: Terminal, runs: tuple[Path, ...], figure: str | None, out: Path | None, overwrite: bool) -> None:
    """Show the last validation of each run folder, side by side.

    \b
    Example:
      videogen evaluate runs runs/fsq runs/lfq --out curves.svg
    """
    from videogen.evaluation.lab.runs import as_table, compare

    refuse_taken(out, overwrite)
    rows, svg = compare(runs, figure)
    if out is not None:
        out.write_text(svg, encoding="utf-8")
    terminal.report({"runs": rows}, as_table(rows))


@click.command("selftest")
@click.argument("model", metavar="MODEL", type=PLACE)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the clips and the chunk plans.")
@THREADS
@DEVICE
@reports
def selftest(terminal: Terminal, model: Path, seed: int, threads: int | None, device: str) -> None:
    """Prove on a model's own weights that streaming is exact, time is causal, and every code survives.

    With a prior in it, the whole way from a prompt to pictures too: a stream is the offline result, a video of a batch
    is that video alone, and a stream that is resumed goes on as if it had never stopped.

    \b
    Example:
      videogen selftest runs/toys
    """
    from dataclasses import asdict

    from videogen.errors import VideogenError
    from videogen.evaluation.prior.selftest import check_prior_laws
    from videogen.evaluation.tokenizer.selftest import check_tokenizer_laws
    from videogen.models import has_prior, load_tokenizer
    from videogen.pipeline import VideoPipeline

    use_threads(threads)
    device = usable_device(device)
    whole = VideoPipeline.from_pretrained(model, device).model if has_prior(model) else None
    tokenizer = load_tokenizer(model, device) if whole is None else whole.tokenizer
    verdicts = [asdict(verdict) for verdict in check_tokenizer_laws(tokenizer.network, seed)]
    verdicts += [] if whole is None else [asdict(verdict) for verdict in check_prior_laws(whole, seed)]
    lines = [f"{outcome(each)}  {each['law']}: {each['detail']}" for each in verdicts]
    terminal.report({"verdicts": verdicts}, "\n".join(lines))
    broken = [each["law"] for each in verdicts if not each["held"]]
    if broken:
        raise VideogenError(f"{model}: {len(broken)} of {len(verdicts)} laws do not hold here: {'; '.join(broken)}")


def outcome(verdict: dict[str, Any]) -> str:
    if verdict["skipped"]:
        return "skipped"
    return "holds  " if verdict["held"] else "BROKEN "


@click.command("info")
@click.argument("model", metavar="MODEL|TOKENS|VIDEO", type=PLACE)
@reports
def info(terminal: Terminal, model: Path) -> None:
    """Say what a model folder holds: sizes, codes, rates, and the fingerprint that tokens carry.

    Of a folder of tokens that `videogen encode` made, it says of which clips they are and of which tokenizer. Of a
    video it says what it was made with: prompt, seed, model and settings, where `videogen` wrote the file.

    \b
    Examples:
      videogen info runs/toys
      videogen info tokens
      videogen info ring.mp4
    """
    from videogen.evaluation.info.video import describe_video, is_video
    from videogen.tokens.description import NAME

    describe = tokens_described if (model / NAME).is_file() else describe_video if is_video(model) else model_described
    figures, lines = describe(model)
    width = max(map(len, lines))
    terminal.report(figures, "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items()))


def model_described(model: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures and lines."""
    from videogen.evaluation.info.prior import describe_prior, format_prior
    from videogen.evaluation.info.tokenizer import describe_tokenizer, format_tokenizer
    from videogen.models import has_prior, load_prior, load_tokenizer

    if not has_prior(model):
        tokenizer = load_tokenizer(model)
        return describe_tokenizer(tokenizer), format_tokenizer(tokenizer)
    whole = load_prior(model)
    figures = describe_tokenizer(whole.tokenizer) | {"prior": describe_prior(whole)}
    return figures, format_tokenizer(whole.tokenizer) | format_prior(whole)


def tokens_described(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures and lines."""
    from videogen.evaluation.info.tokens import describe_tokens, format_tokens
    from videogen.tokens import TokenSet

    tokens = TokenSet.open(folder)
    return describe_tokens(tokens), format_tokens(tokens)


def usable_device(name: str) -> str:
    """The device, if torch can compute there; ResourceError otherwise, UsageError for what names none.

    From then on float32 means float32 there, in this process and in those it starts: the same ids on every device.
    """
    from tokenizer.precision import allow_tf32
    from videogen.devices import usable

    allow_tf32(convolutions=False, products=False)
    os.environ["NVIDIA_TF32_OVERRIDE"] = "0"  # what NVIDIA's libraries read when a worker starts
    return str(usable(name, "--device"))


def generator_at(model: Path | None) -> Path:
    """The model to generate with: the one that was named, or the one that comes along."""
    from videogen.errors import CheckpointError
    from videogen.models import BUNDLED, resolve_model

    if model is None:
        return BUNDLED
    from_environment = click.get_current_context().get_parameter_source("model") is ParameterSource.ENVIRONMENT
    if from_environment and not resolve_model(model).exists() and str(model) != BUNDLED.name:
        raise CheckpointError(f"VIDEOGEN_MODEL is {model}: no such folder; set it to a model's, or unset it")
    return model
