"""LocalSageMaker: the HTTP server on loopback, in a thread of the process that starts it."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from types import TracebackType

import uvicorn

from dogbreed_sdk._util.http_connections import LimitedProtocol
from dogbreed_sdk._util.sockets import bind, is_loopback
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.api.app import create_app
from dogbreed_sdk.local.api.expiry import ExpiryWatch
from dogbreed_sdk.local.boto import LocalBotoSession
from dogbreed_sdk.local.store import DEFAULT_REGION, Store

_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
# Clients keep their connections; closing one costs them a retry.
_KEEP_ALIVE_SECONDS = 120


class LocalSageMaker:
    """SageMaker's API on one machine, over the state in one folder.

    Jobs and model servers are separate processes: they continue when this server stops, and other servers on the same
    folder see them, even at the same time in other processes.

    Args:
        root: The folder; created with mode 0700 if it is missing.
        host: A loopback address.
        port: The port; 0 for a free one.

    Raises:
        ConfigurationError: The host is not loopback.

    Examples:
        >>> with LocalSageMaker("local-sagemaker") as local:
        ...     sagemaker = local.boto3_session().client("sagemaker")
        ...     sagemaker.describe_training_job(TrainingJobName=job.name)["TrainingJobStatus"]
        'Completed'
    """

    def __init__(self, root: Path | str, *, host: str = "127.0.0.1", port: int = 0) -> None:
        if not is_loopback(host):
            raise ConfigurationError(
                f"Local SageMaker runs any code that it receives, so it listens on loopback only, not on {host!r}."
            )
        self.root = Path(root).absolute()
        self._host = host
        self._port = port
        self._running: _Running | None = None

    def __repr__(self) -> str:
        where = "stopped" if self._running is None else self.endpoint_url
        return f"LocalSageMaker({str(self.root)!r}, {where})"

    @property
    def endpoint_url(self) -> str:
        """The server's URL, for clients' `endpoint_url=`.

        Raises:
            ConfigurationError: It is not running.
        """
        if self._running is None:
            raise ConfigurationError("Local SageMaker is not running: call start(), or use it in a `with` statement.")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._running.port}"

    def start(self) -> LocalSageMaker:
        """Start the server; does nothing if it is already running.

        Raises:
            ConfigurationError: The folder can't be written, or the port is taken.
        """
        if self._running is None:
            store = Store(self.root)
            store.check_writable()
            self._running = _Running(store, bind(self._host, self._port))
        return self

    def stop(self) -> None:
        """Stop the server; jobs and model servers continue."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def boto3_session(self, *, region_name: str = DEFAULT_REGION) -> LocalBotoSession:
        """A boto3 session whose SageMaker and log clients call this server.

        Args:
            region_name: The region that the session reports; local SageMaker is the same in all.
        """
        return LocalBotoSession(self.endpoint_url, region_name=region_name)

    def __enter__(self) -> LocalSageMaker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Running:
    """One run of the server: its socket, its thread, its store."""

    def __init__(self, store: Store, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self._store = store
        self._listener = listener
        self._server = uvicorn.Server(
            uvicorn.Config(
                create_app(store),
                http=LimitedProtocol,
                log_config=None,
                log_level="warning",
                access_log=False,
                lifespan="on",
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=1,
                server_header=False,
            )
        )
        self._failure: BaseException | None = None
        self._expiry: ExpiryWatch | None = None
        self._thread = threading.Thread(target=self._serve, name="local-sagemaker", daemon=True)
        self._thread.start()
        self._wait_until_started()
        self._expiry = ExpiryWatch(store)

    def stop(self) -> None:
        if self._expiry is not None:
            self._expiry.stop()
        self._server.should_exit = True
        self._thread.join(_STOP_SECONDS)
        self._listener.close()
        self._store.close()

    def _serve(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        except BaseException as error:  # noqa: BLE001 - _wait_until_started raises it
            self._failure = error

    def _wait_until_started(self) -> None:
        waited = threading.Event()
        for _ in range(int(_START_SECONDS / 0.005)):
            if self._server.started:
                return
            if not self._thread.is_alive():
                break
            waited.wait(0.005)
        self.stop()
        raise ConfigurationError(f"Local SageMaker's server did not start: {self._failure or 'for an unknown reason'}.")
