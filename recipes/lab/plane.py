"""A film of four codebooks on wandering points: cells form, starve and are revived. See docs/lab/plane.md.

.venv/bin/python recipes/lab/plane.py out/plane.gif
"""

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from videogen.evaluation.lab.plane import PlaneConfig
from videogen.evaluation.lab.plane_film import write_film


def main() -> int:
    parser = argparse.ArgumentParser(description="Four codebooks on wandering points, as a gif and a still PNG.")
    parser.add_argument("out", type=Path, help="the gif; the PNG of its last frame is written beside it")
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")
    for field in fields(PlaneConfig):
        kind = type(field.default)
        parser.add_argument(
            f"--{field.name.replace('_', '-')}", type=kind, default=field.default, help=f"[{field.default}]"
        )
    chosen = vars(parser.parse_args())
    out, overwrite = chosen.pop("out"), chosen.pop("overwrite")
    if out.suffix != ".gif":
        parser.error(f"{out}: is not a .gif")
    if not overwrite and (out.exists() or out.with_suffix(".png").exists()):
        parser.error(f"{out}: already exists, or its .png; --overwrite replaces them")
    try:
        config = PlaneConfig(**chosen)
    except ValueError as error:
        parser.error(str(error))
    for name, alive in write_film(config, out).items():
        print(f"{name:<26}{alive:>4} of {config.codes} codes live at the end")
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
