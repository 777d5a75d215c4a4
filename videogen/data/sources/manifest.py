"""A table of clips: .csv with a header, .jsonl with an object a line, or .parquet; columns path, caption, start, end.

Only `path` is required. Paths are relative to the manifest; start and end are seconds. The key is the path as written,
followed by `@start-end` if one of them is given, and by `#2`, `#3` for further captions of the same clip.

A table with a column `file_name` instead is the metadata of a videofolder of the Hugging Face hub. Its caption is the
first of `text`, `caption` and `prompt` that is there; other columns are ignored.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from videogen.config.strict_yaml import nearest
from videogen.data.sources.captions import normalize_caption
from videogen.data.sources.entry import Entry
from videogen.data.sources.parquet import SUFFIX, column_names, table_rows
from videogen.errors import DataError
from videogen.storage import Location


@dataclass(frozen=True)
class Columns:
    """The columns of a table; with `others`, unknown ones are allowed and ignored."""

    path: str
    captions: tuple[str, ...]
    others: bool

    @property
    def known(self) -> tuple[str, ...]:
        return (self.path, *self.captions, "start", "end")

    def unknown(self, names: Iterable[str]) -> ValueError | None:
        strange = None if self.others else next((name for name in names if name not in self.known), None)
        return None if strange is None else ValueError(f"unknown column '{strange}'{nearest(strange, self.known)}")


MANIFEST = Columns("path", ("caption",), others=False)
VIDEOFOLDER = Columns("file_name", ("text", "caption", "prompt"), others=True)
Row = dict[str, Any] | ValueError  # a line, or the error in it


def manifest_entries(manifest: Location) -> list[Entry]:
    """The entries in the order of the manifest; DataError names the first wrong line and counts the rest."""
    columns, rows = _table(manifest)
    entries: list[Entry] = []
    wrong: list[str] = []
    first_line: dict[tuple[str, str], int] = {}
    captions_of: dict[str, int] = {}
    for line, row in rows:
        try:
            entry = _entry(row, manifest.parent, columns)
            same = first_line.setdefault((entry.key, entry.caption), line)
            if same != line:
                raise ValueError(f"repeats line {same}: the same clip with the same caption")
        except ValueError as error:
            wrong.append(f"{manifest}:{line}: {error}")
            continue
        count = captions_of[entry.key] = captions_of.get(entry.key, 0) + 1
        entries.append(entry if count == 1 else _numbered(entry, count))
    if wrong:
        raise DataError(wrong[0] + (f" (and {len(wrong) - 1} more wrong lines)" if len(wrong) > 1 else ""))
    return entries


def _table(manifest: Location) -> tuple[Columns, Iterator[tuple[int, Row]]]:
    """The kind of a table, and its rows with their numbers."""
    if manifest.suffix.lower() == SUFFIX:
        names = column_names(manifest)
        columns = VIDEOFOLDER if VIDEOFOLDER.path in names else MANIFEST
        if (strange := columns.unknown(names)) is not None:
            raise DataError(f"{manifest}: {strange}")
        return columns, table_rows(manifest)
    text, is_csv = _text(manifest), manifest.suffix.lower() == ".csv"
    columns = VIDEOFOLDER if VIDEOFOLDER.path in _first_names(text, is_csv) else MANIFEST
    return columns, _csv_rows(manifest, text, columns) if is_csv else _jsonl_rows(text, columns)


def is_metadata(table: Location) -> bool:
    """Whether a table has the column of a videofolder."""
    if table.suffix.lower() == SUFFIX:
        return VIDEOFOLDER.path in column_names(table)
    with table.open("rb") as file:
        start = file.read(1 << 16).decode("utf-8-sig", "replace")
    return VIDEOFOLDER.path in _first_names(start, table.suffix.lower() == ".csv")


def _first_names(text: str, is_csv: bool) -> set[str]:
    """The columns that the first line names."""
    line = next((line for line in io.StringIO(text) if line.strip()), "")
    if is_csv:
        return {name.strip().strip('"') for name in line.split(",")}
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return set()
    return set(row) if isinstance(row, dict) else set()


def _text(manifest: Location) -> str:
    raw = manifest.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"{manifest}:{line}: not UTF-8; save the manifest as UTF-8") from None


def _jsonl_rows(text: str, columns: Columns) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines, because JSON may hold other line separators
        if line.strip():
            yield number, _json_row(line, columns)


def _json_row(line: str, columns: Columns) -> Row:
    try:
        row = json.loads(line, object_pairs_hook=_without_duplicates)
    except RecursionError:
        return ValueError("nested too deep")
    except json.JSONDecodeError as error:
        return ValueError(f"not JSON ({error.msg} at column {error.colno})")
    except ValueError as error:
        return error
    if not isinstance(row, dict):
        return ValueError(f'not a JSON object; expected {{"{columns.path}": ..., "{columns.captions[0]}": ...}}')
    return columns.unknown(row) or row


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise ValueError("a column is given twice")
    return fields


def _csv_rows(manifest: Location, text: str, columns: Columns) -> Iterator[tuple[int, Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    header: list[str] | None = None
    end = 0
    try:
        for cells in reader:
            line, end = end + 1, reader.line_num  # a quoted cell may go over several lines
            if not cells:
                continue
            if header is None:
                header = _header(manifest, line, cells, columns)
            elif len(cells) != len(header):
                yield (
                    line,
                    ValueError(f"{len(cells)} cells under {len(header)} columns (text with commas needs quotes)"),
                )
            else:
                yield line, {name: cell for name, cell in zip(header, cells, strict=True) if cell != ""}
    except csv.Error as error:
        raise DataError(f"{manifest}:{end + 1}: not CSV ({error})") from None


def _header(manifest: Location, line: int, cells: list[str], columns: Columns) -> list[str]:
    names = [cell.strip() for cell in cells]
    unknown = columns.unknown(names)
    if unknown is not None:
        raise DataError(f"{manifest}:{line}: {unknown}")
    if len(set(names)) != len(names) or columns.path not in names:
        raise DataError(f"{manifest}:{line}: the header must name '{columns.path}', and no column twice")
    return names


def _entry(row: Row, folder: Location, columns: Columns) -> Entry:
    if isinstance(row, ValueError):
        raise row
    path = _path(row.get(columns.path), columns.path)
    name, caption = next(
        ((name, row[name]) for name in columns.captions if row.get(name) is not None), (columns.captions[0], None)
    )
    if caption is not None and not isinstance(caption, str):
        raise ValueError(f"'{name}' is {caption!r}; expected text")
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if end is not None and end <= (start or 0.0):
        raise ValueError(f"'end' is {end}; it must lie after the start ({start or 0.0})")
    window = "" if start is None and end is None else f"@{_blank(start)}-{_blank(end)}"
    return Entry(PurePath(path).as_posix() + window, folder / path, normalize_caption(caption or ""), start, end)


def _path(path: object, column: str) -> str:
    if not isinstance(path, str) or not path.strip():
        raise ValueError(f"'{column}' is missing")
    if "://" in path or "\0" in path:
        raise ValueError(f"'{column}' is {path!r}; only files of the set itself can be read")
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"'{column}' is {path!r}; it is not Unicode text") from None
    return path


def _seconds(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None:
        return None
    try:
        seconds = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ValueError(f"'{name}' is {value!r}; expected seconds from the beginning, such as 2.5")
    return seconds


def _blank(seconds: float | None) -> str:
    return "" if seconds is None else repr(seconds)


def _numbered(entry: Entry, count: int) -> Entry:
    return Entry(f"{entry.key}#{count}", entry.source, entry.caption, entry.start, entry.end)
