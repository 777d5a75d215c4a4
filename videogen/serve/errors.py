"""The ways in which the engine refuses a request; HTTP turns each into a status."""

from videogen.errors import VideogenError

RETRY_AFTER = 5  # seconds


class DomainError(VideogenError):
    """A params that is not granted; one line for the client."""


class InvalidParamError(DomainError):
    """Something that cannot be had, and which part of the params it is about."""

    def __init__(self, param: str | None, message: str):
        super().__init__(message)
        self.param, self.message = param, message


class BusyError(DomainError):
    """Not now; perhaps after so many seconds."""

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.message, self.retry_after = message, retry_after


class NotFoundError(DomainError):
    """No stream and no job of that name, or none any more."""


class UploadError(DomainError):
    """A clip or a picture that cannot be used."""


class UploadTooLargeError(UploadError):
    """One with more bytes than are taken."""
