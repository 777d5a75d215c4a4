"""The clips of a lab, the same for all variants."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from videogen.clip_spec import ClipSpec
from videogen.lab.recipe import LabFolder, LabPlayroom

OnProgress = Callable[[int, int], None]


def clip_settings(data: LabPlayroom | LabFolder, out: Path) -> dict[str, object]:
    """Where training finds the clips, as changes of its configuration."""
    if isinstance(data, LabPlayroom):
        return {"data.train": str(out / "data" / "train"), "data.validation": str(out / "data" / "held_out")}
    return {
        "data.train": str(data.train),
        "data.validation": None if data.validation is None else str(data.validation),
    }


def prepare_clips(data: LabPlayroom | LabFolder, out: Path, on_progress: OnProgress) -> None:
    """Write and index what is not there yet."""
    from videogen.data import build_index
    from videogen.lab.drawings.write import write_drawings
    from videogen.playroom.write import write_playroom

    if isinstance(data, LabPlayroom):
        held_out = replace(data.train, clips=data.held_out, seed=data.train.seed + 1)
        write_playroom(out / "data" / "train", data.train, on_progress)
        write_playroom(out / "data" / "held_out", held_out)
        if data.drawings:
            size, seed = data.train.size, data.train.seed
            spec = ClipSpec(size, size, data.train.fps, data.train.frames)
            write_drawings(out / "data" / "train" / "drawings", data.drawings, spec, seed)
    for place in clip_settings(data, out).values():
        if place is not None:
            build_index(Path(str(place)), workers=1)
