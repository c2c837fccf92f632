"""A fake endpoint for the tests of programs that classify: scripted answers and failures, no server, no AWS.

The classifier in front of it is the real one: pictures are checked and encoded, answers are parsed, failures are tried
again (without pauses) and become the errors that AWS's would.

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
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError, ConnectionClosedError, ReadTimeoutError

from dogbreed_sdk.aws import errors
from dogbreed_sdk.client import responses
from dogbreed_sdk.client.argument_checks import check_number, shown
from dogbreed_sdk.client.transports import Response, Transport
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from dogbreed_sdk.labels import LabelMap
from training_scripts._util.number_text import number_text

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier
    from dogbreed_sdk.client.classifier import BreedClassifier
    from dogbreed_sdk.client.options import Options

__all__ = ["FakeEndpoint", "Request", "picture"]

_URL = "https://runtime.sagemaker.fake"


@dataclass(frozen=True)
class Request:
    """What arrived at a fake endpoint.

    Attributes:
        body: The picture's bytes, or JSON.
        content_type: What the body is.
        accept: The forms of answer that were asked for.
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
    """An endpoint that does what a test tells it. Thread-safe.

    What is scripted happens once each, in the order of the script, to requests in the order in which they arrive;
    then, and without a script, every picture gets the answer of ``answer``.

    Args:
        labels: Its classes, in index order.
        answer: The class of pictures that no script decides: its folder or name, or a function that tells it from the
            picture's bytes. Default: the first.
        probability: The probability of the class that is answered, which it must make the likeliest; the others share
            the rest evenly.
        model_id: What the model calls itself.

    Attributes:
        requests: What arrived, oldest first, attempts that failed included.

    Raises:
        ConfigurationError: A script cannot be meant: a probability or a status out of range, ``times`` below 1.
        LabelError: There is no such class.

    Example:
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
        # The model of the script's end, which decides what may be written next.
        self._last = self._model
        if answer is not None and not isinstance(answer, str) and not callable(answer):
            raise ConfigurationError(f"answer must be a class or a function that tells it, got {shown(answer)}.")
        if isinstance(answer, str):
            _check_label(answer, self._model.labels)
        _check_probability(probability, self._model.labels)
        self._answer = answer
        self._probability = probability
        self._script: deque[_Step | _Model] = deque()
        # Models that have named their classes, and what they are to answer when asked again to do so.
        self._told: set[str] = set()
        self._again: dict[bytes, _Step] = {}
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
        """Then the next pictures are of this class.

        Args:
            label: The class, by folder or name.
            probability: Its probability, which must make it the likeliest; the other classes share the rest evenly.
            rejection_score: How little the picture looks like any class; above the threshold it is rejected. Default:
                the model has no such score.
            rejection_threshold: The threshold.
            times: To so many pictures.
        """
        with self._lock:
            labels = self._last.labels
        _check_label(label, labels)
        _check_probability(probability, labels)
        rejection = None if rejection_score is None else (rejection_score, rejection_threshold)
        return self._then(lambda request, model: _answered(request, model, label, probability, rejection), times)

    def answers_plainly(self, scores: Sequence[float], *, times: int = 1) -> Self:
        """Then it answers ``[[score per class]]``, as endpoints do that know no labels."""
        body = json.dumps([list(scores)]).encode()
        return self._then(lambda _request, _model: Response(body, responses.PLAIN_CONTENT_TYPE, "fake-request"), times)

    def answers_bytes(self, body: bytes, *, times: int = 1) -> Self:
        """Then it answers with these bytes, whatever they are."""
        return self._then(lambda _request, _model: Response(body, responses.CONTENT_TYPE, "fake-request"), times)

    def throttles(self, *, times: int = 1) -> Self:
        """Then it refuses requests for now, as AWS does above a limit. Such requests are tried again."""
        return self._then(_raising("ThrottlingException", "Rate exceeded", 400), times)

    def fails(self, *, status: int = 500, times: int = 1) -> Self:
        """Then SageMaker itself fails. Such requests are tried again."""
        if type(status) is not int or not 500 <= status <= 599:
            raise ConfigurationError(f"status must be one of a server's faults, 500 to 599, got {shown(status)}.")
        return self._then(_raising("InternalFailure", "An internal failure occurred.", status), times)

    def model_fails(self, message: str = "the picture cannot be used", *, status: int = 400, times: int = 1) -> Self:
        """Then the model's own code answers with an error, which is a ModelError at once."""
        return self._then(
            _raising("ModelError", message, 424, OriginalStatusCode=status, OriginalMessage=message), times
        )

    def times_out(self, *, times: int = 1) -> Self:
        """Then no answer comes in time, which is an EndpointTimeoutError at once."""

        def step(_request: Request, _model: _Model) -> Response:
            raise ReadTimeoutError(endpoint_url=_URL)

        return self._then(step, times)

    def drops(self, *, times: int = 1) -> Self:
        """Then it closes connections without an answer. Such requests are tried again."""

        def step(_request: Request, _model: _Model) -> Response:
            raise ConnectionClosedError(endpoint_url=_URL)

        return self._then(step, times)

    def refuses(self, code: str, message: str = "", *, status: int = 400, times: int = 1) -> Self:
        """Then AWS refuses, for example with AccessDeniedException."""
        return self._then(_raising(code, message, status), times)

    def changes_model(self, labels: LabelMap | Iterable[str], *, model_id: str) -> Self:
        """Then it serves another model, as after an update."""
        with self._lock:
            self._last = _Model(_label_map(labels), model_id)
            self._script.append(self._last)
        return self

    def classifier(self, **options: Unpack[Options]) -> BreedClassifier:
        """A real client of this endpoint; options are `BreedClassifier`'s."""
        from dogbreed_sdk.client.classifier import BreedClassifier  # noqa: PLC0415 - one of two is used

        return BreedClassifier.from_transport(self, **options)

    def async_classifier(self, **options: Unpack[Options]) -> AsyncBreedClassifier:
        """A real client of this endpoint, for asyncio; options are `BreedClassifier`'s."""
        from dogbreed_sdk.client.async_classifier import AsyncBreedClassifier  # noqa: PLC0415 - one of two is used

        return AsyncBreedClassifier.from_transport(self, **options)

    def invoke(
        self,
        body: bytes,
        content_type: str,
        accept: str,
        *,
        connect_timeout: float,  # noqa: ARG002 - nothing is connected
        read_timeout: float,  # noqa: ARG002 - what times out does so at once
    ) -> Response:
        """Does what the script says next."""
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
        """The script's next step; the last one where a client asks once more because it did not know the model."""
        names_classes = not request.accept.startswith(responses.SCORES_CONTENT_TYPE)
        if names_classes and request.body in self._again:
            step: _Step | _Model = self._again.pop(request.body)
        else:
            step = self._script.popleft() if self._script else self._unscripted
        assert not isinstance(step, _Model)
        if names_classes:
            self._told.add(model.model_id)
        elif model.model_id not in self._told:
            self._again[request.body] = step
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
    """A small JPEG; each number gives another one.

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
    """Refuses what is no class, and names those that exist."""
    if not isinstance(label, str):
        raise ConfigurationError(f"a class is named by its folder or label, got {shown(label)}.")
    labels.index(label)


def _check_probability(probability: object, labels: LabelMap) -> None:
    """Refuses one that would make another class the answer."""
    even = 1.0 / len(labels)
    if len(labels) == 1:
        even = 0.0  # its probability is 1 whatever is said
    right = isinstance(probability, Real) and not isinstance(probability, bool)
    if not right or not even < probability <= 1.0:  # type: ignore[operator]
        raise ConfigurationError(
            f"probability must be above {number_text(even, 4)}, an even share of {len(labels)} classes, and at most "
            "1, so that the "
            f"named class is the likeliest; got {shown(probability)}."
        )


def _raising(code: str, message: str, status: int, **more: Any) -> _Step:
    def step(_request: Request, _model: _Model) -> Response:
        metadata = {"HTTPStatusCode": status, "RequestId": "fake-request"}
        content = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata, **more}
        raise ClientError(content, "InvokeEndpoint")

    return step


def _answered(
    request: Request, model: _Model, label: str, probability: float, rejection: tuple[float, float] | None
) -> Response:
    """An answer in the form that the request prefers."""
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
