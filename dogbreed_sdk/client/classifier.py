"""BreedClassifier: a picture goes to a model, a Prediction comes back."""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterable
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

from dogbreed_sdk import defaults
from dogbreed_sdk.client import argument_checks, batch, responses
from dogbreed_sdk.client.invoker import Asker
from dogbreed_sdk.client.label_cache import KnownLabels
from dogbreed_sdk.client.options import ClassifierOptions, Fetch, Options, changed
from dogbreed_sdk.client.payloads import LABEL_QUESTION, payload_of
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self, Unpack

    from dogbreed_sdk.client.images import Payload, Picture
    from dogbreed_sdk.client.transports import Answer, Transport
    from dogbreed_sdk.errors import DogBreedError
    from dogbreed_sdk.labels import LabelMap
    from dogbreed_sdk.predictions import Prediction


class BreedClassifier:
    """A client of one model. Thread-safe: make one and keep it for the life of a program.

    It can be pickled, for process pools and task queues: the pickle holds the model's address, the options and the
    labels. Each process opens its own connections, and loads a bundle once, with the first picture.

    Args:
        endpoint_name: Name of the endpoint.
        session: Where it lives. Default: `Session.default()`.
        labels: Names of the classes, as a LabelMap or a list in index order, for endpoints that answer with plain
            scores; a bundle's endpoint brings its own.
        fetch: Who downloads pictures that are given as a URL: "client", this process, refusing addresses that are
            not public; or "endpoint", for endpoints that may reach what this process may not.
        allowed_hosts: Hosts that pictures may be downloaded from by this process. Default: those in the variable
            ``DOGBREED_FETCH_HOSTS``, else any public one.
        max_payload_bytes: Larger pictures are shrunk to fit. Default: the real-time limit of 25 MB; give
            `defaults.SERVERLESS_PAYLOAD_BYTES` for a serverless endpoint.
        connect_timeout: Seconds to wait for a connection.
        read_timeout: Seconds that one attempt may take, from connecting to the last byte of its answer.
        deadline: Seconds for all attempts of a call together, and the pauses between them. Not counted are: reading or
            downloading the picture (`downloads.DEADLINE_SECONDS`), `wait_ready`, and resolving the server's name.
        max_attempts: Attempts a call, the first included. Throttling, server faults and lost connections are tried
            again after a random pause that grows, and not before a Retry-After; what the model or AWS refuses is not.
        wait_ready: Seconds that a call waits for an endpoint that is being created or updated. Default: none.

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
        labels: LabelMap | Sequence[str] | None = None,
        fetch: Fetch = "client",
        allowed_hosts: Sequence[str] | None = None,
        max_payload_bytes: int = defaults.REALTIME_PAYLOAD_BYTES,
        connect_timeout: float = defaults.INVOKE_CONNECT_TIMEOUT_SECONDS,
        read_timeout: float = defaults.INVOKE_READ_TIMEOUT_SECONDS,
        deadline: float = defaults.INVOKE_DEADLINE_SECONDS,
        max_attempts: int = defaults.INVOKE_MAX_ATTEMPTS,
        wait_ready: float = 0.0,
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
        )
        self._assemble(transport, options, KnownLabels())

    @classmethod
    def from_transport(cls, transport: Transport, **options: Unpack[Options]) -> Self:
        """A classifier that asks through a transport of your own.

        Args:
            transport: Carries requests to a model.
            options: As for the class itself.
        """
        made = cls.__new__(cls)
        made._assemble(transport, changed(ClassifierOptions(), options), KnownLabels())
        return made

    @classmethod
    def from_server(cls, url: str, **options: Unpack[Options]) -> Self:
        """A client of a server that speaks SageMaker's hosting contract: a model server, a container on this machine.

        Args:
            url: Where it listens, such as ``http://127.0.0.1:8080``; pictures go to its /invocations.
            options: As for the class itself. ``wait_ready`` waits for its /ping.

        Raises:
            ConfigurationError: The URL is no server's, or an option is wrong.
        """
        from dogbreed_sdk.client.transports.server import ServerTransport  # noqa: PLC0415 - endpoints need it not

        return cls.from_transport(ServerTransport(url), **options)

    @classmethod
    def from_bundle(cls, path: str | os.PathLike[str], **options: Unpack[Options]) -> Self:
        """A model that runs in this process, with the same answers as through an endpoint.

        The code that runs is this package's own, never what is in the archive.

        Args:
            path: A bundle: its folder, its model.tar.gz, or a file:// URI of either.
            options: As for the class itself; those about connections have nothing to decide.

        Raises:
            ConfigurationError: There is no bundle, it is damaged, or the extra ``local`` is not installed.
        """
        from dogbreed_sdk.client.transports.bundle import BundleTransport  # noqa: PLC0415 - torch is needed from here on

        argument_checks.check_path(path)
        transport = BundleTransport(path)
        made = cls.from_transport(transport, **options)
        made._known.learn(transport.model_id, transport.classes)
        made._known.model_id = transport.model_id
        return made

    def _assemble(
        self, transport: Transport, options: ClassifierOptions, known: KnownLabels, closed: Event | None = None
    ) -> None:
        self._closed = closed or Event()
        self._transport = transport
        self._options = options
        self._known = known
        self._labels = options.label_map
        self._asker = Asker(transport, options)

    def __getstate__(self) -> dict[str, Any]:
        return {
            "transport": self._transport,
            "options": self._options,
            "known": self._known,
            "closed": self._closed.is_set(),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._assemble(state["transport"], state["options"], state["known"])
        if state["closed"]:
            self._closed.set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._transport.name})"

    @property
    def endpoint_name(self) -> str:
        """The endpoint's name; for servers and bundles, what messages call them."""
        return str(getattr(self._transport, "endpoint_name", self._transport.name))

    @property
    def session(self) -> Session | None:
        """Where the endpoint lives; None for servers and bundles."""
        return getattr(self._transport, "session", None)

    @property
    def options(self) -> ClassifierOptions:
        """The settings."""
        return self._options

    @property
    def model_id(self) -> str | None:
        """SHA-256 of the weights that answered last, or None before an answer that names them."""
        return self._known.model_id

    def with_options(self, **changes: Unpack[Options]) -> Self:
        """A copy with some settings changed, which shares connections, known labels, and being closed.

        Args:
            changes: As for the class itself.

        Raises:
            ConfigurationError: There is no such option, or a value is out of range.

        Example:
            >>> classifier.with_options(deadline=2.0, max_attempts=1).classify("rex.jpg")  # doctest: +SKIP
        """
        copy = type(self).__new__(type(self))
        copy._assemble(self._transport, changed(self._options, changes), self._known, self._closed)
        return copy

    def classify(self, picture: Picture, *, top_k: int = 5) -> Prediction:
        """What is in a picture.

        Args:
            picture: A path, bytes, an open binary file, a PIL image, a uint8 array, a data: URL or an http(s) URL.
            top_k: How many classes the answer ranks, from 1.

        Returns:
            The most probable class, with the ``top_k`` best in ``scores``.

        Raises:
            ImageError: The picture cannot be used; nothing was sent.
            EndpointError: The endpoint is missing, not ready, overloaded, too slow, or its model failed.
            LabelError: The labels given do not fit the model, or are missing.
            AccessError: Credentials or a permission are missing.
            ConfigurationError: ``top_k`` is no whole number from 1, or the classifier was closed.
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
        """What is in each of many pictures: one result a picture, in their order, as they come.

        A picture is taken from the iterator when there is room for it, in the thread that takes the results: nothing
        is read ahead without bounds, however long the iterator is. Leaving the loop, closing the generator or Ctrl-C
        cancels what has not been answered.

        Args:
            pictures: Any number of pictures, as for `classify`.
            top_k: How many classes each answer ranks, from 1.
            max_concurrency: How many pictures are asked about at a time.
            on_error: "raise" ends at the first picture that fails, with its error, whose text begins with the
                picture's position ("picture 17: …", counted from 1); "return" gives the error in that
                picture's place and goes on.
            progress: Called after each result with (results so far, pictures in all or None where nobody knows).

        Raises:
            DogBreedError: As for `classify`, while the results are taken.
            ConfigurationError: An argument is wrong.
        """
        argument_checks.check_top_k(top_k)
        batch.check(pictures, max_concurrency, on_error, progress)
        self._check_open()
        self._transport.widen(max_concurrency)

        def ask(picture: Picture, cancelled: Event) -> Prediction:
            self._check_open()
            return self._classify(picture, top_k, cancelled)

        return batch.in_order(
            ask,
            pictures,
            max_concurrency=max_concurrency,
            on_error=on_error,
            progress=progress,
            abort=self._transport.abort,
        )

    def labels(self) -> LabelMap:
        """The classes of the model that answered last; the endpoint is asked once where they are not known.

        Raises:
            EndpointError: The endpoint is missing, not ready, overloaded, too slow, or its model failed.
            LabelError: The endpoint does not tell, and none were given.
        """
        self._check_open()
        return self._model_labels(None)

    def close(self) -> None:
        """Gives connections and memory back; a session's own stay open for its other clients.

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
            raise ConfigurationError(f"{self!r} was closed; make a new one.")

    def _model_labels(self, cancelled: Event | None) -> LabelMap:
        given = self._labels or self._known.current()
        if given is not None:
            return given
        self._ask(LABEL_QUESTION, top_k=1, cancelled=cancelled)
        told = self._known.current()
        if told is None:
            raise responses.no_labels("scores of a model that does not name itself")
        return told

    def _classify(self, picture: Picture, top_k: int, cancelled: Event | None) -> Prediction:
        return self._ask(payload_of(picture, self._options), top_k=top_k, cancelled=cancelled)

    def _ask(self, payload: Payload, *, top_k: int, cancelled: Event | None) -> Prediction:
        start = time.monotonic()
        knowing = self._labels is not None or self._known
        accept = responses.ACCEPT_SCORES if knowing else responses.ACCEPT
        answer, waited = self._asker.ask(payload, accept, cancelled, start)
        try:
            return self._parsed(answer, top_k, start)
        except responses.UnknownModelError:
            # The endpoint serves another model by now: it must name its own classes, within the same deadline.
            answer, _ = self._asker.ask(payload, responses.ACCEPT, cancelled, start + waited)
        try:
            return self._parsed(answer, top_k, start)
        except responses.UnknownModelError:
            raise responses.no_labels("probabilities") from None

    def _parsed(self, answer: Answer, top_k: int, start: float) -> Prediction:
        return responses.parse(
            answer.body,
            labels=self._labels,
            top_k=top_k,
            latency_ms=(time.monotonic() - start) * 1e3,
            request_id=answer.request_id,
            known=self._known,
        )
