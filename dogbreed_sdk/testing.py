"""A fake endpoint for the tests of programs that classify pictures: scripted responses and failures, no server, no AWS.

The classifier in front of it is real: it checks and encodes pictures, parses responses, retries failures (without
pauses), and raises the errors that AWS's failures would raise.

    def test_my_app_survives_a_busy_endpoint() -> None:
        endpoint = FakeEndpoint(["Pug", "Boxer"]).throttles(times=2).answers("Boxer")
        assert my_app(endpoint.classifier(), picture()) == "A Boxer!"
        assert len(endpoint.requests) == 3
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from numbers import Real
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from dogbreed_sdk.aws import errors
from dogbreed_sdk.client import responses
from dogbreed_sdk.client.argument_checks import check_number, shown
from dogbreed_sdk.client.transports import Response, Transport
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from dogbreed_sdk.labels import LabelMap
from training_scripts._util.number_text import number_text

if TYPE_CHECKING:
    from botocore.exceptions import _ClientErrorResponseTypeDef
    from typing_extensions import Self, Unpack

    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
    from dogbreed_sdk.client.classifier import BreedClassifier
    from dogbreed_sdk.client.options import Options

__all__ = ["FakeEndpoint", "Request", "picture"]

_URL = "https://runtime.sagemaker.fake"


@dataclass(frozen=True)
class Request:
    """A request that a fake endpoint received.

    Attributes:
        body: The picture's bytes, or JSON.
        content_type: Content type of the body.
        accept: Content types of the responses that the client can parse.

    Examples:
        >>> from dogbreed_sdk.testing import FakeEndpoint, picture
        >>> endpoint = FakeEndpoint(["Pug", "Boxer"])
        >>> endpoint.classifier().classify(picture()).label
        'Pug'
        >>> endpoint.requests[0].content_type
        'image/jpeg'
    """

    body: bytes = field(repr=False)
    content_type: str
    accept: str


@dataclass(frozen=True)
class _Model:
    labels: LabelMap
    model_id: str


_Step = Callable[[Request, _Model], Response]


class FakeEndpoint(Transport):
    """An endpoint that follows a test's script. Thread-safe.

    Each step of the script applies to one request, in the order in which requests arrive. After the last step, and
    without a script, every picture gets the class given by ``answer``.

    Args:
        labels: The classes of its model, in index order.
        answer: The class of pictures without a step in the script: its folder or label, or a function of the picture's
            bytes that returns it. Default: the first class.
        probability: The probability of that class, which must be the largest; the other classes share the rest evenly.
        model_id: Id of the model.

    Attributes:
        requests: The received requests, oldest first, including those that failed.

    Raises:
        ConfigurationError: A probability or status is out of range, or ``times`` is less than 1.
        LabelError: A class is unknown.

    Examples:
        >>> from dogbreed_sdk.testing import FakeEndpoint, picture
        >>> endpoint = FakeEndpoint(["001.Pug", "002.Boxer"]).throttles().answers("Boxer", probability=0.7)
        >>> prediction = endpoint.classifier().classify(picture())
        >>> prediction.label, prediction.probability, len(endpoint.requests)
        ('Boxer', 0.7, 2)
    """

    first_pause = 0.0

    def __init__(
        self,
        labels: LabelMap | Iterable[str],
        *,
        answer: str | Callable[[bytes], str] | None = None,
        probability: float = 0.9,
        model_id: str = "fake-model",
    ) -> None:
        self.name = "endpoint fake"
        self.endpoint_name = "fake"
        self.requests: list[Request] = []
        self._model = _Model(_label_map(labels), model_id)
        # The model at the end of the script, whose classes further steps may use.
        self._last = self._model
        if answer is not None and not isinstance(answer, str) and not callable(answer):
            raise ConfigurationError(f"answer must be a class or a function that returns one, got {shown(answer)}.")
        if isinstance(answer, str):
            _check_label(answer, self._model.labels)
        _check_probability(probability, self._model.labels)
        self._answer = answer
        self._probability = probability
        self._script: deque[_Step | _Model] = deque()
        # Models that have returned their labels, and the steps to repeat for clients that did not have the labels.
        self._labels_returned: set[str] = set()
        self._to_repeat: dict[bytes, _Step] = {}
        self._lock = Lock()

    def answers(
        self,
        label: str,
        *,
        probability: float = 0.9,
        rejection_score: float | None = None,
        rejection_threshold: float = 0.0,
        times: int = 1,
    ) -> Self:
        """Adds a step: the model returns this class.

        Args:
            label: The class, by folder or label.
            probability: Its probability, which must be the largest; the other classes share the rest evenly.
            rejection_score: How little the picture resembles any class; it is rejected above the threshold. Default:
                the model has no rejection score.
            rejection_threshold: The threshold.
            times: Number of requests to which the step applies.
        """
        with self._lock:
            labels = self._last.labels
        _check_label(label, labels)
        _check_probability(probability, labels)
        rejection = None if rejection_score is None else (rejection_score, rejection_threshold)
        return self._then(lambda request, model: _answered(request, model, label, probability, rejection), times)

    def answers_plainly(self, scores: Sequence[float], *, times: int = 1) -> Self:
        """Adds a step: it returns ``[[score per class]]``, as endpoints without labels do."""
        body = json.dumps([list(scores)]).encode()
        return self._then(lambda _request, _model: Response(body, responses.PLAIN_CONTENT_TYPE, "fake-request"), times)

    def answers_bytes(self, body: bytes, *, times: int = 1) -> Self:
        """Adds a step: it returns these bytes."""
        return self._then(lambda _request, _model: Response(body, responses.CONTENT_TYPE, "fake-request"), times)

    def throttles(self, *, times: int = 1) -> Self:
        """Adds a step: it throttles the request, as AWS does above a limit. The client retries such requests."""
        return self._then(_raising("ThrottlingException", "Rate exceeded", 400), times)

    def fails(self, *, status: int = 500, times: int = 1) -> Self:
        """Adds a step: SageMaker itself fails. The client retries such requests."""
        if type(status) is not int or not 500 <= status <= 599:
            raise ConfigurationError(f"status must be one of a server's faults, 500 to 599, got {shown(status)}.")
        return self._then(_raising("InternalFailure", "An internal failure occurred.", status), times)

    def model_fails(self, message: str = "the picture cannot be used", *, status: int = 400, times: int = 1) -> Self:
        """Adds a step: the model's code returns an error, which raises ModelError without a retry."""
        return self._then(
            _raising("ModelError", message, 424, OriginalStatusCode=status, OriginalMessage=message), times
        )

    def times_out(self, *, times: int = 1) -> Self:
        """Adds a step: it does not respond in time, which raises EndpointTimeoutError without a retry."""

        def step(_request: Request, _model: _Model) -> Response:
            raise ReadTimeoutError(endpoint_url=_URL)

        return self._then(step, times)

    def drops(self, *, times: int = 1) -> Self:
        """Adds a step: it closes the connection without a response. The client retries such requests."""

        def step(_request: Request, _model: _Model) -> Response:
            raise ConnectionClosedError(endpoint_url=_URL)

        return self._then(step, times)

    def refuses(self, code: str, message: str = "", *, status: int = 400, times: int = 1) -> Self:
        """Adds a step: AWS refuses the request, for example with AccessDeniedException."""
        return self._then(_raising(code, message, status), times)

    def changes_model(self, labels: LabelMap | Iterable[str], *, model_id: str) -> Self:
        """Adds a step: from then on it serves another model, as after an update."""
        with self._lock:
            self._last = _Model(_label_map(labels), model_id)
            self._script.append(self._last)
        return self

    def classifier(self, **options: Unpack[Options]) -> BreedClassifier:
        """A real client of this endpoint; the options are those of `BreedClassifier`."""
        from dogbreed_sdk.client.classifier import BreedClassifier  # noqa: PLC0415 - a test uses one of two

        return BreedClassifier.from_transport(self, **options)

    def async_classifier(self, **options: Unpack[Options]) -> AsyncBreedClassifier:
        """A real client of this endpoint for asyncio; the options are those of `BreedClassifier`."""
        from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier  # noqa: PLC0415 - a test uses one of two

        return AsyncBreedClassifier.from_transport(self, **options)

    def invoke(
        self,
        body: bytes,
        content_type: str,
        accept: str,
        *,
        connect_timeout: float,  # noqa: ARG002 - there is no connection
        read_timeout: float,  # noqa: ARG002 - timeouts take no time
    ) -> Response:
        """Applies the next step of the script."""
        request = Request(body, content_type, accept)
        step, model = self._next(request)
        return step(request, model)

    def is_transient(self, error: BaseException) -> bool:
        """As for an endpoint on AWS."""
        return errors.is_transient(error)

    def translate(self, error: Exception) -> DogBreedError:
        """As for an endpoint on AWS."""
        return errors.invocation_error(error, self.endpoint_name)

    def _next(self, request: Request) -> tuple[_Step, _Model]:
        with self._lock:
            self.requests.append(request)
            while self._script and isinstance(self._script[0], _Model):
                self._model = self._script.popleft()  # type: ignore[assignment]
            model = self._model
            return self._next_step(request, model), model

    def _next_step(self, request: Request, model: _Model) -> _Step:
        """The next step of the script; the last one if a client repeats a request because it lacks the labels."""
        wants_labels = not request.accept.startswith(responses.SCORES_CONTENT_TYPE)
        if wants_labels and request.body in self._to_repeat:
            step: _Step | _Model = self._to_repeat.pop(request.body)
        else:
            step = self._script.popleft() if self._script else self._unscripted
        assert not isinstance(step, _Model)
        if wants_labels:
            self._labels_returned.add(model.model_id)
        elif model.model_id not in self._labels_returned:
            self._to_repeat[request.body] = step
        return step

    def _then(self, step: _Step, times: int) -> Self:
        check_number("times", times, least=1, whole=True)
        with self._lock:
            self._script.extend([step] * times)
        return self

    def _unscripted(self, request: Request, model: _Model) -> Response:
        chosen = self._answer(request.body) if callable(self._answer) else self._answer
        return _answered(request, model, chosen or model.labels.class_folders[0], self._probability, None)


