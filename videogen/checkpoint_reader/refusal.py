"""Why a file is not read, and the limits that every checkpoint has to keep."""

LONGEST_NAME = 500  # characters of a tensor's name
DEEPEST = 64  # modules in modules, or mappings in mappings
MOST_TENSORS = 100_000
MOST_DIMENSIONS = 8
LARGEST_PICKLE = 64 * 2**20


class Refused(Exception):  # noqa: N818 - it is no bug, but an answer
    """One line: what is wrong with the file."""


def check_name(name: object) -> str:
    """The name of a tensor, if it can be shown to people and written to files."""
    if not isinstance(name, str):
        raise Refused(f"a tensor's name is of type {type(name).__name__}, not text")
    if len(name) > LONGEST_NAME:
        raise Refused(f"a tensor's name has {len(name):,} characters: {name[:20]!a}...")
    if not name or not name.isprintable():
        raise Refused(f"a tensor's name is not printable: {name[:60]!a}")
    return name
