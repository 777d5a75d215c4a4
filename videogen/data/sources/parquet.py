"""Parquet: a manifest, the metadata of a videofolder, or the videos themselves with their captions.

A repository of Hugging Face `datasets` with a column of videos is a folder of such files. The column is a struct of
`bytes` and `path`, and the caption is the first of `text`, `caption` and `prompt` that is there. The key is the file
and the number of the row.
"""

from collections.abc import Iterator
from typing import Any

from videogen.data.sources.captions import normalize_caption
from videogen.data.sources.entry import Entry, ReadFailure
from videogen.errors import DataError
from videogen.io import Cell
from videogen.storage import Location
from videogen.storage.parquet import open_parquet

SUFFIX = ".parquet"
CAPTIONS = ("text", "caption", "prompt")


def column_names(path: Location) -> tuple[str, ...]:
    with open_parquet(path) as file:
        return tuple(file.schema_arrow.names)


def table_rows(path: Location) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a table of small values, numbered from 1; null values are left out."""
    with open_parquet(path) as file:
        number = 0
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, {name: value for name, value in row.items() if value is not None}


def video_column(path: Location) -> str | None:
    """The first column whose values are structs with `bytes`; None if there is none."""
    import pyarrow

    with open_parquet(path) as file:
        for field in file.schema_arrow:
            if pyarrow.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
                return str(field.name)
    return None


def cell_entries(path: Location, name: str) -> Iterator[Entry]:
    """The videos in a Parquet file, none of which is read."""
    column = video_column(path)
    if column is None:
        raise DataError(f"{path}: has neither a column 'path' or 'file_name' nor one of videos (a struct with 'bytes')")
    with open_parquet(path) as file:
        caption = next((each for each in CAPTIONS if each in file.schema_arrow.names), None)
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            texts = [None] * rows if caption is None else file.read_row_group(group, [caption])[caption].to_pylist()
            for row, text in enumerate(texts):
                yield _entry(f"{name}/{first + row:08}", Cell(path, group, row, column), text)
            first += rows


def _entry(key: str, source: Cell, text: object) -> Entry:
    try:
        if text is not None and not isinstance(text, str):
            raise ValueError(f"the caption is {type(text).__name__}, not text")
        return Entry(key, source, normalize_caption(text or ""))
    except ValueError as error:
        return Entry(key, source, "", failure=ReadFailure("caption", str(error)))
