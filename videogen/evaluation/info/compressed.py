"""Description of a file of `videogen compress`, which needs no model: its header, and what its chunks hold."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from videogen.codec.container import MAGIC, ChunkReader, DamagedError, End, Header, check_of_end


@dataclass
class FileCounts:
    frames: int = 0
    latent_frames: int = 0
    scenes: int = 0
    chunks: int = 0
    payload: int = 0  # bytes of codes
    bytes: int = 0  # that could be read
    damage: str | None = None  # why the rest cannot be read


def is_compressed(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def describe_compressed(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Figures and lines; of a file that was cut off, those of what is there. DamagedError without a header."""
    with path.open("rb") as file:
        reader = ChunkReader(file, str(path))
        header, counts = reader.header, counts_of(reader)
    return {**asdict(header), **asdict(counts), "seconds": counts.frames / header.fps}, in_lines(header, counts)


def frames_in(path: Path) -> int:
    """How many frames a file holds, or can be read of it."""
    with path.open("rb") as file:
        return counts_of(ChunkReader(file, str(path))).frames


def counts_of(reader: ChunkReader) -> FileCounts:
    counts, check = FileCounts(bytes=reader.place), reader.start
    try:
        for part in reader.outline():
            if isinstance(part, End):
                if (part.frames, part.check) != (counts.frames, check_of_end(check, part.frames)):
                    raise reader.damage("its end is not that of these frames")
            else:
                counts.frames += part.frames
                counts.latent_frames += part.latent_frames
                counts.scenes += part.begins_scene
                counts.chunks += 1
                counts.payload += part.payload
                check = part.check
            counts.bytes = reader.place
    except DamagedError as error:
        counts.damage = str(error)
    return counts


def in_lines(header: Header, counts: FileCounts) -> dict[str, str]:
    probabilities = [
        f"of the {header.probabilities}" if header.probabilities == "prior" else header.probabilities,
        *([f"order {header.order}"] if header.order else []),
        *([several(header.steps, "step")] if header.order and header.order != "autoregressive" else []),
    ]
    return {
        "video": f"{several(counts.frames, 'frame')} of {header.height} x {header.width} at {header.fps:.4g} a second, "
        f"{counts.frames / header.fps:.2f} seconds",
        "format": f"videogen compress, {rate(counts.bytes, header, counts)}",
        "holds": f"{several(counts.latent_frames, 'latent frame')} in {several(counts.chunks, 'chunk')} of at most "
        f"{header.chunk}, {several(counts.scenes, 'scene')}",
        "codes": rate(counts.payload, header, counts),
        "probabilities": ", ".join(probabilities),
        **({"prompt": header.prompt} if header.prompt else {}),
        "model": header.model,
        "made with": ", ".join(f"{name} {value}" for name, value in header.made.items()),
        "whole": "yes; only decompress can check the codes" if counts.damage is None else f"no: {counts.damage}",
    }


def several(count: int, thing: str) -> str:
    return f"{count:,} {thing}{'s' * (count != 1)}"


def rate(size: int, header: Header, counts: FileCounts) -> str:
    pixels = counts.frames * header.height * header.width
    return several(size, "byte") + (f", {8 * size / pixels:.5f} bits a pixel" if pixels else "")
