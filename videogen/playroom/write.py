"""Write a synthetic training set: playroom clips with captions, in a folder like any other."""

import difflib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from videogen.errors import DataError
from videogen.playroom.grammar import MOTION_WORDS, SHAPE_WORDS, SIZE_WORDS, SPEED_WORDS, caption
from videogen.playroom.scene import COLOURS, SHAPES, Scene, sample_scenes

OnProgress = Callable[[int, int], None]
AT_ONCE = 64  # clips
RECIPE = "playroom.json"
PREVIEWED = 12


@dataclass(frozen=True)
class PlayroomConfig:
    """A set of playroom clips; clip i depends on all settings but the number of clips.

    `held_out_pairs` such as "red star" never occur, and `held_out_words` such as "hoop" are never used, to evaluate a
    model on them. `quality` is the crf of H.264 (0 is lossless, 18 is hard to tell from the original).
    """

    clips: int = 100
    seed: int = 0
    size: int = 64
    frames: int = 17
    fps: float = 8.0
    quality: int = 12
    things: tuple[int, ...] = (1, 2)
    held_out_pairs: tuple[str, ...] = ()
    held_out_words: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("clips", 1), ("seed", 0), ("size", 16), ("frames", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if not 0 < self.fps <= 240:
            raise ValueError(f"fps is {self.fps}; it must lie above 0 and be at most 240")
        if not 0 <= self.quality <= 51:
            raise ValueError(f"quality is {self.quality}; H.264 knows 0 to 51")
        if not self.things or not set(self.things) <= {1, 2}:
            raise ValueError(f"things is {list(self.things)}; a scene holds 1 or 2")
        for pair in self.held_out_pairs:
            colour, _, shape = pair.partition(" ")
            if colour not in COLOURS or shape not in SHAPES:
                raise ValueError(f"held_out_pairs holds '{pair}'; expected a colour and a shape such as 'red star'")
        tables = (SHAPE_WORDS, SIZE_WORDS, MOTION_WORDS, SPEED_WORDS)
        said = [word for table in tables for choices in table.values() for word in choices]
        for word in self.held_out_words:
            if word not in said:
                near = difflib.get_close_matches(word, said, 1)
                hint = f"; did you mean '{near[0]}'?" if near else f"; they are {', '.join(said)}"
                raise ValueError(f"held_out_words holds '{word}', which no caption uses{hint}")
        for table in tables:
            for meaning, choices in table.items():
                if set(choices) <= set(self.held_out_words):
                    raise ValueError(f"held_out_words leaves no word for '{meaning}'")

    def scenes(self, start: int, count: int) -> list[Scene]:
        pairs = [(pair.partition(" ")[0], pair.partition(" ")[2]) for pair in self.held_out_pairs]
        return sample_scenes(count, self.seed, start, self.things, pairs)


def write_playroom(out: Path, config: PlayroomConfig, on_progress: OnProgress | None = None) -> None:
    """Write clip_000000.mp4 with clip_000000.txt and so on; clips of an earlier run are kept.

    A file gets its name when it is complete, so a killed run resumes. More clips than last time extend the set;
    a folder with other settings is refused.
    """
    out.mkdir(parents=True, exist_ok=True)
    _check_recipe(out, config)
    names = [f"clip_{number:06}" for number in range(config.clips)]
    missing = [number for number, name in enumerate(names) if not (out / f"{name}.txt").exists()]
    done = config.clips - len(missing)
    if on_progress:
        on_progress(done, config.clips)
    for first in range(0, len(missing), AT_ONCE):
        some = missing[first : first + AT_ONCE]
        _write_some(out, config, some)
        done += len(some)
        if on_progress:
            on_progress(done, config.clips)


def preview(out: Path, fps: float, sheet: Path | None, reel: Path | None) -> None:
    """A contact sheet and a mosaic video of the first clips in a folder that `write_playroom` made."""
    from videogen.io import read, scan, write_video
    from videogen.io.contact_sheet import contact_sheet, mosaic

    paths = sorted(out.glob("clip_*.mp4"))[:PREVIEWED]
    scans = [scan(path) for path in paths]
    clips = [read(path, range(len(seen.pts)), seen) for path, seen in zip(paths, scans, strict=True)]
    if sheet is not None:
        contact_sheet(clips, [path.with_suffix(".txt").read_text() for path in paths]).save(sheet)
    if reel is not None:
        write_video(reel, mosaic(clips), fps)


def _check_recipe(out: Path, config: PlayroomConfig) -> None:
    """DataError if the folder was written with other settings; the number of clips may differ."""
    recipe = {key: value for key, value in json.loads(json.dumps(asdict(config))).items() if key != "clips"}
    path = out / RECIPE
    if not path.exists():
        if any(out.glob("clip_*")):
            raise DataError(f"{out}: holds clips of another origin; choose an empty folder")
        _put(path, json.dumps(recipe, indent=2) + "\n")
        return
    try:
        before = json.loads(path.read_text())
    except ValueError:
        raise DataError(f"{path}: not JSON, so the settings of these clips are lost; choose another folder") from None
    other = [key for key in recipe if before.get(key) != recipe[key]]
    if other:
        key = other[0]
        raise DataError(f"{out}: was written with {key} {before.get(key)}, not {recipe[key]}; choose another folder")


def _write_some(out: Path, config: PlayroomConfig, numbers: Sequence[int]) -> None:
    from videogen.io import VideoWriter
    from videogen.playroom.render import render

    scenes = [config.scenes(number, 1)[0] for number in numbers]
    clips = render(scenes, config.frames, config.size, config.fps).numpy()
    for number, scene, clip in zip(numbers, scenes, clips, strict=True):
        name = f"clip_{number:06}"
        partial = out / f".{name}.partial.mp4"
        with VideoWriter(partial, config.fps, config.size, config.size, config.quality) as writer:
            writer.write(clip)
        partial.replace(out / f"{name}.mp4")
        _put(out / f"{name}.txt", caption(scene, config.seed + number, config.held_out_words) + "\n")


def _put(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text)
    partial.replace(path)