def picture(number: int = 0, *, size: tuple[int, int] = (64, 48)) -> bytes:
    """A small JPEG, different for each number.

    Args:
        number: Which picture; the same number gives the same bytes.
        size: Width and height in pixels.

    Examples:
        >>> from dogbreed_sdk.testing import picture
        >>> picture(1) == picture(1), picture(1) == picture(2)
        (True, False)
    """
    from PIL import Image  # noqa: PLC0415 - importing the SDK must stay cheap

    pattern = hashlib.sha256(str(number).encode()).digest()
    buffer = io.BytesIO()
    Image.frombytes("RGB", (5, 2), pattern[:30]).resize(size).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _label_map(labels: LabelMap | Iterable[str]) -> LabelMap:
    return labels if isinstance(labels, LabelMap) else LabelMap.from_list(labels)


def _check_label(label: object, labels: LabelMap) -> None:
    """Checks that a class exists."""
    if not isinstance(label, str):
        raise ConfigurationError(f"a class must be given by its folder or label, got {shown(label)}.")
    labels.index(label)


def _check_probability(probability: object, labels: LabelMap) -> None:
    """Checks that a probability makes its class the most probable one."""
    even = 1.0 / len(labels)
    if len(labels) == 1:
        even = 0.0  # its probability is always 1
    right = isinstance(probability, Real) and not isinstance(probability, bool)
    if not right or not even < probability <= 1.0:  # type: ignore[operator]
        raise ConfigurationError(
            f"probability must be greater than {number_text(even, 4)} (an even share of {len(labels)} classes) and at "
            f"most 1, so that the class is the most probable one; got {shown(probability)}."
        )


