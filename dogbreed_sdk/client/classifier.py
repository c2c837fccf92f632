"""BreedClassifier: sends pictures to a model and returns predictions."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import replace
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, TypedDict, overload

from dogbreed_sdk import defaults
from dogbreed_sdk._util.bundle_files import bundle_path
from dogbreed_sdk.client import argument_checks, batch, responses
from dogbreed_sdk.client.images import Payload, decoded, is_url, path_of, to_payload
from dogbreed_sdk.client.invoker import Invoker
from dogbreed_sdk.client.label_cache import LabelCache
from dogbreed_sdk.client.options import ClassifierOptions, Fetch, Options, changed
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.session import Session
from training_scripts._util.safe_text import redacted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self, Unpack

    from dogbreed_sdk.client.detection import Detection
    from dogbreed_sdk.client.explanation import Explanation
    from dogbreed_sdk.client.images import Picture
    from dogbreed_sdk.client.resemblance import Resemblance
    from dogbreed_sdk.client.transports import Response, Transport
    from dogbreed_sdk.errors import DogBreedError
    from dogbreed_sdk.labels import LabelMap
    from dogbreed_sdk.predictions import Prediction

# One white pixel: sent to learn a model's labels before there is a picture.
LABEL_PROBE = Payload(
    base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR42mP4DwABAQEAHLCMmQAAAABJRU5ErkJggg=="),
    "image/png",
    "a white pixel",
)


class HasFeatures(Protocol):
    """What has stored features, such as a TrainingJob."""

    @property
    def features_uri(self) -> str:
        """The file:// URI of their folder."""
        ...


class _State(TypedDict):
    """What a pickled classifier contains."""

    transport: Transport
    options: ClassifierOptions
    label_cache: LabelCache
    closed: bool


