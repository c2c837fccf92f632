"""The model server behind ``dogbreed serve --bundle``: started, watched, replaced when it dies, never left behind."""

from __future__ import annotations

import contextlib
import functools
import logging
import lzma
import os
import tarfile
import tempfile
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import ConfigurationError, DogBreedError, EndpointNotReadyError
from dogbreed_sdk.serving.process import ServerProcess, start
from dogbreed_sdk.transports import Answer, Transport
from dogbreed_sdk.transports.bundle import bundle_path
from dogbreed_sdk.transports.server import ServerTransport

if TYPE_CHECKING:
    from dogbreed_sdk.serving.process import Code
    from dogbreed_sdk.serving.settings import Backend

_LOOK_SECONDS = 0.1
# A model that dies again and again must not keep a core busy with loading: 1, 2, 4 ... 30 s between two starts.
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_HEALTHY_SECONDS = 60.0
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
        status: Callable[[str], None],
    ) -> None:
        self._scratch = contextlib.ExitStack()
        self._closing = threading.Event()
        self._replacing = threading.Lock()
        try:
            folder = _folder(bundle_path(bundle), self._scratch)
            self._start = functools.partial(start, folder, workers=workers, backend=backend, code=code, status=status)
            self._server = self._start()
        except BaseException:
            self._scratch.close()
            raise
        self._started = time.monotonic()
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
        pause = 0.0
        while not self._closing.wait(_LOOK_SECONDS):
            if self._server.is_alive():
                continue
            lived = time.monotonic() - self._started
            pause = 0.0 if lived > _HEALTHY_SECONDS else min(2 * pause or _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            _log.error("the model server (process %d) has died; another takes its place", self._server.pid)
            if self._closing.wait(pause):
                return
            self._replace()

    def _replace(self) -> None:
        self._server.close()
        try:
            server = self._start()
        except DogBreedError as error:
            _log.error("the model server does not start: %s", error)  # it is tried again
            return
        with self._replacing:
            if self._closing.is_set():
                server.close(grace_seconds=0.0)
                return
            self._server, self._started = server, time.monotonic()
            self.transport.follow(server)
        _log.warning("the model server answers again (process %d)", server.pid)


class FollowingTransport(Transport):
    """Leads to a model server, and after its death to the one in its place; in between it is not ready.

    Args:
        server: The first one.
    """

    def __init__(self, server: ServerProcess) -> None:
        self.name = "the model server of the bundle"
        self.follow(server)

    def follow(self, server: ServerProcess) -> None:
        """Leads to another server from now on."""
        self._now = (server, ServerTransport(server.url))

    def invoke(
        self, body: bytes, content_type: str, accept: str, *, connect_timeout: float, read_timeout: float
    ) -> Answer:
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

    def translate(self, error: Exception) -> DogBreedError:
        """As of the server."""
        return self._now[1].translate(error)

    def widen(self, connections: int) -> None:
        """Announces that so many requests may be under way at once."""
        self._now[1].widen(connections)

    def close(self) -> None:
        """Closes connections that are not in use."""
        self._now[1].close()


def _folder(bundle: Path, scratch: contextlib.ExitStack) -> Path:
    """The folder of a bundle; a temporary one for an archive."""
    if bundle.is_dir():
        return bundle
    if not bundle.is_file():
        raise ConfigurationError(f"There is no bundle {bundle}: give its folder, or its model.tar.gz.")
    if not hasattr(tarfile, "data_filter"):
        raise ConfigurationError("This Python cannot unpack archives safely; use at least 3.10.12 or 3.11.4.")
    folder = scratch.enter_context(tempfile.TemporaryDirectory(prefix="dogbreed-serve-"))
    try:
        with tarfile.open(bundle) as tar:
            tar.extractall(folder, filter="data")  # refuses links and names that lead out of the folder
    except (tarfile.TarError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise ConfigurationError(f"{bundle} is no bundle, or a broken one: {error}") from error
    except OSError as error:
        reason = error.strerror or error
        raise ConfigurationError(f"The bundle {bundle} cannot be unpacked: {reason}") from error
    return Path(folder)
