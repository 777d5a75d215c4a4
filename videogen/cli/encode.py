"""`videogen encode`: clips to tokens, once, for the prior to train on."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.kinds import ABOVE_0, OUT_FOLDER
from videogen.cli.models import DEVICE, MODEL, PLACE, usable_device
from videogen.cli.terminal import Terminal, reports
from videogen.threads import use_threads

if TYPE_CHECKING:
    from videogen.clip_spec import ClipSpec
    from videogen.tokens import EncodeResult, EncodeSpec


@click.command("encode")
@click.argument("source", metavar="DATA", type=PLACE)
@click.argument("out", type=OUT_FOLDER)
@MODEL
@click.option("--index", "index_path", type=PLACE, help="The index, where it does not lie with the data.")
@click.option("--fps", type=ABOVE_0, help="Pictures a second [default: as the tokenizer was trained].")
@click.option("--height", type=click.IntRange(1), help="Rows of a picture [default: as it was trained].")
@click.option("--width", type=click.IntRange(1), help="Columns of a picture [default: as it was trained].")
@click.option("--frames", type=click.IntRange(1), help="Encode at most so many pictures of each clip [default: all].")
@click.option("--clips-per-shard", type=click.IntRange(1), default=64, show_default=True, help="Clips of one file.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes.")
@click.option(
    "--threads", type=click.IntRange(1), help="Threads of each process [default: torch's choice, or a share]."
)
@DEVICE
@reports
def encode(
    terminal: Terminal,
    source: Path,
    out: Path,
    model: Path,
    index_path: Path | None,
    clips_per_shard: int,
    workers: int,
    threads: int | None,
    device: str,
    **wanted: Any,
) -> None:
    """Encode the clips of DATA into the folder OUT, as token shards that a prior is trained on.

    Every usable clip of the index is encoded whole, at any length. A run that was stopped goes on where it was; the
    same command started again meanwhile shares the work; tokens of another tokenizer, size or set are never mixed in.

    \b
    Examples:
      videogen encode ~/videos tokens --model runs/toys
      videogen encode ~/videos tokens --model runs/toys --fps 8 --height 64 --width 64 --workers 4
    """
    from videogen.data import load_index
    from videogen.models import load_tokenizer
    from videogen.tokens import encode as encode_into

    index = load_index(source, index_path)
    use_threads(threads)
    opened = load_tokenizer(model, usable_device(device))
    began = time.monotonic()
    with terminal.progress("encoding", "clips") as on_progress:
        encoded = encode_into(
            index, out, opened, _spec(opened.clips, wanted), clips_per_shard, workers, threads, on_progress
        )
    if index.refused:
        terminal.note(f"{len(index.refused)} refused clips of the index are not in it")
    if encoded.empty:
        terminal.note(f"{len(encoded.empty)} clips without a picture are not in it, such as {encoded.empty[0]}")
    figures = _figures(out, encoded, time.monotonic() - began)
    terminal.report(figures, _describe(figures))


def _spec(clips: "ClipSpec", wanted: dict[str, Any]) -> "EncodeSpec":
    from videogen.tokens import EncodeSpec

    chosen = {name: wanted[name] or getattr(clips, name) for name in ("height", "width", "fps")}
    return EncodeSpec(**chosen, frames=wanted["frames"])


def _figures(out: Path, encoded: "EncodeResult", seconds: float) -> dict[str, Any]:
    return {
        "folder": str(out),
        "tokenizer": encoded.description.tokenizer,
        "clips": encoded.description.count,
        "shards": encoded.description.shards,
        "pictures": encoded.frames,
        "latent_frames": encoded.latent_frames,
        "tokens": encoded.tokens,
        "bytes": encoded.bytes,
        "bits_per_pixel": None if encoded.description.spec.continuous else round(encoded.bits_per_pixel, 6),
        "encoded_now": encoded.encoded,
        "left_out": list(encoded.empty),
        "seconds": round(seconds, 3),
        "clips_per_second": round(encoded.encoded / seconds, 3) if encoded.encoded else None,
    }


def _describe(figures: dict[str, Any]) -> str:
    bits = "" if figures["bits_per_pixel"] is None else f", {figures['bits_per_pixel']:.4f} bits a pixel"
    pace = f", {figures['clips_per_second']:.2f} a second" if figures["encoded_now"] else ""
    return "\n".join(
        [
            f"{figures['folder']}: {figures['clips']} clips of {figures['pictures']} pictures in "
            f"{figures['shards']} shards",
            f"  {figures['latent_frames']} latent frames, {figures['tokens']} tokens, {figures['bytes']} bytes" + bits,
            f"  {figures['encoded_now']} clips encoded now in {figures['seconds']:.1f} s{pace}",
        ]
    )
