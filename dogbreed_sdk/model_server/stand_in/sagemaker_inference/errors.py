"""Exceptions; the model server responds with the status of those that have one."""

from __future__ import annotations


class UnsupportedFormatError(Exception):
    """There is no codec for a content type."""

    def __init__(self, content_type: str) -> None:
        super().__init__(
            f"Content type {content_type} is not supported by the default codecs. Define input_fn to read requests of "
            "this type, or output_fn to write responses."
        )


class BaseInferenceToolkitError(Exception):
    """An error that the client is to see, with its HTTP status."""

    def __init__(self, status_code: int, message: str, phrase: str) -> None:
        super().__init__(status_code, message, phrase)
        self.status_code, self.message, self.phrase = status_code, message, phrase

    def __str__(self) -> str:
        return self.message


class GenericInferenceToolkitError(BaseInferenceToolkitError):
    """An error with a default message."""

    def __init__(self, status_code: int, message: str | None = None, phrase: str | None = None) -> None:
        message = message or "Invalid Request"
        super().__init__(status_code, message, phrase or message)
