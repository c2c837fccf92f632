"""How a request reaches a model: the small interface behind BreedClassifier. Pictures and answers are bytes here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import NamedTuple

from dogbreed_sdk import defaults
from dogbreed_sdk.errors import DogBreedError


class Answer(NamedTuple):
    """What a model answered.

    Attributes:
        body: The answer's bytes.
        content_type: As the server named it.
        request_id: The request's id, to quote when asking about it, or None.
    """

    body: bytes
    content_type: str
    request_id: str | None


class Transport(ABC):
    """Carries requests to one model. Thread-safe.

    A subclass may raise whatever it likes from `invoke`, as long as `translate` makes a DogBreedError of it.

    Attributes:
        name: What is asked, for messages: "endpoint dogs".
        first_pause: Seconds before the second attempt, at most; each further pause may be twice as long.
    """

    name: str
    first_pause: float = defaults.INVOKE_FIRST_PAUSE_SECONDS

    @abstractmethod
    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Answer:
        """Sends one request; no retries.

        Args:
            body: A picture, or JSON.
            content_type: What the body is.
            accept: The forms of answer that are understood, preferred ones first.
            connect_timeout: Seconds to wait for a connection.
            read_timeout: Seconds for all of it, from connecting to the answer's last byte.
        """

    @abstractmethod
    def is_transient(self, error: BaseException) -> bool:
        """Whether the same request may well succeed in a moment."""

    def least_pause(self, error: BaseException) -> float:  # noqa: ARG002 - most servers do not say
        """Seconds that the server asked to be left alone before the next attempt."""
        return 0.0

    @abstractmethod
    def translate(self, error: Exception) -> DogBreedError:
        """The SDK's error for one that `invoke` raised."""

    def wait_until_ready(self, seconds: float) -> None:  # noqa: B027 - optional
        """Waits for a model that is being deployed or updated; nothing to wait for unless a subclass knows better.

        Raises:
            EndpointError: It failed, is missing, or is not ready after so many seconds.
        """

    def widen(self, connections: int) -> None:  # noqa: B027 - optional
        """Announces that so many requests may be under way at once."""

    def abort(self, thread_ids: Collection[int]) -> None:  # noqa: B027 - optional
        """Cuts off what these threads are asking, where that is possible; `invoke` raises in them."""

    def close(self) -> None:  # noqa: B027 - optional
        """Gives connections and memory back."""


def sentence(text: str) -> str:
    """Somebody else's words with a full stop, so that a remedy may follow.

    >>> sentence("Rate exceeded"), sentence("Rate exceeded.")
    ('Rate exceeded.', 'Rate exceeded.')
    """
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def seconds_asked(retry_after: str | None) -> float:
    """The seconds of a Retry-After header; 0 without one, and for a date, which nobody's model server sends.

    >>> seconds_asked("2"), seconds_asked("Fri, 31 Dec 1999 23:59:59 GMT"), seconds_asked(None)
    (2.0, 0.0, 0.0)
    """
    return float(retry_after) if retry_after and retry_after.isascii() and retry_after.isdigit() else 0.0