def _raising(code: str, message: str, status: int, **more: object) -> _Step:
    def step(_request: Request, _model: _Model) -> Response:
        metadata = {"HTTPStatusCode": status, "RequestId": "fake-request"}
        response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata, **more}
        raise ClientError(cast("_ClientErrorResponseTypeDef", response), "InvokeEndpoint")

    return step


def _answered(
    request: Request, model: _Model, label: str, probability: float, rejection: tuple[float, float] | None
) -> Response:
    """A response in the format that the request prefers."""
    chosen, others = model.labels.index(label), len(model.labels) - 1
    if not others:
        probability = 1.0
    shares = [(1.0 - probability) / others if others else 0.0] * (others + 1)
    shares[chosen] = probability
    prediction: dict[str, Any] = {}
    content: dict[str, Any] = {"model_id": model.model_id, "predictions": [prediction]}
    if rejection is not None:
        score, threshold = rejection
        prediction.update(rejected=score > threshold, rejection_score=score)
        content["rejection"] = {"method": "energy", "threshold": threshold}
    if request.accept.startswith(responses.SCORES_CONTENT_TYPE):
        prediction["probabilities"] = shares
        return Response(json.dumps(content).encode(), responses.SCORES_CONTENT_TYPE, "fake-request")
    prediction["scores"] = [
        {**score.to_dict(), "logit": math.log(max(score.probability, 1e-30))} for score in model.labels.rank(shares)
    ]
    content["classes"] = len(model.labels)
    return Response(json.dumps(content).encode(), responses.CONTENT_TYPE, "fake-request")
