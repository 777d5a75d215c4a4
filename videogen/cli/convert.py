"""`videogen convert`: public checkpoints, and folders of version 1, become folders of this version."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from videogen.cli.options import DTYPES
from videogen.cli.param_types import ANY_PATH, OUTPUT_FOLDER, POSITIVE, SizeType
from videogen.cli.terminal import Terminal, terminal_options

if TYPE_CHECKING:
    from videogen.clip_spec import ClipSpec

DTYPE = "float32"  # of a public checkpoint, where nothing else is said


@click.command("convert")
@click.argument("arguments", metavar="[KIND] SOURCE OUT [KEY=VALUE]...", nargs=-1, type=str)
@click.option(
    "--size", type=SizeType(), help="Frame size of the model's clips [default: that of KIND, 256x256 for tokenizers]."
)
@click.option("--fps", type=POSITIVE, help="Frame rate of the model's clips [default: that of KIND].")
@click.option("--frames", type=click.IntRange(1), help="Frames of the model's clips [default: those of KIND].")
@click.option("--dtype", type=click.Choice(DTYPES), help="Data type of the stored weights [default: float32].")
@click.option("--overwrite", is_flag=True, help="Replace an existing model.")
@click.option("--check", is_flag=True, help="Compare the model with the published classes, those of diffusers.")
@click.option(
    "--model", type=ANY_PATH, help="The tokenizer that made the token set of version 1 [default: the bundled model's]."
)
@terminal_options
@click.pass_context
def convert(
    context: click.Context,
    terminal: Terminal,
    arguments: tuple[str, ...],
    size: tuple[int, int] | None,
    fps: float | None,
    frames: int | None,
    dtype: str | None,
    overwrite: bool,
    check: bool,
    model: Path | None,
) -> None:
    """Convert SOURCE, a public checkpoint of KIND, into the folder OUT: a model, or a network that measures videos.

    SOURCE is a file (.safetensors, .ckpt, .pt, .pth, .bin, .jit), a folder of them, or OWNER/NAME or OWNER/NAME/PLACE
    on the Hugging Face hub. KEY=VALUE says what the tensors do not. Nothing in SOURCE is run.

    Without KIND, SOURCE is a model folder, a run folder's model or a token set of version 1, and OUT a new folder:
    weights and shards are copied byte by byte, and SOURCE stays as it is.

    \b
    Examples:
      videogen convert vidtok vidtok_fsq_causal_488_32768.ckpt vidtok version=1.0
      videogen convert cosmos nvidia/Cosmos-0.1-Tokenizer-DV4x8x8 cosmos --check
      videogen convert lumos1 Alibaba-DAMO-Academy/Lumos-1/1B/stage-2-joint lumos tokenizer=cosmos
      videogen convert lpips vgg16-397923af.pth lpips heads=vgg.pth
      videogen convert runs/prior prior_2
      videogen convert tokens tokens_2 --model prior_2
    """
    from videogen.clip_spec import ClipSpec
    from videogen.errors import UsageError
    from videogen.models.conversions import group_of
    from videogen.models.foreign import foreign_model

    if len(arguments) < 2:
        raise click.UsageError("give KIND SOURCE OUT, or SOURCE OUT for a folder of version 1", context)
    if len(arguments) == 2:
        if overwrite or check or any(option is not None for option in (size, fps, frames, dtype)):
            raise UsageError("--size, --fps, --frames, --dtype, --check and --overwrite are for KIND SOURCE OUT")
        convert_version_1(terminal, Path(arguments[0]), Path(arguments[1]), model)
        return
    if model is not None:
        raise UsageError("--model is for token sets of version 1; give SOURCE OUT without KIND")
    kind, source, place, *settings = arguments
    if not group_of(kind).has_clips and any(option is not None for option in (size, fps, frames)):
        raise UsageError(f"--size, --fps and --frames are the clips of a model; {kind} has none")
    clips = None
    if group_of(kind).has_clips:
        usual = foreign_model(kind).clips
        clips = ClipSpec(*(size or (usual.height, usual.width)), fps or usual.fps, frames or usual.frames)
    out = OUTPUT_FOLDER.convert(place, None, context)
    convert_public(terminal, kind, source, out, clips, settings, dtype or DTYPE, overwrite, check)


def convert_public(
    terminal: Terminal,
    kind: str,
    source: str,
    out: Path,
    clips: "ClipSpec | None",
    settings: list[str],
    dtype: str,
    overwrite: bool,
    check: bool,
) -> None:
    from dataclasses import asdict

    from videogen.errors import CheckpointError, UsageError
    from videogen.models import TokenizerModel, resolve_checkpoint
    from videogen.models.compare import BOUND, check_reference, compare
    from videogen.models.conversions import Request, group_of
    from videogen.pipeline import as_dtype

    options = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not (key and equals) or key in options:
            raise UsageError(f"{setting[:60]!a}: {'given twice' if key in options else 'expected KEY=VALUE'}")
        options[key] = value
    if out.exists() and any(out.iterdir()) and not overwrite:
        raise UsageError(f"{out}: already exists; --overwrite replaces it")
    if check:
        check_reference(kind, options)
    place = resolve_checkpoint(source)
    found = group_of(kind).convert(Request(kind, place, out, options, as_dtype(dtype), clips))
    report = {"folder": str(out), "parameters": found.parameters, "fingerprint": found.fingerprint}
    text = f"{out}: {found.parameters / 1e6:.1f} M parameters, fingerprint {found.fingerprint}"
    compared = compare(kind, place, found.model) if check and isinstance(found.model, TokenizerModel) else None
    if compared is not None:
        report |= {"compared": asdict(compared)}
        text += f"\nbeside the published classes: {compared}"
    terminal.report(report, text)
    if compared is not None and not compared.equal:
        raise CheckpointError(f"{out}: differs from the published classes by more than {BOUND:g}; do not use it")


def convert_version_1(terminal: Terminal, old: Path, new: Path, model: Path | None) -> None:
    from videogen.errors import UsageError
    from videogen.models import BUNDLED, convert_model, load_tokenizer
    from videogen.tokens.convert import convert_tokens
    from videogen.tokens.description import NAME

    if not old.is_dir():
        raise UsageError(f"{old}: no folder of version 1; a public checkpoint is converted by KIND SOURCE OUT")
    if (old / NAME).is_file():
        converted = convert_tokens(old, new, load_tokenizer(BUNDLED if model is None else model))
        terminal.report({"folder": str(new), "clips": len(converted)}, f"{new}: a token set of {len(converted)} clips")
        return
    if model is not None:
        raise UsageError(f"--model is for token sets; {old} holds no {NAME}")
    found = convert_model(old, new)
    terminal.report({"folder": str(new), "fingerprint": found.fingerprint}, f"{new}: fingerprint {found.fingerprint}")
