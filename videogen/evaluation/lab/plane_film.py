"""The film of `plane.py`: a gif, and its last frame as a PNG."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from videogen.evaluation.lab.plane import PlaneConfig, draw_frame, train_rivals

COLORS, MILLISECONDS, HOLD = 64, 90, 1500  # of the palette; a frame; the last frame


def write_film(config: PlaneConfig, out: Path) -> dict[str, int]:
    """Trains, writes `out` and the PNG beside it, and returns how many codes of each rival live at the end."""
    frames, alive = [], {}
    for step, states, points_N2 in train_rivals(config):
        frames.append(draw_frame(step, states, points_N2, config.side))
        alive = {state.name: state.alive for state in states}
    out.parent.mkdir(parents=True, exist_ok=True)
    write_gif(frames, out)
    return alive


def write_gif(frames: list[NDArray[np.uint8]], out: Path) -> None:
    """All frames in one palette without dithering: a gif keeps what does not change between frames."""
    from PIL import Image

    images = [Image.fromarray(frame) for frame in frames]
    images[-1].save(out.with_suffix(".png"))
    palette = Image.fromarray(np.concatenate(frames[:: max(1, len(frames) // 4)])).quantize(COLORS)
    first, *others = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    durations = [MILLISECONDS] * len(others) + [HOLD]
    first.save(out, save_all=True, append_images=others, duration=durations, loop=0, optimize=True)
