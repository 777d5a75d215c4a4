"""From the exceptions of fsspec's file systems to one line each, and which of them are worth another try."""

from videogen.errors import DataError, StorageError, UsageError, VideogenError

__all__ = ["ChangedObjectError", "MissingObjectError", "StorageError", "final_error"]

PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "http": "aiohttp", "https": "aiohttp"}
CREDENTIALS = {
    "s3": "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (and AWS_ENDPOINT_URL for a server of your own), or "
    "FSSPEC_S3_ANON=true for a public bucket",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS, or FSSPEC_GS_TOKEN=anon for a public bucket",
    "hf": "set HF_TOKEN",
}
NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "DefaultCredentialsError", "ProfileNotFound")
TRY_AGAIN = (408, 425, 429)  # of the client errors of HTTP


class MissingObjectError(DataError):
    """No object has this URL."""


class ChangedObjectError(DataError):
    """An object is not the one that was indexed."""


def final_error(url: str, error: Exception) -> VideogenError | None:
    """The error for the user if another try would end the same way; None if it is worth one."""
    if isinstance(error, VideogenError):
        return error
    scheme = url.partition("://")[0]
    if isinstance(error, ImportError):
        return UsageError(f"{url}: {_package_missing(scheme, error)}")
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return MissingObjectError(f"{url}: no such object or bucket")
    if isinstance(error, PermissionError) or type(error).__name__ in NO_CREDENTIALS or _status(error) in (401, 403):
        advice = CREDENTIALS.get({"s3a": "s3", "gcs": "gs"}.get(scheme, scheme), "the server refuses it")
        return DataError(f"{url}: no permission, or no credentials; {advice}")
    if isinstance(error, ValueError) and "rotocol not known" in str(error):
        return UsageError(f"{url}: fsspec knows no scheme {scheme}://; install the package that reads it")
    status = _status(error)
    if status is not None and 400 <= status < 500 and status not in TRY_AGAIN:
        return MissingObjectError(f"{url}: the server answers {status}")
    return error if isinstance(error, StorageError) else None


def _status(error: Exception) -> int | None:
    """The HTTP status in an exception of aiohttp, gcsfs or huggingface_hub."""
    response = getattr(error, "response", None)
    for value in (getattr(error, "status", None), getattr(error, "code", None), getattr(response, "status_code", None)):
        if isinstance(value, int):
            return value
    return None


def _package_missing(scheme: str, error: ImportError) -> str:
    if scheme in PACKAGES:
        return f"{scheme}:// needs {PACKAGES[scheme]}; pip install -e '.[storage]'"
    return f"{scheme}:// needs a package that is not installed ({error})"
