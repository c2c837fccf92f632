"""BreedClassifier: a picture goes to an endpoint, a Prediction comes back."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from dogbreed_sdk import answers, defaults
from dogbreed_sdk.aws_errors import invocation_error, is_transient
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.images import to_payload
from dogbreed_sdk.session import Session

if TYPE_CHECKING:
    from dogbreed_sdk.images import Picture
    from dogbreed_sdk.labels import LabelMap
    from dogbreed_sdk.predictions import Prediction

# Made once; it keeps the state of a call per thread.
_RETRYING = Retrying(
    retry=retry_if_exception(is_transient),
    wait=wait_random_exponential(multiplier=defaults.INVOKE_FIRST_PAUSE_SECONDS, max=5),
    stop=stop_after_attempt(defaults.INVOKE_MAX_ATTEMPTS) | stop_after_delay(defaults.INVOKE_READ_TIMEOUT_SECONDS),
    reraise=True,
)


class BreedClassifier:
    """A client of one endpoint. Thread-safe: make one and keep it for the life of a program.

    Args:
        endpoint_name: Name of the endpoint.
        session: Where it lives. Default: `Session.default()`.
        labels: Names of the classes, for endpoints that answer with plain scores; a bundle's endpoint brings
            its own.
        max_payload_bytes: Larger pictures are shrunk to fit. Default: the real-time limit of 25 MB; give
            `defaults.SERVERLESS_PAYLOAD_BYTES` for a serverless endpoint.

    Example:
        >>> from dogbreed_sdk import BreedClassifier, Session
        >>> classifier = BreedClassifier("dog-breeds", session=Session.local())  # doctest: +SKIP
        >>> classifier.classify("rex.jpg").label  # doctest: +SKIP
        'Airedale terrier'
    """

    def __init__(
        self,
        endpoint_name: str,
        *,
        session: Session | None = None,
        labels: LabelMap | None = None,
        max_payload_bytes: int = defaults.REALTIME_PAYLOAD_BYTES,
    ) -> None:
        self.endpoint_name = endpoint_name
        self.session = session or Session.default()
        self._labels = labels
        self._max_payload_bytes = max_payload_bytes

    def __repr__(self) -> str:
        return f"BreedClassifier({self.endpoint_name!r}, session={self.session!r})"

    def classify(self, picture: Picture, *, top_k: int = 5) -> Prediction:
        """What is in a picture.

        Args:
            picture: A path, bytes, an open binary file, a PIL image, a uint8 array or a data: URL.
            top_k: How many classes the answer ranks, from 1.

        Returns:
            The most probable class, with the ``top_k`` best in ``scores``.

        Raises:
            ImageError: The picture cannot be used; nothing was sent.
            EndpointError: The endpoint is missing, not ready, overloaded, too slow, or its model failed.
            LabelError: The labels given do not fit the model.
            ConfigurationError: ``top_k`` is below 1.
        """
        if top_k < 1:
            raise ConfigurationError(f"top_k must be at least 1, got {top_k}.")
        payload = to_payload(picture, max_bytes=self._max_payload_bytes)
        start = time.perf_counter()
        answer, body = self._invoke(payload.body, payload.content_type)
        return answers.parse(
            body,
            labels=self._labels,
            top_k=top_k,
            latency_ms=(time.perf_counter() - start) * 1e3,
            request_id=answer["ResponseMetadata"].get("RequestId"),
        )

    def _invoke(self, body: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
        try:
            return _RETRYING(self._invoke_once, body, content_type)
        except (ClientError, BotoCoreError) as error:
            raise invocation_error(error, self.endpoint_name) from error

    def _invoke_once(self, body: bytes, content_type: str) -> tuple[dict[str, Any], bytes]:
        answer: dict[str, Any] = self.session.client("sagemaker-runtime").invoke_endpoint(
            EndpointName=self.endpoint_name, Body=body, ContentType=content_type, Accept=answers.ACCEPT
        )
        return answer, answer["Body"].read()
