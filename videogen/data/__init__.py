"""Training sets: find clips, index them once, read samples that depend on (seed, epoch, index) alone.

index = build_index(Path("videos"))                     # resumes; the index is a file in the folder
dataset = ClipDataset(index, ClipSpec(height=64, width=64, fps=8, frames=17), seed=0)
for batch in batches(dataset, batch_size=32): ...       # batch.next can be saved, and given to `batches` again
"""

from videogen.data.batches import Batch, Position, batches
from videogen.data.dataset import ClipDataset, Sample
from videogen.data.index.build import build_index, load_index
from videogen.data.index.check import check_files, draw_sheet, refuse_changed
from videogen.data.index.clip_index import Index, IndexedClip, RefusedClip
from videogen.data.index.summary import describe, summarize
from videogen.data.sources.entry import Entry, ReadFailure
from videogen.data.sources.find import find_entries

__all__ = [
    "Batch",
    "ClipDataset",
    "Entry",
    "Index",
    "IndexedClip",
    "Position",
    "ReadFailure",
    "RefusedClip",
    "Sample",
    "batches",
    "build_index",
    "check_files",
    "describe",
    "draw_sheet",
    "find_entries",
    "load_index",
    "refuse_changed",
    "summarize",
]
