"""Score how well videos show what their captions ask for, attribute by attribute."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from videogen.errors import DataError
from videogen.playroom.grammar import OutsideWorldError, parse
from videogen.playroom.scene import Scene, Thing

if TYPE_CHECKING:
    from videogen.data import IndexedClip

OnProgress = Callable[[int, int], None]
GROUND = ("pattern", "colour")
THING = ("shape", "size", "motion", "speed")
NOTHING = "nothing"


@dataclass
class Score:
    """Counts over scored clips: `pairs[attribute][wanted, seen]`, and clips that are right in every attribute."""

    clips: int = 0
    all_correct: int = 0
    pairs: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)

    def add(self, wanted: Scene, seen: Scene) -> bool:
        """Score one clip; returns whether every attribute is right."""
        judged = judge(wanted, seen)
        for attribute, asked, shown in judged:
            self.pairs.setdefault(attribute, Counter())[asked, shown] += 1
        right = all(asked == shown for _, asked, shown in judged)
        self.clips += 1
        self.all_correct += right
        return right

    def figures(self) -> dict[str, Any]:
        """Rates of each attribute, of all attributes, of clips right in every attribute, and confusions; JSON types."""
        total = sum((counts for counts in self.pairs.values()), Counter[tuple[str, str]]())
        return {
            "clips": self.clips,
            "all_correct": self.all_correct / max(self.clips, 1),
            "attributes": _rate(total),
            "by_attribute": {attribute: _rate(counts) for attribute, counts in self.pairs.items()},
            "confusions": {attribute: _confusions(counts) for attribute, counts in self.pairs.items()},
        }


def judge(wanted: Scene, seen: Scene) -> list[tuple[str, str, str]]:
    """(attribute, asked for, shown) for everything that a caption asks for; things are matched by color.

    If the color is missing, every attribute of the thing is wrong. A speed that was not asked for is not scored.
    """
    rows = [("objects", str(len(wanted.things)), str(len(seen.things)))]
    rows += [(f"ground {name}", getattr(wanted.backdrop, name), getattr(seen.backdrop, name)) for name in GROUND]
    there = {thing.colour: thing for thing in seen.things}
    for thing in wanted.things:
        found = there.get(thing.colour)
        rows.append(("colour", thing.colour, thing.colour if found else NOTHING))
        rows += [(name, asked, _shown(found, name)) for name in THING if (asked := getattr(thing, name)) is not None]
    return rows


def _shown(thing: Thing | None, name: str) -> str:
    return NOTHING if thing is None else getattr(thing, name) or "no speed"


def _rate(counts: Counter[tuple[str, str]]) -> float:
    right = sum(count for (asked, shown), count in counts.items() if asked == shown)
    return right / max(counts.total(), 1)


def _confusions(counts: Counter[tuple[str, str]]) -> list[dict[str, Any]]:
    wrong = Counter({pair: count for pair, count in counts.items() if pair[0] != pair[1]})
    return [{"asked": asked, "shown": shown, "clips": count} for (asked, shown), count in wrong.most_common()]


def score_folder(data: Path, on_progress: OnProgress | None = None) -> dict[str, Any]:
    """Score every good clip of a set, which is indexed if it is not yet.

    Captions from outside the playroom are counted but not scored. Frames are cropped to squares.
    """
    from videogen.data import build_index, load_index
    from videogen.data.sources.find import default_index

    index = load_index(data) if default_index(data).exists() else build_index(data)
    wanted: list[tuple[IndexedClip, Scene]] = []
    outside: list[str] = []
    for clip in index.good:
        try:
            wanted.append((clip, parse(clip.entry.caption)))
        except OutsideWorldError:
            outside.append(clip.entry.key)
    if not wanted:
        refused = f", and {len(index.refused)} clips were refused" if index.refused else ""
        raise DataError(f"{data}: none of {len(index.good)} captions is about the playroom{refused}; nothing to judge")
    score, wrong = Score(), []
    for done, (clip, scene) in enumerate(wanted, 1):
        if not score.add(scene, _look_at(clip)):
            wrong.append(clip.entry.key)
        if on_progress:
            on_progress(done, len(wanted))
    return {"data": str(data), **score.figures(), "wrong": wrong, "outside": outside, "refused": len(index.refused)}


def _look_at(clip: "IndexedClip") -> Scene:
    from videogen.io import fit, read
    from videogen.playroom.oracle import look

    side = min(clip.scan.height, clip.scan.width)
    frames = fit(read(clip.entry.source, range(len(clip.scan.pts)), clip.scan, clip.backend), side, side)
    return look(frames[None], clip.scan.fps or 8.0)[0].scene


def describe(figures: dict[str, Any]) -> str:
    """The figures as lines for people."""
    lines = [
        f"{figures['clips']} clips judged by their pixels: {figures['all_correct']:.1%} right in all, "
        f"{figures['attributes']:.1%} of all attributes"
    ]
    for attribute, rate in figures["by_attribute"].items():
        worst = figures["confusions"][attribute][:2]
        examples = ", ".join(f"{row['clips']} x {row['asked']} seen as {row['shown']}" for row in worst)
        lines.append(f"  {attribute:15} {rate:7.2%}  {examples}".rstrip())
    if figures.get("outside"):
        lines.append(
            f"  {len(figures['outside'])} captions are not about the playroom, such as {figures['outside'][0]}"
        )
    if figures.get("wrong"):
        lines.append(f"  clips with something wrong: {', '.join(figures['wrong'][:8])}")
    return "\n".join(lines)
