"""Requests to a SageMaker endpoint, on AWS or local, through boto3."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Collection
from contextlib import suppress
from importlib.metadata import version
from threading import Lock
from typing import TYPE_CHECKING, TypedDict
from weakref import WeakKeyDictionary

import botocore
from botocore.config import Config
from botocore.exceptions import ResponseStreamingError

from dogbreed_sdk import defaults
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk._version import __version__
from dogbreed_sdk.aws import errors
from dogbreed_sdk.client import argument_checks
from dogbreed_sdk.client.transports import Response, Transport, deadlines
from dogbreed_sdk.endpoints.status import describe, wait_in_service
from dogbreed_sdk.errors import DogBreedError, EndpointError

if TYPE_CHECKING:
    import boto3
    from types_boto3_sagemaker_runtime import SageMakerRuntimeClient

    from dogbreed_sdk.session import Session

# Clients by boto3 session, then by timeouts and number of connections: boto3 fixes both when a client is created, which
# takes as long as a hundred calls. They are shared by all classifiers of a session and kept, so there must be few.
_CLIENTS: WeakKeyDictionary[boto3.Session, dict[tuple[float, float, int], SageMakerRuntimeClient]] = WeakKeyDictionary()
_MAKING = Lock()


class _Target(TypedDict, total=False):
    TargetVariant: str


class EndpointTransport(Transport):
    """Calls InvokeEndpoint.

    Args:
        endpoint_name: Name of the endpoint.
        session: The session that it belongs to.
        target_variant: Name of the production variant that answers; None lets SageMaker choose.

    Raises:
        ConfigurationError: No endpoint can have this name.
    """

    def __init__(self, endpoint_name: str, session: Session, target_variant: str | None = None) -> None:
        argument_checks.check_endpoint_name(endpoint_name)
        self.endpoint_name = endpoint_name
        self.session = session
        self.target_variant = target_variant
        self.name = f"endpoint {endpoint_name}"
        self._connections = defaults.INVOKE_CONNECTIONS
        self._waiting = Lock()

    def __getstate__(self) -> tuple[str, Session, int, str | None]:
        return self.endpoint_name, self.session, self._connections, self.target_variant

    def __setstate__(self, state: tuple[str, Session, int, str | None]) -> None:
        name, session, connections, target_variant = state
        self.__init__(name, session, target_variant)  # type: ignore[misc]
        self.widen(connections)

    def for_variant(self, name: str | None) -> EndpointTransport:
        """The same endpoint, for requests to one production variant."""
        if name == self.target_variant:
            return self
        other = EndpointTransport(self.endpoint_name, self.session, name)
        other.widen(self._connections)
        return other

    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Response:
        """Sends one request; no retries.

        Raises:
            ClientError: AWS or the model refused it.
            BotoCoreError: The response is missing or incomplete.
        """
        client = self._runtime(connect_timeout, read_timeout)
        target: _Target = {} if self.target_variant is None else {"TargetVariant": self.target_variant}
        with deadlines.Deadline(read_timeout):
            answer = client.invoke_endpoint(
                EndpointName=self.endpoint_name, Body=body, ContentType=content_type, Accept=accept, **target
            )
            content = answer["Body"].read()
        if not content:
            # A connection lost within the headers looks like a response without a body: the HTTP parser takes the
            # end of the stream for the end of the headers.
            raise ResponseStreamingError(error="the response is empty")
        return Response(
            content,
            answer.get("ContentType", ""),
            answer["ResponseMetadata"].get("RequestId"),
            answer.get("InvokedProductionVariant"),
        )

    def _runtime(self, connect_timeout: float, read_timeout: float) -> SageMakerRuntimeClient:
        """The client with these timeouts; `deadlines` ends a request to the second."""
        return _client(self.session.boto3_session, connect_timeout, _rounded_up(read_timeout), self._connections)

    def is_transient(self, error: BaseException) -> bool:
        """True for throttling, a server's fault, or a lost connection."""
        return errors.is_transient(error)

    def minimum_pause(self, error: BaseException) -> float:
        """The seconds of the response's Retry-After."""
        return errors.minimum_pause(error)

    def translate(self, error: Exception) -> DogBreedError:
        """The SDK's error, with AWS's request id and the container's message."""
        if self.target_variant is not None and errors.is_missing_variant(error):
            return self._no_variant(error)
        return errors.invocation_error(error, self.endpoint_name, repr(self.session))

    def _no_variant(self, error: Exception) -> EndpointError:
        """Names the variants that the endpoint has, if the caller may read them."""
        with suppress(DogBreedError):
            found = describe(self.session, self.endpoint_name).get("ProductionVariants", ())
            names = ", ".join(each["VariantName"] for each in found)
            return EndpointError(
                f"Endpoint {self.endpoint_name} has no variant {self.target_variant}; its variants are {names}.",
                request_id=errors.request_id(error),
            )
        return EndpointError(
            f"Endpoint {self.endpoint_name} has no variant {self.target_variant}.", request_id=errors.request_id(error)
        )

    def wait_until_ready(self, seconds: float) -> None:
        """Waits while the endpoint is created or updated; one thread polls its status, and others wait for that one."""
        ends = time.monotonic() + seconds
        with self._waiting:
            left = max(0.0, ends - time.monotonic())
            wait_in_service(self.session, self.endpoint_name, timeout=left, progress=no_progress)

    def abort(self, thread_ids: Collection[int]) -> None:
        """Shuts down the connections that these threads use."""
        deadlines.abort(thread_ids)

    def widen(self, connections: int) -> None:
        """Lets the next request use a client that keeps this many connections."""
        self._connections = max(self._connections, connections)


