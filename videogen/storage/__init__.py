"""Files in buckets and on servers, read by ranges into a bounded local cache.

location("s3://bucket/clips") / "a.mp4"     # a RemotePath, with what reading a set needs of `Path`
with (...).open("rb") as file: ...          # blocks come from the cache, or by ranges, and are checked
"""

from videogen.storage.access import ObjectStat
from videogen.storage.errors import ChangedObjectError, MissingObjectError, StorageError
from videogen.storage.location import Location, RemotePath, below, is_url, location

__all__ = [
    "ChangedObjectError",
    "Location",
    "MissingObjectError",
    "ObjectStat",
    "RemotePath",
    "StorageError",
    "below",
    "is_url",
    "location",
]
