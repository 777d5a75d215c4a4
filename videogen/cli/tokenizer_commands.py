"""Commands that need a tokenizer and no prior: reconstruct, selftest, info."""

from pathlib import Path
from typing import Any

import click

from videogen.cli.generation.outputs import note_stretching, output_format, output_targets, remove_old_frames
from videogen.cli.options import DEVICE, OVERWRITE, REQUIRED_MODEL, THREADS, TOKENS, format_options
from videogen.cli.param_types import ANY_PATH, STDOUT, SizeType, VideoTarget
from videogen.cli.terminal import Terminal, terminal_options
from videogen.system.devices import use_device
from videogen.system.threads import use_threads


@click.command("reconstruct")
@click.argument("source", metavar="IN", type=ANY_PATH)
@click.argument("target", metavar="OUT", type=VideoTarget())
@OVERWRITE
@REQUIRED_MODEL
@TOKENS
@click.option("--side-by-side", is_flag=True, help="Show the original on the left.")
@click.option("--prompt", help="What the video shows, for a tokenizer whose decoder is given captions.")
@click.option("--size", type=SizeType(), help="Scale and crop to this size first [default: crop to whole tokens].")
@format_options
@THREADS
@DEVICE
@terminal_options
def reconstruct(
    terminal: Terminal,
    source: Path,
    target: str,
    overwrite: bool,
    model: Path,
    tokens: int | None,
    side_by_side: bool,
    prompt: str | None,
    size: tuple[int, int] | None,
    threads: int | None,
    device: str,
    **options: Any,
) -> None:
    """Encode and decode the video IN with a tokenizer, write it to OUT, and print how close it is.

    Works at any length in the memory of a few frames. OUT is a file or a folder as for `generate`, or - for raw RGB on
    stdout. Pixels at the borders that do not fill a token are cropped. Ctrl-C leaves a playable file.

    \b
    Examples:
      videogen reconstruct clip.mp4 seen.mp4 --model runs/toys --side-by-side
      videogen reconstruct film.mp4 seen.webm --model runs/toys --size 128x192
    """
    from videogen.evaluation.tokenizer.video import as_table, crop_notice, reconstruct_video
    from videogen.models import load_tokenizer

    output_targets(target, 1, False, overwrite, source)
    output = output_format(options)
    use_threads(threads)
    opened = load_tokenizer(model, use_device(device), tokens)
    remove_old_frames(target)
    with terminal.progress("reconstructing", "frames") as on_progress:
        how = size, side_by_side, on_progress, output, not options["no_metadata"], prompt
        metrics = reconstruct_video(opened, source, target, *how)
    note_stretching(terminal, (metrics["height"], metrics["width"] * (2 if side_by_side else 1)), output)
    if size is None and (cropped := crop_notice(metrics)) is not None:
        terminal.note(f"{source}: {cropped}")
    if target == STDOUT:
        terminal.note(as_table(metrics))
        return
    terminal.report(metrics, f"{as_table(metrics)}\n{target}")


@click.command("selftest")
@click.argument("model", metavar="MODEL", type=ANY_PATH)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the clips and chunk plans.")
@THREADS
@DEVICE
@terminal_options
def selftest(terminal: Terminal, model: Path, seed: int, threads: int | None, device: str) -> None:
    """Check on a model's own weights that streaming is exact, time is causal, and every code survives a round trip.

    With a prior, generation is checked too: a stream equals the offline result, a video in a batch equals that video
    alone, and a resumed stream equals one that never stopped.

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
    device = use_device(device)
    opened = VideoPipeline.from_pretrained(model, device).model if has_prior(model) else None
    tokenizer = load_tokenizer(model, device) if opened is None else opened.tokenizer
    verdicts = [asdict(verdict) for verdict in check_tokenizer_laws(tokenizer, seed)]
    verdicts += [] if opened is None else [asdict(verdict) for verdict in check_prior_laws(opened, seed)]
    lines = [f"{outcome(each):7} {each['law']}: {each['detail']}" for each in verdicts]
    terminal.report({"verdicts": verdicts}, "\n".join(lines))
    broken = [each["law"] for each in verdicts if not each["held"]]
    if broken:
        raise VideogenError(f"{model}: {len(broken)} of {len(verdicts)} checks failed: {'; '.join(broken)}")


def outcome(verdict: dict[str, Any]) -> str:
    return "skipped" if verdict["skipped"] else "holds" if verdict["held"] else "BROKEN"


@click.command("info")
@click.argument("model", metavar="MODEL|TOKENS|VIDEO", type=ANY_PATH)
@terminal_options
def info(terminal: Terminal, model: Path) -> None:
    """Describe a model folder: sizes, codes, rates, and the fingerprint that its tokens carry.

    For a folder of tokens, print which clips and which tokenizer they come from. For a video that `videogen` wrote,
    print how it was made: prompt, seed, model and settings. For a file of `compress`, print its header, what it holds,
    and whether it is whole.

    \b
    Examples:
      videogen info runs/toys
      videogen info tokens
      videogen info ring.mp4
      videogen info ring.vgc
    """
    from videogen.evaluation.info.compressed import describe_compressed, is_compressed
    from videogen.evaluation.info.video import describe_video, is_video
    from videogen.tokens.description import NAME

    kinds = (
        (describe_tokens, (model / NAME).is_file()),
        (describe_compressed, is_compressed(model)),
        (describe_video, is_video(model)),
        (describe_model, True),
    )
    values, lines = next(describe for describe, fits in kinds if fits)(model)
    width = max(map(len, lines))
    terminal.report(values, "\n".join(f"{name:<{width}}  {value}" for name, value in lines.items()))


def describe_model(model: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values for a program and the lines for a person."""
    from videogen.evaluation.info.prior import describe_prior, format_prior
    from videogen.evaluation.info.tokenizer import describe_tokenizer, format_tokenizer
    from videogen.models import has_prior, load_prior, load_tokenizer

    if not has_prior(model):
        tokenizer = load_tokenizer(model)
        values = describe_tokenizer(tokenizer)
        return values, format_tokenizer(tokenizer, values)
    opened = load_prior(model)
    values = describe_tokenizer(opened.tokenizer) | {"prior": describe_prior(opened)}
    return values, format_tokenizer(opened.tokenizer, values) | format_prior(opened)


def describe_tokens(folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The values for a program and the lines for a person."""
    from videogen.evaluation.info import tokens as token_info
    from videogen.tokens import TokenSet

    tokens = TokenSet.open(folder)
    return token_info.describe_tokens(tokens), token_info.format_tokens(tokens)
