"""What all nodes of a cluster must share: the code, torch, and the files at the same places."""

import functools
import hashlib
import importlib.util
import platform
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile

from videogen.errors import DataError, UsageError

PACKAGES = ("videogen", "interfaces", "tokenizer", "prior", "sampling")


@dataclass(frozen=True)
class NodeReport:
    """One node as a process there sees it."""

    name: str
    code: str  # a digest of the source: a checkout has the same version for a long time
    torch: str
    missing: tuple[str, ...]  # of the paths it was asked for


def report(here: Path, paths: Iterable[Path]) -> NodeReport:
    """Of the node that this process runs on; relative paths start at `here`."""
    missing = tuple(str(here / path) for path in paths if not (here / path).exists())
    return NodeReport(platform.node(), code_digest(), version("torch"), missing)


@functools.lru_cache(1)
def code_digest() -> str:
    digest = hashlib.sha256()
    for package in PACKAGES:
        found = importlib.util.find_spec(package)
        assert found is not None
        assert found.origin is not None
        folder = Path(found.origin).parent
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{file.relative_to(folder)}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def refuse_other_node(own: NodeReport, other: NodeReport) -> None:
    """UsageError for other code, DataError for files that are not there."""
    for what in ("code", "torch"):
        here, there = getattr(own, what), getattr(other, what)
        if here != there:
            named = "videogen's code" if what == "code" else what
            raise UsageError(
                f"node {other.name} has {named} {there}, this machine {here}; install the same on every node"
            )
    if other.missing:
        more = f", and {len(other.missing) - 1} more" if len(other.missing) > 1 else ""
        raise DataError(
            f"{other.missing[0]}: node {other.name} does not see it{more}; data, models and output must be at the same "
            "places on every node, such as on a network file system"
        )


@contextmanager
def marked(folder: Path | None) -> Iterator[list[Path]]:
    """A file that this process has just written there: a folder of the same name is not yet the same folder."""
    if folder is None:
        yield []
        return
    with NamedTemporaryFile(prefix=".seen_by_all_", dir=folder) as mark:
        yield [Path(mark.name)]
