"""Requests to a SageMaker endpoint, on AWS or local, through boto3."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Collection
from importlib.metadata import version
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import botocore
from botocore.config import Config
from botocore.exceptions import ResponseStreamingError

from dogbreed_sdk import defaults
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk._version import __version__
from dogbreed_sdk.aws import errors
from dogbreed_sdk.client import argument_checks
from dogbreed_sdk.client.transports import Answer, Transport, deadlines
from dogbreed_sdk.errors import DogBreedError

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

# Clients by boto3 session, then by timeouts and width: boto3 fixes both when it makes a client, and making one costs
# as much as a hundred calls. Shared by all classifiers of a session, and kept: there must be few.
_CLIENTS: WeakKeyDictionary[Any, dict[tuple[float, float, int], Any]] = WeakKeyDictionary()
_MAKING = Lock()


class EndpointTransport(Transport):
    """Calls InvokeEndpoint.

    Args:
        endpoint_name: Name of the endpoint.
        session: Where it lives.

    Raises:
        ConfigurationError: No endpoint can have this name.
    """

    def __init__(self, endpoint_name: str, session: Session) -> None:
        argument_checks.check_endpoint_name(endpoint_name)
        self.endpoint_name = endpoint_name
        self.session = session
        self.name = f"endpoint {endpoint_name}"
        self._connections = defaults.INVOKE_CONNECTIONS
        self._waiting = Lock()

    def __getstate__(self) -> tuple[str, Session, int]:
        return self.endpoint_name, self.session, self._connections

    def __setstate__(self, state: tuple[str, Session, int]) -> None:
        name, session, connections = state
        self.__init__(name, session)  # type: ignore[misc]
        self.widen(connections)

    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Answer:
        """Sends one request; no retries.

        Raises:
            ClientError: AWS or the model refused it.
            BotoCoreError: No answer came, or only a part of it.
        """
        client = _client(self.session.boto3_session, connect_timeout, _rounded_up(read_timeout), self._connections)
        with deadlines.Limited(read_timeout):
            answer = client.invoke_endpoint(
                EndpointName=self.endpoint_name, Body=body, ContentType=content_type, Accept=accept
            )
            content = answer["Body"].read()
        if not content:
            # A connection lost among the headers looks like an answer without a body: HTTP's parser takes the end
            # of the stream for the end of the headers.
            raise ResponseStreamingError(error="the answer is empty")
        return Answer(content, answer.get("ContentType", ""), answer["ResponseMetadata"].get("RequestId"))

    def is_transient(self, error: BaseException) -> bool:
        """Throttling, a server's fault, or a lost connection."""
        return errors.is_transient(error)

    def least_pause(self, error: BaseException) -> float:
        """The seconds of a Retry-After."""
        return errors.least_pause(error)

    def translate(self, error: Exception) -> DogBreedError:
        """The SDK's error, with AWS's request id and the container's message."""
        return errors.invocation_error(error, self.endpoint_name, repr(self.session))

    def wait_until_ready(self, seconds: float) -> None:
        """Waits while the endpoint is created or updated; one thread asks for its status, others wait for that one."""
        from dogbreed_sdk.endpoints.deployment import Deployment  # noqa: PLC0415 - deployments know classifiers

        ends = time.monotonic() + seconds
        with self._waiting:
            left = max(0.0, ends - time.monotonic())
            Deployment(self.endpoint_name, self.session).wait(timeout=left, progress=no_progress)

    def abort(self, thread_ids: Collection[int]) -> None:
        """Ends the connections that these threads use."""
        deadlines.cut(thread_ids)

    def widen(self, connections: int) -> None:
        """Has the next request use a client that keeps so many connections."""
        self._connections = max(self._connections, connections)


def _rounded_up(read_timeout: float) -> float:
    """The default, halved or doubled: one of few, since each costs a client. `cutting` keeps the time exactly.

    >>> _rounded_up(70.0), _rounded_up(3.0), _rounded_up(2.9), _rounded_up(71.0)
    (70.0, 4.375, 4.375, 140.0)
    """
    default = defaults.INVOKE_READ_TIMEOUT_SECONDS
    return default * 2.0 ** -math.floor(math.log2(default / read_timeout))


def _client(boto3_session: Any, connect_timeout: float, read_timeout: float, connections: int) -> Any:
    """A client with these timeouts, made once a session."""
    key = (connect_timeout, read_timeout, connections)
    clients = _CLIENTS.get(boto3_session)
    client = clients.get(key) if clients is not None else None
    return _made_client(boto3_session, key) if client is None else client


def _made_client(boto3_session: Any, key: tuple[float, float, int]) -> Any:
    connect_timeout, read_timeout, connections = key
    with _MAKING, errors.translated("open a client of SageMaker's runtime"):
        clients = _CLIENTS.setdefault(boto3_session, {})
        if key not in clients:
            client = boto3_session.client(
                "sagemaker-runtime",
                config=Config(
                    connect_timeout=connect_timeout,
                    read_timeout=read_timeout,
                    # BreedClassifier retries, within one deadline; twice over would multiply the attempts.
                    retries={"mode": "standard", "total_max_attempts": 1},
                    max_pool_connections=connections,
                    tcp_keepalive=True,
                    # Its four parameters are checked before it is called; botocore's check takes 3 % of a call.
                    parameter_validation=False,
                    # botocore composes its own description of Python and machine anew for every call, for 5 % of it.
                    user_agent=f"dogbreed-sdk/{__version__} botocore/{botocore.__version__}",
                ),
            )
            _make_traceable(client)
            clients[key] = client
        return clients[key]


def _make_traceable(client: Any) -> None:
    """Has the client's connections keep time and note who uses them.

    botocore has no public way to its connections (these attributes: 1.35 to 1.44 at least). In a version without them
    requests still work, and one that hangs ends with botocore's own timeout: worth a warning, and no reason to fail.
    """
    try:
        http = client._endpoint.http_session
        pool_classes = deadlines.traceable(http._pool_classes_by_scheme)
        if http._manager.pool_classes_by_scheme is not http._pool_classes_by_scheme:
            raise AttributeError("_manager has pool classes of its own")
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
