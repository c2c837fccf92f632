"""The model server behind ``dogbreed serve --bundle``: started, watched, replaced when it dies, never left behind."""

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

_LOOK_SECONDS = 0.1
# Where the service has already answered all that it accepted, the model server has nothing left to finish.
_STOP_SECONDS = 5.0

_log = logging.getLogger("dogbreed_sdk.service")


class BundleServer:
    """A model server of one bundle, and the transport that leads to whichever process is it now.

    Args:
        bundle: A bundle's folder, or its model.tar.gz, which is unpacked into a temporary folder.
        workers: Processes that answer.
        backend: What computes, "torch" or "onnx".
        code: "sdk" runs nothing out of the bundle, "bundle" its own inference.py.
        timeout_seconds: A model that has not returned for so long is ended and replaced.
        status: Gets a line where loading takes long.

    Raises:
        ConfigurationError: There is no such bundle.
        EndpointNotReadyError: The model cannot be loaded.
    """

    def __init__(
        self,
        bundle: str | os.PathLike[str],
        *,
        workers: int = 1,
        backend: Backend = "torch",
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
        self.transport = FollowingTransport(self._server)
        self._watch = threading.Thread(target=self._replace_when_dead, name="model-server-watch", daemon=True)
        self._watch.start()

    def close(self) -> None:
        """Ends the model server; one that is being started ends with this process at the latest."""
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
        while not self._closing.wait(_LOOK_SECONDS):
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
        except Exception as error:  # noqa: BLE001 - out of memory or processes, say: it is tried again
            _log.error("the model server does not start: %s", error)
            return
        with self._replacing:
            if self._closing.is_set():
                server.close(grace_seconds=0.0)
                return
            self._server = server
            self.transport.follow(server)
        _log.warning("the model server answers again (process %d)", server.pid)


class FollowingTransport(Transport):
    """Leads to a model server, and after its death to the one in its place; in between it is not ready.

    Args:
        server: The first one.
    """

    def __init__(self, server: ServerProcess) -> None:
        self.name = "the model server of the bundle"
        self._connections = 0
        self._now = (server, ServerTransport(server.url))

    def follow(self, server: ServerProcess) -> None:
        """Leads to another server from now on."""
        before, transport = self._now[1], ServerTransport(server.url)
        transport.widen(self._connections)
        self._now = (server, transport)
        before.close()

    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Response:
        """Sends one request; no retries.

        Raises:
            EndpointNotReadyError: The server has died; another is being started.
        """
        server, transport = self._now
        try:
            return transport.invoke(
                body, content_type, accept, connect_timeout=connect_timeout, read_timeout=read_timeout
            )
        except Exception as error:
            if server.is_alive():
                raise
            raise EndpointNotReadyError("The model server has died; another is being started.") from error

    def is_transient(self, error: BaseException) -> bool:
        """As of the server; its death is not over in a moment."""
        return self._now[1].is_transient(error)

    def least_pause(self, error: BaseException) -> float:
        """What the server asked for."""
        return self._now[1].least_pause(error)

    def translate(self, error: Exception) -> DogBreedError:
        """As of the server."""
        return self._now[1].translate(error)

    def wait_until_ready(self, seconds: float) -> None:
        """Waits for the server that is there now."""
        self._now[1].wait_until_ready(seconds)

    def widen(self, connections: int) -> None:
        """Announces that so many requests may be under way at once."""
        self._connections = max(connections, self._connections)
        self._now[1].widen(connections)

    def abort(self, thread_ids: Collection[int]) -> None:
        """Cuts off what these threads are asking."""
        self._now[1].abort(thread_ids)

    def close(self) -> None:
        """Closes connections that are not in use."""
        self._now[1].close()


def _folder(bundle: Path, code: Code, scratch: contextlib.ExitStack) -> Path:
    """The folder of a bundle; a temporary one for an archive, with all of it only where its own code is run."""
    if bundle.is_dir():
        if code == "sdk":
            check(bundle)
        return bundle
    if not bundle.is_file():
        raise ConfigurationError(f"There is no bundle {bundle}: give its folder, or its model.tar.gz.")
    try:
        folder = scratch.enter_context(scratch_folder("dogbreed-serve"))
        (unpack if code == "sdk" else unpack_all)(bundle, folder)
    except OSError as error:
        reason = error.strerror or error
        raise ConfigurationError(f"The bundle {bundle} cannot be unpacked: {reason}") from error
    return folder
