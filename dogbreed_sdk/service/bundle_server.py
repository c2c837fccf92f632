"""The model server of ``dogbreed serve --bundle``: starts it, replaces it when it dies, and always ends it."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dogbreed_sdk._util.bundle_files import bundle_path, check, naming_archive, unpack, unpack_all
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.client.transports import Response, Transport
from dogbreed_sdk.client.transports.server import ServerTransport
from dogbreed_sdk.errors import ConfigurationError, DogBreedError, EndpointNotReadyError
from dogbreed_sdk.model_server.process import ServerProcess, start
from dogbreed_sdk.model_server.restarts import Restarts

if TYPE_CHECKING:
    from dogbreed_sdk.model_server.process import Code
    from dogbreed_sdk.model_server.settings import Backend

_POLL_SECONDS = 0.1
# Short, because the service has finished its own requests before it ends the model server.
_STOP_SECONDS = 5.0

_log = logging.getLogger("dogbreed_sdk.service")


class BundleServer:
    """The model server of one bundle, and a transport that always sends to its current process.

    Args:
        bundle: A bundle's folder, or its model.tar.gz, which is unpacked into a temporary folder.
        workers: Number of processes that run the model.
        backend: The library that runs the model: "auto", "torch" or "onnx", as for `model_server.start`.
        code: "sdk" runs no code from the bundle, "bundle" runs the bundle's inference.py.
        timeout_seconds: Seconds after which a process whose model does not return is replaced.
        status: Called with a line to print if loading takes long.

    Raises:
        ConfigurationError: The bundle does not exist.
        EndpointNotReadyError: The model cannot be loaded.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        workers: int = 1,
        backend: Backend = "auto",
        code: Code = "sdk",
        timeout_seconds: int | None = None,
        status: Callable[[str], None],
    ) -> None:
        self._scratch = contextlib.ExitStack()
        self._closing = threading.Event()
        self._replacing = threading.Lock()
        archive = bundle_path(bundle)
        folder = archive
        try:
            folder = _folder(archive, code, self._scratch)
            self._start = functools.partial(
                start,
                folder,
                workers=workers,
                backend=backend,
                code=code,
                timeout_seconds=timeout_seconds,
                status=status,
            )
            self._started = time.monotonic()
            self._server = self._start()
        except EndpointNotReadyError as error:
            self._scratch.close()
            raise EndpointNotReadyError(naming_archive(archive, folder, str(error))) from error
        except BaseException:
            self._scratch.close()
            raise
        # Only our own code is known to explain.
        self.transport = FollowingTransport(self._server, explains=code == "sdk")
        self._watch = threading.Thread(target=self._replace_when_dead, name="model-server-watch", daemon=True)
        self._watch.start()

    def close(self) -> None:
        """Ends the model server; one that is just starting ends with this process at the latest."""
        self._closing.set()
        with self._replacing:
            self._server.close(grace_seconds=_STOP_SECONDS)
        self.transport.close()
        self._scratch.close()

    def __enter__(self) -> BundleServer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _replace_when_dead(self) -> None:
        restarts = Restarts()
        while not self._closing.wait(_POLL_SECONDS):
            if self._server.is_alive():
                continue
            _log.error("the model server (process %d) has died; another takes its place", self._server.pid)
            if self._closing.wait(restarts.pause(time.monotonic() - self._started)):
                return
            self._replace()

    def _replace(self) -> None:
        self._server.close()
        self._started = time.monotonic()
        try:
            server = self._start()
        except Exception as error:  # noqa: BLE001 - such as a lack of memory; the next attempt may succeed
            _log.error("the model server could not be started: %s", error)
            return
        with self._replacing:
            if self._closing.is_set():
                server.close(grace_seconds=0.0)
                return
            self._server = server
            self.transport.follow(server)
        _log.warning("the model server is ready again (process %d)", server.pid)


class FollowingTransport(Transport):
    """Sends to a model server, and after its death to the one that replaces it; in between it is not ready.

    Args:
        server: The first one.
        explains: Whether its model can explain predictions.
    """

    def __init__(self, server: ServerProcess, *, explains: bool = False) -> None:
        self.name = "the model server of the bundle"
        self._explains = explains
        self._connections = 0
        self._current = (server, ServerTransport(server.url))

    def follow(self, server: ServerProcess) -> None:
        """Sends to another server from now on."""
        previous, transport = self._current[1], ServerTransport(server.url)
        transport.widen(self._connections)
        self._current = (server, transport)
        previous.close()

    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Response:
        """Sends one request, without retries.

        Raises:
            EndpointNotReadyError: The server has died; another is being started.
        """
        server, transport = self._current
        try:
            return transport.invoke(
                body, content_type, accept, connect_timeout=connect_timeout, read_timeout=read_timeout
            )
        except Exception as error:
            if server.is_alive():
                raise
            raise EndpointNotReadyError("The model server has died; another is being started.") from error

    def is_transient(self, error: BaseException) -> bool:
        """Delegates to the current server; its death is not transient, since a new one takes seconds to load."""
        return self._current[1].is_transient(error)

    def minimum_pause(self, error: BaseException) -> float:
        """The pause that the server requested."""
        return self._current[1].minimum_pause(error)

    def translate(self, error: Exception) -> DogBreedError:
        """Delegates to the current server."""
        return self._current[1].translate(error)

    def check_explains(self) -> None:
        """Checks that the model server runs code that explains.

        Raises:
            ConfigurationError: It runs the bundle's own code.
        """
        if not self._explains:
            super().check_explains()

    def wait_until_ready(self, seconds: float) -> None:
        """Waits for the current server."""
        self._current[1].wait_until_ready(seconds)

    def widen(self, connections: int) -> None:
        """Prepares for this number of concurrent requests."""
        self._connections = max(connections, self._connections)
        self._current[1].widen(connections)

    def abort(self, thread_ids: Collection[int]) -> None:
        """Aborts the requests of these threads."""
        self._current[1].abort(thread_ids)

    def close(self) -> None:
        """Closes connections that are not in use."""
        self._current[1].close()


def _folder(bundle: Path, code: Code, scratch: contextlib.ExitStack) -> Path:
    """The folder of a bundle; an archive is unpacked into a temporary one, its code only if that is to run."""
    if bundle.is_dir():
        if code == "sdk":
            check(bundle)
        return bundle
    if not bundle.is_file():
        raise ConfigurationError(f"There is no bundle {bundle}; pass its folder, or its model.tar.gz.")
    try:
        folder = scratch.enter_context(scratch_folder("dogbreed-serve"))
        (unpack if code == "sdk" else unpack_all)(bundle, folder)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigurationError(f"The bundle {bundle} cannot be unpacked: {reason}") from error
    return folder