class BreedClassifier:
    """A client of one model. Thread-safe: create one and keep it for the life of the program.

    It can be pickled, for process pools and task queues: the pickle holds the model's address, the options and the
    labels. Each process opens its own connections, and loads a bundle once, for its first picture.

    Args:
        endpoint_name: Name of the endpoint.
        session: The session that the endpoint belongs to. Default: `Session.default()`.
        labels: Names of the classes, as a LabelMap or a list in index order, for endpoints that return plain scores;
            an endpoint that serves a bundle returns the names itself.
        fetch: Who downloads a picture that is given as a URL: "client" (this process, which refuses addresses that
            are not public) or "endpoint" (for endpoints that can reach what this process cannot).
        allowed_hosts: The hosts from which this process may download pictures. Default: those in the environment
            variable ``DOGBREED_FETCH_HOSTS``, else all public hosts.
        max_payload_bytes: Larger pictures are shrunk to this size. Default: the real-time limit of 25 MiB; pass
            `defaults.SERVERLESS_PAYLOAD_BYTES` for a serverless endpoint.
        connect_timeout: Seconds to wait for a connection.
        read_timeout: Seconds that one attempt may take, from connecting to the last byte of the response.
        deadline: Seconds for all attempts of a call and the pauses between them. It excludes reading or downloading
            the picture (`downloads.DEADLINE_SECONDS`), `wait_ready`, and resolving the server's name.
        max_attempts: Attempts per call, including the first. Throttling, server faults and lost connections are
            retried after a random pause that grows, and not before a Retry-After; what the model or AWS refuses is
            not retried. The policy is in `client.retries`, its numbers in `defaults`.
        wait_ready: Seconds that a call waits for an endpoint that is being created or updated. Default: 0.
        target_variant: Name of the production variant that answers, such as "canary". Default: SageMaker chooses one
            at random, by the variants' weights; `Prediction.variant` names it.

    Examples:
        >>> classifier = BreedClassifier("dog-breeds", session=session)
        >>> classifier.classify("rex.jpg").label
        'Basset hound'
    """

    def __init__(
        self,
        endpoint_name: str,
        *,
        session: Session | None = None,
        labels: LabelMap | Sequence[str] | None = None,
        fetch: Fetch = "client",
        allowed_hosts: Sequence[str] | None = None,
        max_payload_bytes: int = defaults.REALTIME_PAYLOAD_BYTES,
        connect_timeout: float = defaults.INVOKE_CONNECT_TIMEOUT_SECONDS,
        read_timeout: float = defaults.INVOKE_READ_TIMEOUT_SECONDS,
        deadline: float = defaults.INVOKE_DEADLINE_SECONDS,
        max_attempts: int = defaults.INVOKE_MAX_ATTEMPTS,
        wait_ready: float = 0.0,
        target_variant: str | None = None,
    ) -> None:
        from dogbreed_sdk.client.transports.endpoint import EndpointTransport  # noqa: PLC0415 - servers need no boto3

        if session is not None and not isinstance(session, Session):
            raise ConfigurationError(
                f"session must be a Session, such as Session.local(), got {argument_checks.shown(session)}."
            )
        transport = EndpointTransport(endpoint_name, session or Session.default())
        options = ClassifierOptions(
            labels=labels,
            fetch=fetch,
            allowed_hosts=allowed_hosts,
            max_payload_bytes=max_payload_bytes,
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
            deadline=deadline,
            max_attempts=max_attempts,
            wait_ready=wait_ready,
            target_variant=target_variant,
        )
        self._assemble(transport, options, LabelCache())

    @classmethod
    def from_transport(cls, transport: Transport, **options: Unpack[Options]) -> Self:
        """A classifier that sends its requests through the given transport.

        Args:
            transport: Carries requests to a model.
            options: As for the class itself.
        """
        made = cls.__new__(cls)
        made._assemble(transport, changed(ClassifierOptions(), options), LabelCache())
        return made

    @classmethod
    def from_server(cls, url: str, **options: Unpack[Options]) -> Self:
        """A client of a server that follows SageMaker's hosting contract, such as a container on this machine.

        Args:
            url: The address of the server, such as ``http://127.0.0.1:8080``; pictures are posted to /invocations.
            options: As for the class itself. ``wait_ready`` waits until /ping answers.

        Raises:
            ConfigurationError: The URL is not that of a server, or an option is invalid.
        """
        from dogbreed_sdk.client.transports.server import ServerTransport  # noqa: PLC0415 - endpoints do not need it

        return cls.from_transport(ServerTransport(url), **options)

    @classmethod
    def from_bundle(cls, path: str | os.PathLike[str], **options: Unpack[Options]) -> Self:
        """A model that runs in this process and gives the same predictions as an endpoint.

        Only this package's own code runs, never the code in the archive.

        Args:
            path: A bundle: its folder, its model.tar.gz, or a file:// URI of either.
            options: As for the class itself; those for connections have no effect.

        Raises:
            ConfigurationError: It is not a bundle, is damaged, or the extra ``local`` is not installed.
        """
        from dogbreed_sdk.client.transports.bundle import BundleTransport  # noqa: PLC0415 - torch is needed from here on

        argument_checks.check_path(path)
        transport = BundleTransport(path)
        made = cls.from_transport(transport, **options)
        made._label_cache.store(transport.model_id, transport.classes)
        made._label_cache.model_id = transport.model_id
        return made

    def _assemble(
        self, transport: Transport, options: ClassifierOptions, label_cache: LabelCache, closed: Event | None = None
    ) -> None:
        self._closed = closed or Event()
        transport = transport.for_variant(options.target_variant)
        self._transport = transport
        self._options = options
        self._label_cache = label_cache
        self._labels = options.label_map
        self._invoker = Invoker(transport, options)

    def __getstate__(self) -> _State:
        return {
            "transport": self._transport,
            "options": self._options,
            "label_cache": self._label_cache,
            "closed": self._closed.is_set(),
        }

    def __setstate__(self, state: _State) -> None:
        self._assemble(state["transport"], state["options"], state["label_cache"])
        if state["closed"]:
            self._closed.set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.name})"

    @property
    def endpoint_name(self) -> str:
        """The endpoint's name; for a server or bundle, the name that messages use."""
        return str(getattr(self._transport, "endpoint_name", self._transport.name))

    @property
    def session(self) -> Session | None:
        """The session that the endpoint belongs to; None for a server or bundle."""
        return getattr(self._transport, "session", None)

    @property
    def options(self) -> ClassifierOptions:
        """The classifier's settings."""
        return self._options

    @property
    def model_id(self) -> str | None:
        """SHA-256 of the weights behind the last prediction; None until a response contains it."""
        return self._label_cache.model_id

    @property
    def known_labels(self) -> LabelMap | None:
        """The labels of the model, if they are known without asking it; `labels` asks."""
        return self._labels or self._label_cache.current()

    @property
    def can_explain(self) -> bool:
        """Whether `explain` works: whether the model's network is on this machine."""
        try:
            self._transport.check_explains()
        except ConfigurationError:
            return False
        return True

    def with_options(self, **changes: Unpack[Options]) -> Self:
        """A copy with some settings changed. It shares connections and cached labels, and is closed with the original.

        Args:
            changes: As for the class itself.

        Raises:
            ConfigurationError: An option is unknown, or a value is out of range.

        Examples:
            >>> hasty = classifier.with_options(deadline=2.0, max_attempts=1)
            >>> hasty.classify("rex.jpg").label
            'Basset hound'
        """
        copy = type(self).__new__(type(self))
        copy._assemble(self._transport, changed(self._options, changes), self._label_cache, self._closed)
        return copy

    def classify(self, picture: Picture, *, top_k: int = 5) -> Prediction:
        """Classifies a picture.

        Args:
            picture: A path, bytes, an open binary file, a PIL image, an array (uint8 [h, w] or [h, w, 1, 3 or 4], or
                uint16 [h, w]), a data: URL or an http(s) URL.
            top_k: Number of classes to rank, at least 1.

        Returns:
            The most probable class, with the ``top_k`` most probable ones in ``scores``.

        Raises:
            ImageError: The picture cannot be used; nothing was sent.
            EndpointError: The endpoint is missing, not ready, overloaded or too slow, or its model failed.
            LabelError: The given labels do not fit the model, or labels are missing.
            AccessError: Credentials or a permission are missing.
            ConfigurationError: ``top_k`` is not a positive integer, or the classifier was closed.

        Examples:
            >>> prediction = classifier.classify("rex.jpg", top_k=2)
            >>> [score.label for score in prediction.scores]
            ['Basset hound', 'Beagle']
        """
        argument_checks.check_top_k(top_k)
        self._check_open()
        return self._classify(picture, top_k, None)

    @overload
    def classify_many(
        self,
        pictures: Iterable[Picture],
        *,
        top_k: int = ...,
        max_concurrency: int = ...,
        on_error: Literal["raise"] = ...,
        progress: batch.Progress | None = ...,
    ) -> Generator[Prediction, None, None]: ...

    @overload
    def classify_many(
        self,
        pictures: Iterable[Picture],
        *,
        top_k: int = ...,
        max_concurrency: int = ...,
        on_error: Literal["return"],
        progress: batch.Progress | None = ...,
    ) -> Generator[Prediction | DogBreedError, None, None]: ...

    def classify_many(
        self,
        pictures: Iterable[Picture],
        *,
        top_k: int = 5,
        max_concurrency: int = defaults.MANY_CONCURRENCY,
        on_error: batch.OnError = "raise",
        progress: batch.Progress | None = None,
    ) -> Generator[Prediction | DogBreedError, None, None]:
        """Classifies many pictures; yields one result per picture, in input order.

        Pictures are taken from the iterator as requests complete, in the thread that consumes the results, so that
        even an endless iterator is never read far ahead. Leaving the loop, closing the generator or Ctrl-C cancels the
        requests that are not complete.

        Args:
            pictures: Any number of pictures, as for `classify`.
            top_k: Number of classes to rank for each picture, at least 1.
            max_concurrency: Maximum number of pictures that are classified at the same time.
            on_error: "raise" stops at the first picture that fails and raises its error, whose message begins with
                the picture's position ("picture 17: …", counted from 1); "return" yields the error in place of that
                picture's result and continues.
            progress: Called after each result with (number of results so far, total number of pictures or None if it
                is unknown).

        Raises:
            DogBreedError: As for `classify`, while the results are consumed.
            ConfigurationError: An argument is invalid.

        Examples:
            >>> pictures = ["rex.jpg", "lost.jpg"]
            >>> for picture, result in zip(pictures, classifier.classify_many(pictures, on_error="return")):
            ...     print(picture, "->", result)
            rex.jpg -> Basset hound (...%)
            lost.jpg -> cannot read the picture lost.jpg: No such file or directory
        """
        argument_checks.check_top_k(top_k)
        batch.check(pictures, max_concurrency, on_error, progress)
        self._check_open()
        self._transport.widen(max_concurrency)

        def classify(picture: Picture, cancelled: Event) -> Prediction:
            self._check_open()
            return self._classify(picture, top_k, cancelled)

        return batch.in_order(
            classify,
            pictures,
            max_concurrency=max_concurrency,
            on_error=on_error,
            progress=progress,
            abort=self._transport.abort,
        )

    def explain(self, picture: Picture, *, label: str | None = None, top_k: int = 5) -> Explanation:
        """Classifies a picture, and shows where in it the evidence for a class is.

        The heat map comes from the network's last feature map (`training_scripts.models.explanation`): it shows what
        the model used, which may be the background. It is for models of this machine, from `from_bundle`.

        Args:
            picture: As for `classify`.
            label: The class to explain, by its label or its class folder. Default: the most probable one.
            top_k: Number of classes to rank in the prediction, at least 1.

        Raises:
            ConfigurationError: The network is not on this machine, as for an endpoint; ``top_k`` is not a positive
                integer, or the classifier was closed.
            LabelError: The model has no such class.
            ImageError: The picture cannot be used.
            EndpointError: The model failed.
        """
        argument_checks.check_top_k(top_k)
        self._check_open()
        return self._explain(picture, label, top_k, None)

    def detect(
        self,
        picture: Picture,
        *,
        windows: int = defaults.DETECT_WINDOWS,
        top_k: int = 5,
        max_concurrency: int = defaults.MANY_CONCURRENCY,
    ) -> list[Detection]:
        """Finds the dogs of a picture, with their places: small ones, and several; see `client.detection`.

        It classifies the whole picture and overlapping square windows of it, each in a separate request, 8 to 16 by
        default. A model in this process computes them in batches. The picture is read in this process, also with
        ``fetch="endpoint"``.

        Args:
            picture: As for `classify`.
            windows: Maximum number of requests, at least 1. 16 is enough for windows of half of the picture's side; 48
                also for those of a third, which find smaller dogs and add wrong answers.
            top_k: Number of classes to rank for each dog, at least 1.
            max_concurrency: Maximum number of concurrent requests.

        Returns:
            The dogs, most probable first; dogs of the same class side by side are one. Empty if no window looks like
            any of the classes: if all are rejected or, without a rejection rule, no probability is above 0.5.

        Raises:
            DogBreedError: As for `classify`; the first failure ends the call.

        Examples:
            >>> for found in classifier.detect("rex.jpg", windows=8):
            ...     print(found.prediction.label, found.box)
            Basset hound (...)
        """
        from dogbreed_sdk.client import detection  # noqa: PLC0415 - few clients detect

        argument_checks.check_top_k(top_k)
        self._check_open()
        return detection.detect(self, picture, windows=windows, top_k=top_k, max_concurrency=max_concurrency)

    def find_similar(
        self,
        picture: Picture,
        among: HasFeatures | str | os.PathLike[str],
        *,
        limit: int = 5,
        progress: Callable[[str], object] | None = None,
    ) -> tuple[Resemblance, ...]:
        """Finds the training pictures that a picture resembles most, by the features that the model computes.

        It is for models of this machine, from `from_bundle`.

        Args:
            picture: As for `classify`.
            among: A TrainingJob, whose stored features are used; the folder of a feature store, or its file:// URI; or
                a data set's folder, whose train split passes through the model first (a minute for some thousand
                pictures), once for each classifier.
            limit: Number of pictures, at least 1.
            progress: Called with lines about the progress of that pass.

        Returns:
            At most ``limit`` pictures, most similar first.

        Raises:
            ConfigurationError: The network is not on this machine; the job has no stored features; there are neither
                features nor pictures in the folder, or they do not suit the model.
            ImageError: The picture cannot be used.
        """
        argument_checks.check_number("limit", limit, least=1, whole=True)
        self._check_open()
        self._transport.check_explains()
        payload = to_payload(
            picture, max_bytes=self._options.max_payload_bytes, allowed_hosts=self._options.allowed_hosts
        )
        place = os.fspath(among if isinstance(among, (str, os.PathLike)) else among.features_uri)
        if place.startswith("s3://"):
            raise ConfigurationError(f"{place} is not on this machine; pass the folder of the data set instead.")
        folder = bundle_path(place)
        try:
            return self._transport.resembling(
                payload.body, payload.content_type, folder.absolute(), limit, progress or (lambda _line: None)
            )
        except Exception as error:
            raise self._transport.translate(error) from error

    def labels(self) -> LabelMap:
        """The labels of the model behind the last prediction; before the first one, a request is sent to learn them.

        Raises:
            EndpointError: The endpoint is missing, not ready, overloaded or too slow, or its model failed.
            LabelError: The endpoint does not return labels, and none were given.
        """
        self._check_open()
        return self._model_labels(None)

    def close(self) -> None:
        """Releases connections and memory; connections of the session stay open for its other clients.

        A closed classifier and its copies refuse further calls.
        """
        self._closed.set()
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed.is_set():
            raise ConfigurationError(f"{self!r} was closed; create a new one.")

    def _model_labels(self, cancelled: Event | None) -> LabelMap:
        labels = self.known_labels
        if labels is None:
            self._predict(LABEL_PROBE, top_k=1, cancelled=cancelled)
            labels = self._label_cache.current()
        if labels is None:
            raise responses.no_labels("scores without the model's id")
        return labels

    def _classify(self, picture: Picture, top_k: int, cancelled: Event | None) -> Prediction:
        prediction = self._predict(_payload(picture, self._options), top_k=top_k, cancelled=cancelled)
        path = path_of(picture)
        return prediction if path is None else replace(prediction, picture=path)

    def _predict(self, payload: Payload, *, top_k: int, cancelled: Event | None) -> Prediction:
        start = time.monotonic()
        has_labels = self._labels is not None or self._label_cache
        accept = responses.ACCEPT_SCORES if has_labels else responses.ACCEPT
        response, waited = self._invoker.invoke(payload, accept, cancelled, start)
        try:
            return self._parsed(response, top_k, start)
        except responses.UnknownModelError:
            # The endpoint serves another model by now: it must return the labels, too, within the same deadline.
            response, _ = self._invoker.invoke(payload, responses.ACCEPT, cancelled, start + waited)
        try:
            return self._parsed(response, top_k, start)
        except responses.UnknownModelError:
            raise responses.no_labels("probabilities") from None

    def _explain(self, picture: Picture, label: str | None, top_k: int, cancelled: Event | None) -> Explanation:
        from dogbreed_sdk.client import explanation  # noqa: PLC0415 - few clients explain

        self._transport.check_explains()
        payload = to_payload(
            picture, max_bytes=self._options.max_payload_bytes, allowed_hosts=self._options.allowed_hosts
        )
        labels = self._model_labels(cancelled)
        chosen = "" if label is None else f";class={labels.index(label)}"
        start = time.monotonic()
        response, _ = self._invoker.invoke(payload, f"{explanation.CONTENT_TYPE}{chosen}", cancelled, start)
        prediction = self._parsed(response, top_k, start)
        return explanation.parse(response.body, prediction, decoded(payload), labels=labels.class_folders)

    def _parsed(self, response: Response, top_k: int, start: float) -> Prediction:
        return responses.parse(
            response.body,
            labels=self._labels,
            top_k=top_k,
            latency_ms=(time.monotonic() - start) * 1e3,
            request_id=response.request_id,
            variant=response.variant,
            label_cache=self._label_cache,
        )


def _payload(picture: Picture, options: ClassifierOptions) -> Payload:
    """The request body for a picture: its bytes, or its URL if the endpoint is to download it.

    Raises:
        ImageError: The picture cannot be used.
    """
    if options.fetch == "endpoint" and is_url(picture):
        return Payload(json.dumps({"url": picture}).encode(), "application/json", redacted(picture))
    return to_payload(picture, max_bytes=options.max_payload_bytes, allowed_hosts=options.allowed_hosts)