def _rounded_up(read_timeout: float) -> float:
    """The default, halved or doubled, since each value needs its own client. `deadlines` keeps the exact time.

    >>> _rounded_up(70.0), _rounded_up(3.0), _rounded_up(2.9), _rounded_up(71.0)
    (70.0, 4.375, 4.375, 140.0)
    """
    default = defaults.INVOKE_READ_TIMEOUT_SECONDS
    return default * 2.0 ** -math.floor(math.log2(default / read_timeout))


def _client(
    boto3_session: boto3.Session, connect_timeout: float, read_timeout: float, connections: int
) -> SageMakerRuntimeClient:
    """A client with these timeouts, created once per session."""
    key = (connect_timeout, read_timeout, connections)
    clients = _CLIENTS.get(boto3_session)
    client = clients.get(key) if clients is not None else None
    return _made_client(boto3_session, key) if client is None else client


def _made_client(boto3_session: boto3.Session, key: tuple[float, float, int]) -> SageMakerRuntimeClient:
    connect_timeout, read_timeout, connections = key
    with _MAKING, errors.translated("create a client of SageMaker's runtime"):
        clients = _CLIENTS.setdefault(boto3_session, {})
        if key not in clients:
            client = boto3_session.client(
                "sagemaker-runtime",
                config=Config(
                    connect_timeout=connect_timeout,
                    read_timeout=read_timeout,
                    # BreedClassifier retries, within one deadline; retrying here, too, would multiply the attempts.
                    retries={"mode": "standard", "total_max_attempts": 1},
                    max_pool_connections=connections,
                    tcp_keepalive=True,
                    # The four parameters are checked already; botocore's check takes 3% of a call.
                    parameter_validation=False,
                    # botocore rebuilds its user agent for every call, which takes 5% of it.
                    user_agent=f"dogbreed-sdk/{__version__} botocore/{botocore.__version__}",
                ),
            )
            _add_deadlines(client)
            clients[key] = client
        return clients[key]


def _add_deadlines(client: SageMakerRuntimeClient) -> None:
    """Makes the client's connections obey deadlines and `abort`.

    botocore has no public access to its connections (these attributes: 1.35 to 1.44 at least). In a version without
    them requests still work, and one that hangs ends with botocore's own timeout: a warning is enough.
    """
    try:
        http = client._endpoint.http_session  # type: ignore[attr-defined]
        pool_classes = deadlines.with_deadlines(http._pool_classes_by_scheme)
        if http._manager.pool_classes_by_scheme is not http._pool_classes_by_scheme:
            raise AttributeError("_manager has its own pool classes")
    except AttributeError as error:
        warnings.warn(
            f"Requests to endpoints may outlast their read_timeout and deadline: dogbreed-sdk {__version__} does not "
            f"know the connections of botocore {botocore.__version__} with urllib3 {version('urllib3')} ({error}). "
            "Use an older botocore, or a newer dogbreed-sdk.",
            RuntimeWarning,
            stacklevel=2,
        )
        return
    http._pool_classes_by_scheme = http._manager.pool_classes_by_scheme = pool_classes
