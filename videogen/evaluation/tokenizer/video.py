"""Reconstructs one video file: frames are written as they are decoded, and metrics are summed."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interfaces.tokenizer import VideoTokenizer
from interfaces.tokens import TokenSpec
from tokenizer.quantize import Usage
from videogen.errors import DataError, UsageError
from videogen.evaluation.distances.distance import TITLES, describe
from videogen.evaluation.tokenizer.metrics import Totals
from videogen.generation.metadata import metadata_of_reconstruction
from videogen.generation.reconstruct import round_trip
from videogen.io import OutputFormat, VideoWriter, fit, scan, stream
from videogen.models import TokenizerModel
from videogen.system.signals import Interrupted, catch_signals

OnProgress = Callable[[int, int], None]


def reconstruct_video(
    model: TokenizerModel,
    source: Path,
    target: Path | str,
    size: tuple[int, int] | None = None,
    side_by_side: bool = False,
    on_progress: OnProgress | None = None,
    output: OutputFormat = OutputFormat(),  # noqa: B008 - frozen
    with_metadata: bool = True,
    prompt: str | None = None,
) -> dict[str, Any]:
    """Encodes and decodes every frame of `source`, writes `target` and returns the figures.

    Frames keep their size except for a border that does not fill a token; `size` (height, width) scales and crops
    them instead. A decoder with a condition is given the `prompt`. A request to stop finishes a playable file and
    raises Interrupted.
    """
    if str(target) != "-" and Path(target).resolve() == source.resolve():
        raise UsageError(f"{target}: is also the input; write the reconstruction somewhere else")
    model.check_causal()
    if prompt is not None and model.conditioner is None:
        raise UsageError(f"{model.path}: its decoder takes no prompt: the tokenizer was trained without a condition")
    decoder = None if prompt is None else model.begin_decoding([prompt])
    seen = scan(source)
    height, width = size or crop_to_tokens(model.network, seen.height, seen.width, source)
    check_size(model.network, height, width)
    frames = len(seen.pts)
    totals, usage = Totals(), Usage.none(model.network.spec(height, width).codebooks)
    with ExitStack() as stack:
        shown_width = 2 * width if side_by_side else width
        asked = stack.enter_context(catch_signals())
        shape = height, shown_width
        facts = metadata_of_reconstruction(model, source, prompt) if with_metadata else None
        writer = stack.enter_context(VideoWriter(target, seen.fps or 1.0, *shape, output=output, metadata=facts))
        frames_of_source = (resized_frames if size else cropped_frames)(source, height, width)
        for piece in round_trip(model.network, frames_of_source, decoder):
            totals, usage = totals.plus_frames(piece.frames, piece.originals), usage.plus(piece.codes_TNK)
            made = piece.frames.numpy()
            writer.write(np.concatenate([piece.originals.numpy(), made], axis=2) if side_by_side else made)
            if on_progress is not None:
                on_progress(totals.frames, frames)
            if asked.number:
                break
    if asked.number:
        raise Interrupted(f"stopped after writing {totals.frames} of {frames} frames", asked.number)
    return {
        **reconstruction_figures(totals, usage, model.network.spec(height, width), height * width),
        "height": height,
        "width": width,
        "fps": seen.fps,
        "original": {"height": seen.height, "width": seen.width},
    }


def cropped_frames(source: Path, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """Frames at their own size, cropped at the borders."""
    for _, frame in stream(source):
        top, left = (frame.shape[0] - height) // 2, (frame.shape[1] - width) // 2
        yield frame[top : top + height, left : left + width]


def resized_frames(source: Path, height: int, width: int) -> Iterator[NDArray[np.uint8]]:
    """Frames scaled to cover the size and cropped."""
    for _, frame in stream(source):
        yield fit(frame[None], height, width)[0]


def crop_to_tokens(tokenizer: VideoTokenizer, height: int, width: int, source: Path) -> tuple[int, int]:
    multiple = tokenizer.size_multiple
    whole = height // multiple * multiple, width // multiple * multiple
    if 0 in whole:
        raise DataError(f"{source}: {height} x {width} pixels; the tokenizer needs at least {multiple} x {multiple}")
    return whole


def check_size(tokenizer: VideoTokenizer, height: int, width: int) -> None:
    multiple = tokenizer.size_multiple
    if height % multiple or width % multiple or height < 1 or width < 1:
        raise UsageError(f"--size is {height}x{width}; both must be multiples of {multiple}, the side of a token")


def reconstruction_figures(totals: Totals, usage: Usage, spec: TokenSpec, pixels: int) -> dict[str, Any]:
    """The figures of frames of `pixels` pixels each; those of codes are None for continuous tokens."""
    quality, bits = totals.quality(), spec.bits
    codes = {
        "bits_per_token": bits,
        "bits_per_pixel": usage.tokens * bits / (quality.frames * pixels),
        "codes": usage.entries,
        "code_use": usage.share,
        "code_use_reachable": usage.reachable_share,
        "dead_codes": usage.dead,
        "perplexity": usage.perplexity,
    }
    return {
        "frames": quality.frames,
        "psnr": quality.psnr,
        "psnr_pooled": quality.psnr_pooled,
        "psnr_worst": quality.psnr_worst,
        "ssim": quality.ssim,
        "flicker": quality.flicker,
        "tokens": usage.tokens,
        **(dict.fromkeys(codes) if spec.continuous else codes),
    }


def as_table(figures: dict[str, Any]) -> str:
    """A table for people, with units."""
    f = figures
    rows = [
        ("frames", f"{f['frames']:,}"),
        *([("size", format_size(f))] if "original" in f else []),
        ("PSNR", f"{f['psnr']:.2f} dB (worst frame {f['psnr_worst']:.2f}, of the pooled error {f['psnr_pooled']:.2f})"),
        *([("no caption", f"{without:.2f} dB")] if (without := f.get("psnr_without_caption")) is not None else []),
        ("SSIM", f"{f['ssim']:.4f}"),
        *([("LPIPS", lpips_value(f))] if f.get("lpips") is not None else []),
        *((TITLES[key], f"{f[key]:.4g} ({describe(f['pinned'][key], f['clips'])})") for key in TITLES if key in f),
        ("flicker", f"{f['flicker']:.2f} gray levels from frame to frame"),
        *(code_rows(f) if f["codes"] is not None else [("tokens", f"{f['tokens']:,}, continuous")]),
        *(attribute_rows(f["disentanglement"]) if "disentanglement" in f else []),
    ]
    return "\n".join(f"{name:<16}{value}" for name, value in rows)


def lpips_value(f: dict[str, Any]) -> str:
    network = f.get("pinned", {}).get("lpips")
    return f"{f['lpips']:.4f}" + (f" (version 0.1, {network['network']})" if network else "")


def code_rows(f: dict[str, Any]) -> list[tuple[str, str]]:
    reach = f"; this many tokens can reach {f['code_use_reachable']:.2%}" if f["code_use_reachable"] < 0.995 else ""
    return [
        ("tokens", f"{f['tokens']:,} of {f['bits_per_token']:.2f} bits"),
        ("bits per pixel", f"{f['bits_per_pixel']:.4f} (raw video: 24)"),
        ("code use", f"{f['code_use']:.2%} of {f['codes']:,}{reach}; {f['dead_codes']:,} never seen"),
        ("perplexity", f"{f['perplexity']:,.1f}"),
    ]


def attribute_rows(f: dict[str, Any]) -> list[tuple[str, str]]:
    """What the best unit of code tells about each attribute, and how far it is ahead of the second best."""
    mean = f"mean information {f['information']:.3f}, mean gap (MIG) {format_gap(f['mig'])}"
    each = [
        (
            f"  {name}",
            f"information {of_one['information']:.3f}, gap {format_gap(of_one['gap'])}, {of_one['values']} values, "
            f"{of_one['unit']}",
        )
        for name, of_one in f["attributes"].items()
    ]
    return [("attributes", mean), *each]


def format_gap(gap: float | None) -> str:
    return "none (a single unit)" if gap is None else f"{gap:.3f}"


def format_size(figures: dict[str, Any]) -> str:
    size, original = ((of["height"], of["width"]) for of in (figures, figures["original"]))
    return f"{size[0]} x {size[1]}" + (f" of {original[0]} x {original[1]}" if size != original else "")


def crop_notice(figures: dict[str, Any]) -> str | None:
    """A notice if whole tokens do not cover the video, or None."""
    height, width, original = figures["height"], figures["width"], figures["original"]
    if (height, width) == (original["height"], original["width"]):
        return None
    return (
        f"the video is {original['height']} x {original['width']}, which is not a multiple of the token size; "
        f"cropped to its middle, {height} x {width}"
    )
