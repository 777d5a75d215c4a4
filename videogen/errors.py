"""Errors that users see: one clear line and an exit code each.

Raise one of these if the user has to act. Any other exception is a bug in videogen (exit 1).
"""


class VideogenError(Exception):
    """One line: what is wrong, where, and what to do about it."""

    exit_code = 1


class UsageError(VideogenError):
    """A wrong command line or configuration."""

    exit_code = 2


class DataError(VideogenError):
    """Videos, captions or data sets that cannot be used as they are."""

    exit_code = 3


class StorageError(DataError):
    """A bucket or server that does not answer, after retries."""

    exit_code = 5


class CheckpointError(VideogenError):
    """A model or checkpoint that is damaged, foreign or missing."""

    exit_code = 4


class ResourceError(VideogenError):
    """Out of memory or disk space, or a missing device or optional package."""

    exit_code = 5


class NumbersError(VideogenError):
    """NaN or infinity in training or generation."""

    exit_code = 6


class LockedError(VideogenError):
    """Another process holds the run folder."""

    exit_code = 7


OUT_OF_MEMORY_TEXTS = ("can't allocate memory", "not enough memory", "out of memory", "ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether it is a MemoryError, or the RuntimeError of torch for GPU or CPU memory."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and (
        type(error).__name__ == "OutOfMemoryError" or any(text in str(error) for text in OUT_OF_MEMORY_TEXTS)
    )
