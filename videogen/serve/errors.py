"""The errors of the engine that concern a client; HTTP turns each into a status and one line."""

from videogen.errors import VideogenError

RETRY_AFTER = 5  # seconds


class DomainError(VideogenError):
    """A request that cannot be met."""


class InvalidParamError(DomainError):
    """A parameter of a request is invalid."""

    def __init__(self, param: str | None, message: str):
        super().__init__(message)
        self.param, self.message = param, message


class BusyError(DomainError):
    """The request may succeed later."""

    def __init__(self, message: str, retry_after: int = RETRY_AFTER):
        super().__init__(message)
        self.message, self.retry_after = message, retry_after


class NotFoundError(DomainError):
    """There is no stream or job with this id, or it has been dropped."""


class UploadError(DomainError):
    """A clip or an image cannot be used."""


class UploadTooLargeError(UploadError):
    """An upload has more bytes than the limit."""
