"""The ways in which the engine refuses a request; HTTP turns each into a status."""

from videogen.errors import VideogenError

RETRY_AFTER = 5  # seconds


class Refusal(VideogenError):  # noqa: N818 - a state, not a mistake
    """A wish that is not granted; one line for the client."""


class WishError(Refusal):
    """Something that cannot be had, and which part of the wish it is about."""

    def __init__(self, param: str | None, message: str):
        super().__init__(message)
        self.param, self.message = param, message


class Busy(Refusal):
    """Not now; perhaps after so many seconds."""

    def __init__(self, message: str, retry_after: int):
        super().__init__(message)
        self.message, self.retry_after = message, retry_after


class Gone(Refusal):
    """No stream and no job of that name, or none any more."""


class UploadError(Refusal):
    """A clip or a picture that cannot be used."""


class UploadTooLarge(UploadError):  # noqa: N818
    """One with more bytes than are taken."""
