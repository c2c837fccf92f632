"""AsyncBreedClassifier: BreedClassifier for asyncio; its requests run in threads."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable
from concurrent.futures import Future
from functools import partial
from threading import Event
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, overload

from dogbreed_sdk import defaults
from dogbreed_sdk.client import argument_checks, batch, batch_async
from dogbreed_sdk.client.classifier import BreedClassifier
from dogbreed_sdk.client.daemon_pool import DaemonPool

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from dogbreed_sdk.client.classifier import HasFeatures
    from dogbreed_sdk.client.detection import Detection
    from dogbreed_sdk.client.explanation import Explanation
    from dogbreed_sdk.client.images import Picture
    from dogbreed_sdk.client.options import ClassifierOptions, Options
    from dogbreed_sdk.client.resemblance import Resemblance
    from dogbreed_sdk.client.transports import Transport
    from dogbreed_sdk.errors import DogBreedError
    from dogbreed_sdk.labels import LabelMap
    from dogbreed_sdk.predictions import Prediction
    from dogbreed_sdk.session import Session

T = TypeVar("T")


class _Shared(NamedTuple):
    """What a client and its copies share: threads, and the events that cancel the calls in progress."""

    workers: DaemonPool
    in_progress: dict[Future[Any], Event]


class AsyncBreedClassifier:
    """A client of one model for programs that use asyncio. Create one and keep it for the life of the program.

    Calls run in the client's own threads, at most `defaults.INVOKE_CONNECTIONS` at a time; further calls wait.
    A call whose task is cancelled makes no further attempts, and its response is discarded.

    Args:
        endpoint_name: Name of the endpoint.
        session: The session that the endpoint belongs to. Default: `Session.default()`.
        options: As for `BreedClassifier`.

    Examples:
        >>> import asyncio
        >>> async def main() -> str:
        ...     async with AsyncBreedClassifier("dog-breeds", session=session) as classifier:
        ...         return (await classifier.classify("rex.jpg")).label
        >>> asyncio.run(main())
        'Basset hound'
    """

    def __init__(self, endpoint_name: str, *, session: Session | None = None, **options: Unpack[Options]) -> None:
        self._assemble(BreedClassifier(endpoint_name, session=session, **options))

    @classmethod
    def wrapping(cls, classifier: BreedClassifier) -> Self:
        """A client for asyncio that uses the given classifier; closing it closes the classifier.

        Args:
            classifier: The classifier to use.
        """
        made = cls.__new__(cls)
        made._assemble(classifier)
        return made

    @classmethod
    def from_transport(cls, transport: Transport, **options: Unpack[Options]) -> Self:
        """Creates a client as `BreedClassifier.from_transport` does; arguments and errors are the same."""
        return cls.wrapping(BreedClassifier.from_transport(transport, **options))

    @classmethod
    def from_server(cls, url: str, **options: Unpack[Options]) -> Self:
        """Creates a client as `BreedClassifier.from_server` does; arguments and errors are the same."""
        return cls.wrapping(BreedClassifier.from_server(url, **options))

    @classmethod
    def from_bundle(cls, path: str | os.PathLike[str], **options: Unpack[Options]) -> Self:
        """Creates a client as `BreedClassifier.from_bundle` does; arguments and errors are the same.

        The bundle is loaded in the calling thread.
        """
        return cls.wrapping(BreedClassifier.from_bundle(path, **options))

    def _assemble(self, classifier: BreedClassifier, shared: _Shared | None = None) -> None:
        self._classifier = classifier
        self._shared = shared or _Shared(DaemonPool(defaults.INVOKE_CONNECTIONS, name="classify"), {})

    def __getstate__(self) -> BreedClassifier:
        return self._classifier

    def __setstate__(self, classifier: BreedClassifier) -> None:
        self._assemble(classifier)

    def __repr__(self) -> str:
        return f"Async{self._classifier!r}"

    @property
    def endpoint_name(self) -> str:
        """The endpoint's name; for a server or bundle, the name that messages use."""
        return self._classifier.endpoint_name

    @property
    def session(self) -> Session | None:
        """The session that the endpoint belongs to; None for a server or bundle."""
        return self._classifier.session

    @property
    def options(self) -> ClassifierOptions:
        """The client's settings."""
        return self._classifier.options

    @property
    def model_id(self) -> str | None:
        """SHA-256 of the weights behind the last prediction; None until a response contains it."""
        return self._classifier.model_id

    @property
    def known_labels(self) -> LabelMap | None:
        """The labels of the model, if they are known without asking it; `labels` asks."""
        return self._classifier.known_labels

    @property
    def can_explain(self) -> bool:
        """Whether `explain` works: whether the model's network is on this machine."""
        return self._classifier.can_explain

    def with_options(self, **changes: Unpack[Options]) -> Self:
        """Makes a copy as `BreedClassifier.with_options` does; arguments and errors are the same.

        The copy also shares the threads: closing one closes both.
        """
        copy = type(self).__new__(type(self))
        copy._assemble(self._classifier.with_options(**changes), self._shared)
        return copy

    async def classify(self, picture: Picture, *, top_k: int = 5) -> Prediction:
        """Classifies a picture; arguments and errors are those of `BreedClassifier.classify`."""
        argument_checks.check_top_k(top_k)
        return await self._run(partial(self._classifier._classify, picture, top_k))

    async def explain(self, picture: Picture, *, label: str | None = None, top_k: int = 5) -> Explanation:
        """Explains a class; arguments and errors are those of `BreedClassifier.explain`."""
        argument_checks.check_top_k(top_k)
        return await self._run(partial(self._classifier._explain, picture, label, top_k))

    async def find_similar(
        self,
        picture: Picture,
        among: HasFeatures | str | os.PathLike[str],
        *,
        limit: int = 5,
        progress: Callable[[str], object] | None = None,
    ) -> tuple[Resemblance, ...]:
        """Finds similar pictures; arguments and errors are those of `BreedClassifier.find_similar`.

        ``progress`` is called in another thread.
        """

        def call(_cancelled: Event) -> tuple[Resemblance, ...]:
            return self._classifier.find_similar(picture, among, limit=limit, progress=progress)

        return await self._run(call)

    async def detect(
        self,
        picture: Picture,
        *,
        windows: int = defaults.DETECT_WINDOWS,
        top_k: int = 5,
        max_concurrency: int = defaults.MANY_CONCURRENCY,
    ) -> list[Detection]:
        """Finds the dogs of a picture; arguments and errors are those of `BreedClassifier.detect`.

        Its requests run in separate threads.
        """
        from dogbreed_sdk.client import detection  # noqa: PLC0415 - few clients detect

        argument_checks.check_top_k(top_k)

        def call(cancelled: Event) -> list[Detection]:
            return detection.detect(
                self._classifier,
                picture,
                windows=windows,
                top_k=top_k,
                max_concurrency=max_concurrency,
                cancelled=cancelled,
            )

        return await self._run(call)

    @overload
    def classify_many(
        self,
        pictures: Iterable[Picture] | AsyncIterable[Picture],
        *,
        top_k: int = ...,
        max_concurrency: int = ...,
        on_error: Literal["raise"] = ...,
        progress: batch.Progress | None = ...,
    ) -> AsyncGenerator[Prediction, None]: ...

    @overload
    def classify_many(
        self,
        pictures: Iterable[Picture] | AsyncIterable[Picture],
        *,
        top_k: int = ...,
        max_concurrency: int = ...,
        on_error: Literal["return"],
        progress: batch.Progress | None = ...,
    ) -> AsyncGenerator[Prediction | DogBreedError, None]: ...

    def classify_many(
        self,
        pictures: Iterable[Picture] | AsyncIterable[Picture],
        *,
        top_k: int = 5,
        max_concurrency: int = defaults.MANY_CONCURRENCY,
        on_error: batch.OnError = "raise",
        progress: batch.Progress | None = None,
    ) -> AsyncGenerator[Prediction | DogBreedError, None]:
        """Classifies many pictures; arguments and errors are those of `BreedClassifier.classify_many`.

        ``pictures`` may also be an async iterator. A plain iterator runs in the event loop's thread and must not block.

        Leaving the loop early does not end an async generator at once (PEP 525): close it, for example with
        `contextlib.aclosing`.
        """
        argument_checks.check_top_k(top_k)
        batch.check(pictures, max_concurrency, on_error, progress, asynchronous=True)
        self._classifier._check_open()
        return batch_async.in_order(
            lambda picture, cancelled: self._submit(partial(self._classifier._classify, picture, top_k), cancelled),
            pictures,
            max_concurrency=max_concurrency,
            on_error=on_error,
            progress=progress,
        )

    async def labels(self) -> LabelMap:
        """Returns the labels of the model; errors are those of `BreedClassifier.labels`."""
        return await self._run(self._classifier._model_labels)

    async def close(self) -> None:
        """Releases threads, connections and memory. Calls in progress are cancelled or aborted.

        A closed classifier and its copies refuse further calls.
        """
        workers, in_progress = self._shared
        self._classifier._closed.set()
        workers.shutdown(wait=False, cancel_futures=True)
        # Before the requests are aborted, which looks like a lost connection and would be retried.
        for cancelled in tuple(in_progress.values()):
            cancelled.set()
        try:
            await batch_async.abort_requests(workers, self._classifier._transport.abort)
        finally:
            self._classifier.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, call: Callable[[Event], T]) -> T:
        cancelled = Event()
        return await batch_async.awaited(self._submit(call, cancelled), cancelled)

    def _submit(self, call: Callable[[Event], T], cancelled: Event) -> Future[T]:
        """Runs a call in a thread; the event is set when its result is no longer wanted."""
        self._classifier._check_open()
        workers, in_progress = self._shared
        future = workers.submit(call, cancelled)
        in_progress[future] = cancelled
        future.add_done_callback(lambda done: in_progress.pop(done, None))
        return future
