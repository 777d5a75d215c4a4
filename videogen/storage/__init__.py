"""Files in buckets and on servers, read by ranges into a bounded local cache.

location("s3://bucket/clips") / "a.mp4"     # a RemotePath, with what reading a set needs of `Path`
with (...).open("rb") as file: ...          # blocks come from the cache, or by ranges, and are checked
"""

from videogen.storage.errors import ChangedObjectError, MissingObjectError, StorageError
from videogen.storage.location import Location, ObjectStat, RemotePath, below, is_url, location
from videogen.storage.remote_file import open_remote

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
    "open_remote",
]
