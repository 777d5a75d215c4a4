"""The process that reads a foreign pickle: it gives up its rights first, and writes safetensors or one line.

It is begun as `python -I -S` with an empty environment and two open files, whose numbers are its arguments: the
checkpoint, and the file for the result. `shut_in` takes the rest away.
"""

import codecs
import ctypes
import errno
import mmap
import os
import resource
import sys
from contextlib import suppress
from typing import BinaryIO

from videogen.checkpoint_reader.archive import Archive
from videogen.checkpoint_reader.old_archive import OldArchive
from videogen.checkpoint_reader.refusal import Refused
from videogen.checkpoint_reader.weights import find_weights
from videogen.checkpoint_reader.writer import output_limit, write_tensors

DONE, REFUSED, NO_MEMORY, NO_SPACE = 0, 4, 5, 6  # exit codes; with REFUSED the result is one line of text
LONGEST_LINE = 500
ZIP = b"PK\x03\x04"  # how a zip file with members begins
SPARE_MEMORY = 2**30  # bytes; beside the file and the result of one tensor
CPU_SECONDS, CPU_BYTES_PER_SECOND = 60, 10_000_000
NO_NEW_PRIVILEGES = 38  # of prctl
NAMESPACES = 0x10000000 | 0x40000000 | 0x00020000 | 0x08000000  # unshare: user, network, mounts, shared memory


def main() -> None:
    source, target = map(int, sys.argv[2:])
    codecs.lookup("cp437")  # names in zip files; no module can be opened later
    mapped = mmap.mmap(source, 0, access=mmap.ACCESS_READ)
    os.close(source)
    shut_in(len(mapped))
    with os.fdopen(target, "wb") as result:
        os._exit(read(mapped, result))


def shut_in(source_bytes: int) -> None:
    """From here on no file or socket can be opened, no process begun, and memory, time and output have an end."""
    with suppress(OSError, AttributeError):  # systems without these calls, or that do not allow them
        system = ctypes.CDLL(None)
        system.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        system.unshare(NAMESPACES)
    seconds = CPU_SECONDS + source_bytes // CPU_BYTES_PER_SECOND
    limits = {
        resource.RLIMIT_AS: 3 * source_bytes + SPARE_MEMORY,
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: output_limit(source_bytes) + SPARE_MEMORY,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 0,
    }
    if sys.platform != "linux":
        del limits[resource.RLIMIT_AS]  # others count what an interpreter only reserves
    for which, limit in limits.items():
        _, most = resource.getrlimit(which)
        limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(which, (limit, limit))


def read(mapped: mmap.mmap, result: BinaryIO) -> int:
    try:
        archive = Archive(mapped) if mapped[:4] == ZIP else OldArchive(mapped)
        write_tensors(archive, find_weights(archive.root(), archive.is_script), result)
        result.flush()
    except Refused as error:
        return refuse(result, str(error))
    except (MemoryError, RecursionError):
        return NO_MEMORY
    except OSError as error:
        return NO_SPACE if error.errno in (errno.ENOSPC, errno.EDQUOT) else refuse(result, str(error))
    except Exception as error:  # a bug of ours that a damaged file found; the process has no other way to say so
        return refuse(result, f"it cannot be read ({type(error).__name__})")
    return DONE


def refuse(result: BinaryIO, line: str) -> int:
    result.seek(0)
    result.truncate()
    result.write(line[:LONGEST_LINE].encode("ascii", "backslashreplace"))
    result.flush()
    return REFUSED
