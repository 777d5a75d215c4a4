"""`videogen encode`: clips to token shards, for the prior to train on."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from videogen.cli.engine_options import engine_options, workers_option
from videogen.cli.options import DEVICE, INDEX, REQUIRED_MODEL, TOKENS
from videogen.cli.param_types import DATA, OUTPUT_FOLDER, POSITIVE
from videogen.cli.terminal import Terminal, terminal_options
from videogen.executors.chosen import EngineName, open_executor
from videogen.storage import Location
from videogen.system.devices import use_device
from videogen.system.threads import use_threads

if TYPE_CHECKING:
    from videogen.clip_spec import ClipSpec
    from videogen.tokens import EncodeResult, EncodeSpec


@click.command("encode")
@click.argument("source", metavar="DATA", type=DATA)
@click.argument("out", type=OUTPUT_FOLDER)
@REQUIRED_MODEL
@TOKENS
@INDEX
@click.option("--fps", type=POSITIVE, help="Frame rate [default: as in training].")
@click.option("--height", type=click.IntRange(1), help="Frame height in pixels [default: as in training].")
@click.option("--width", type=click.IntRange(1), help="Frame width in pixels [default: as in training].")
@click.option("--frames", type=click.IntRange(1), help="Encode at most this many frames of each clip [default: all].")
@click.option("--clips-per-shard", type=click.IntRange(1), default=64, show_default=True, help="Clips per shard file.")
@workers_option("1")
@click.option(
    "--threads",
    type=click.IntRange(1),
    help="CPU threads of each process [default: the cores, shared by the processes; with --engine ray 1].",
)
@DEVICE
@engine_options
@terminal_options
def encode(
    terminal: Terminal,
    source: Location,
    out: Path,
    model: Path,
    tokens: int | None,
    index: Path | None,
    clips_per_shard: int,
    workers: int | None,
    threads: int | None,
    device: str,
    engine: EngineName,
    address: str | None,
    **wanted: Any,
) -> None:
    """Encode the clips of DATA into token shards in the folder OUT, to train a prior on.

    Every usable clip of the index is encoded whole, at any length. An interrupted run continues where it stopped; the
    same command run a second time in parallel shares the work. OUT is refused if it holds tokens of another tokenizer,
    frame size or data set.

    \b
    Examples:
      videogen encode ~/videos tokens --model runs/toys
      videogen encode ~/videos tokens --model runs/toys --fps 8 --height 64 --width 64 --workers 4
      videogen encode ~/videos tokens --model runs/toys --engine ray --address ray://head:10001
    """
    from videogen.data import load_index
    from videogen.models import load_tokenizer
    from videogen.tokens import encode as encode_into

    clips = load_index(source, index)
    use_threads(threads)
    opened = load_tokenizer(model, use_device(device if engine == "local" else "cpu"), tokens)
    began = time.monotonic()
    with (
        open_executor(engine, address, workers, threads, device) as executor,
        terminal.progress("encoding", "clips") as on_progress,
    ):
        encoded = encode_into(
            clips,
            out,
            opened,
            _spec(opened.clips, wanted),
            clips_per_shard,
            on_progress=on_progress,
            executor=executor,
            device=device,
        )
    if clips.refused:
        terminal.note(f"{len(clips.refused)} refused clips of the index are left out")
    if encoded.empty:
        terminal.note(f"{len(encoded.empty)} clips without a frame are left out, such as {encoded.empty[0]}")
    report = _report(out, encoded, time.monotonic() - began)
    terminal.report(report, _as_text(report))


def _spec(clips: "ClipSpec", wanted: dict[str, Any]) -> "EncodeSpec":
    from videogen.tokens import EncodeSpec

    chosen = {name: wanted[name] or getattr(clips, name) for name in ("height", "width", "fps")}
    return EncodeSpec(**chosen, frames=wanted["frames"])


def _report(out: Path, encoded: "EncodeResult", seconds: float) -> dict[str, Any]:
    return {
        "folder": str(out),
        "tokenizer": encoded.description.tokenizer,
        "clips": encoded.description.count,
        "shards": encoded.description.shards,
        "frames": encoded.frames,
        "latent_frames": encoded.latent_frames,
        "tokens": encoded.tokens,
        "bytes": encoded.bytes,
        "bits_per_pixel": None if encoded.description.spec.continuous else round(encoded.bits_per_pixel, 6),
        "encoded_now": encoded.encoded,
        "left_out": list(encoded.empty),
        "seconds": round(seconds, 3),
        "clips_per_second": round(encoded.encoded / seconds, 3) if encoded.encoded else None,
    }


def _as_text(report: dict[str, Any]) -> str:
    bits = "" if report["bits_per_pixel"] is None else f", {report['bits_per_pixel']:.4f} bits per pixel"
    pace = f", {report['clips_per_second']:.2f} per second" if report["encoded_now"] else ""
    shards = f"{report['shards']} {'shard' if report['shards'] == 1 else 'shards'}"
    return "\n".join(
        [
            f"{report['folder']}: {report['clips']} clips of {report['frames']} frames in {shards}",
            f"  {report['latent_frames']} latent frames, {report['tokens']} tokens, {report['bytes']} bytes" + bits,
            f"  {report['encoded_now']} clips encoded now in {report['seconds']:.1f} s{pace}",
        ]
    )
