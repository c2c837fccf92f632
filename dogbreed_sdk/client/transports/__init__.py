"""The transport interface: how BreedClassifier's requests reach a model. Requests and responses are bytes here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dogbreed_sdk import defaults
from dogbreed_sdk.errors import ConfigurationError, DogBreedError

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from dogbreed_sdk.client.resemblance import Resemblance


class Response(NamedTuple):
    """A model's response.

    Attributes:
        body: The bytes of the response.
        content_type: The content type that the server sent.
        request_id: Id of the request, to quote to the server's operators; None if there is none.
        variant: Name of the production variant that answered; None if it was not an endpoint.
    """

    body: bytes
    content_type: str
    request_id: str | None
    variant: str | None = None


class Transport(ABC):
    """Carries requests to one model. Thread-safe.

    A subclass may raise any exception from `invoke` that `translate` turns into a DogBreedError.

    Attributes:
        name: Name of the model's server in messages, such as "endpoint dogs".
        first_pause: Maximum seconds before the second attempt; each further pause may be twice as long.
    """

    name: str
    first_pause: float = defaults.INVOKE_FIRST_PAUSE_SECONDS

    @abstractmethod
    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Response:
        """Sends one request; no retries.

        Args:
            body: A picture, or JSON.
            content_type: Content type of the body.
            accept: Content types of responses that can be parsed, preferred ones first.
            connect_timeout: Seconds to wait for a connection.
            read_timeout: Seconds for the entire request, from connecting to the last byte of the response.
        """

    def invoke_together(self, images: Sequence[Image.Image], accept: str) -> list[Response] | None:  # noqa: ARG002
        """The responses for several pictures, if the model computes them together; None if each needs a request.

        Args:
            images: Upright pictures, RGB.
            accept: As for `invoke`.
        """
        return None

    @abstractmethod
    def is_transient(self, error: BaseException) -> bool:
        """Whether to retry the request after this error: it may succeed a moment later."""

    def minimum_pause(self, error: BaseException) -> float:  # noqa: ARG002 - most servers set none
        """Minimum seconds before the next attempt, as the server requested."""
        return 0.0

    @abstractmethod
    def translate(self, error: Exception) -> DogBreedError:
        """The SDK's error for an exception that `invoke` raised."""

    def for_variant(self, name: str | None) -> Transport:
        """The same transport for requests to one production variant; itself if there is no choice to make.

        Args:
            name: Name of the variant, or None.

        Raises:
            ConfigurationError: A variant was named, and this is not an endpoint.
        """
        if name is not None:
            raise ConfigurationError(f"target_variant is for endpoints, which have variants; {self.name} has none.")
        return self

    def check_explains(self) -> None:
        """Checks that the model can explain its predictions, for which its network must be at hand.

        Raises:
            ConfigurationError: It cannot; the message says what to use instead.
        """
        raise ConfigurationError(
            f"{self.name} returns predictions only; an explanation needs the model's network on this machine. Use "
            "BreedClassifier.from_bundle(job.model_uri), or 'dogbreed explain' with the job or the bundle."
        )

    def resembling(
        self,
        body: bytes,  # noqa: ARG002 - models of this machine use them
        content_type: str,  # noqa: ARG002
        folder: Path,  # noqa: ARG002
        count: int,  # noqa: ARG002
        report: Callable[[str], object],  # noqa: ARG002
    ) -> tuple[Resemblance, ...]:
        """The training pictures that a picture resembles most; only for models that run on this machine.

        Args:
            body: The picture.
            content_type: Content type of the body.
            folder: A feature store, or a data set.
            count: Their number, at most.
            report: Called with lines about the progress.

        Raises:
            ConfigurationError: The model is not on this machine.
        """
        self.check_explains()
        return ()

    def wait_until_ready(self, seconds: float) -> None:  # noqa: B027 - optional
        """Waits for a model that is being deployed or updated; by default it returns at once.

        Args:
            seconds: The longest wait.

        Raises:
            EndpointError: The deployment failed, is missing, or is not ready in time.
        """

    def widen(self, connections: int) -> None:  # noqa: B027 - optional
        """Prepares for this many concurrent requests."""

    def abort(self, thread_ids: Collection[int]) -> None:  # noqa: B027 - optional
        """Aborts the requests of these threads, if possible; `invoke` then raises in them."""

    def close(self) -> None:  # noqa: B027 - optional
        """Releases connections and memory."""
