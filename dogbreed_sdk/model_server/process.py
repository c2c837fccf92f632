"""Starts a model server as a process of one's own, and ends it with the program: for `dogbreed serve --bundle`."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.model_server.parent_socket import READY

if TYPE_CHECKING:
    from dogbreed_sdk.model_server.settings import Backend

_NEEDED = {"torch": ("psutil", "starlette", "uvicorn", "torch"), "onnx": ("onnxruntime", "onnx")}
# Loading takes 2 to 5 s; a large backbone that is exported to ONNX on a slow machine a minute.
_STARTUP_SECONDS = 180.0
_STATUS_AFTER_SECONDS = 2.0
_STOP_SECONDS = 65.0
_KEPT_LINES = 40

Code = Literal["sdk", "bundle"]

_log = logging.getLogger(__name__)


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def start(
    model_dir: str | os.PathLike[str],
    *,
    workers: int = 1,
    backend: Backend = "torch",
    threads: int | None = None,
    code: Code = "sdk",
    timeout_seconds: int | None = None,
    status: Callable[[str], None] = _tell,
) -> ServerProcess:
    """Start a model server on a free port of this machine, and wait until it answers.

    It ends with this program, however that ends. Ctrl-C in a terminal does not reach it: close it when what it
    serves has been answered.

    Args:
        model_dir: The bundle's folder: an unpacked model.tar.gz.
        workers: Processes that answer; one that dies is replaced where there are several.
        backend: What computes: "torch", or "onnx" (extra `onnx`).
        threads: Threads of each worker; default: the cores, shared out.
        code: "sdk" runs nothing out of the bundle; "bundle" runs its own code/inference.py, which may be anybody's, and
            inherits only what a program needs to run on this machine, and the server's own settings (SAGEMAKER_*).
        timeout_seconds: A request gets 504 after so long, and a model that does not return is ended, as nothing else
            stops it. Default: $SAGEMAKER_MODEL_SERVER_TIMEOUT, else never.
        status: Gets a line where loading takes longer than 2 s.

    Returns:
        The running server; a context manager that closes it.

    Raises:
        ConfigurationError: There is no such folder, or a package is missing.
        EndpointNotReadyError: The model can't be loaded; with the end of what the server wrote.
    """
    folder = Path(model_dir).resolve()
    if not folder.is_dir():
        raise ConfigurationError(f"{model_dir} is no folder: unpack the model.tar.gz, and name the folder it is in.")
    _require_packages(backend)
    # These need packages that may be missing.
    from dogbreed_sdk._util.processes import PACKAGE_PARENT  # noqa: PLC0415
    from dogbreed_sdk.model_server.settings import TIMEOUT_VARIABLE  # noqa: PLC0415

    options = ["--model-dir", str(folder), "--workers", str(workers), "--backend", backend]
    options += ["--threads", str(threads)] if threads else []
    options += ["--sdk-code"] if code == "sdk" else []
    line, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener, theirs:
        inherited = (listener.fileno(), theirs.fileno())
        options += ["--descriptor", str(inherited[0]), "--lifeline", str(inherited[1])]
        process = subprocess.Popen(
            [sys.executable, "-m", "dogbreed_sdk.model_server", *options],
            cwd=PACKAGE_PARENT,
            env=_environment(code) | ({TIMEOUT_VARIABLE: str(timeout_seconds)} if timeout_seconds else {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=inherited,
            start_new_session=True,
        )
        server = ServerProcess(f"http://127.0.0.1:{listener.getsockname()[1]}", process, line)
    try:
        server.wait_until_ready(status)
    except BaseException:
        server.close(grace_seconds=0.0)
        raise
    return server


def _environment(code: Code) -> dict[str, str]:
    """What the server inherits: code out of a bundle must not see the secrets of whoever starts it."""
    from dogbreed_sdk._util.caller_environment import inherited  # noqa: PLC0415
    from dogbreed_sdk._util.cores import CORES_VARIABLE  # noqa: PLC0415

    if code == "sdk":
        return dict(os.environ)
    own = {name: os.environ[name] for name in os.environ if name.startswith("SAGEMAKER_") or name == CORES_VARIABLE}
    return own | inherited(os.environ)


def _require_packages(backend: Backend) -> None:
    for extra, modules in (("local", _NEEDED["torch"]), ("onnx", _NEEDED["onnx"] if backend == "onnx" else ())):
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigurationError(
                f"Serving a model here with {backend} needs {', '.join(missing)}: pip install 'dogbreed-sdk[{extra}]'."
            )


class ServerProcess:
    """A running model server. What it writes, its errors with tracebacks, goes to this module's logger.

    Attributes:
        url: Where it answers; append /ping or /invocations.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self.url = url
        self._process = process
        self._line = line
        self._ready = False
        self._output: deque[str] = deque(maxlen=_KEPT_LINES)
        self._listening = threading.Thread(target=self._listen, name="model-server-output", daemon=True)
        self._listening.start()

    @property
    def pid(self) -> int:
        """The process; with several workers, their parent."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            self._output.append(text)
            if self._ready:
                _log.warning("%s", text)

    def close(self, *, grace_seconds: float = _STOP_SECONDS) -> None:
        """End it, once it has answered what it accepted.

        Args:
            grace_seconds: How long that may take; then it is killed.
        """
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._listening.join(1.0)  # a worker that was killed has let go of the pipe by then
        if self._process.stdout is not None and not self._listening.is_alive():
            self._process.stdout.close()
        self._line.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def wait_until_ready(self, status: Callable[[str], None]) -> None:
        """Wait until the model is loaded; what `start` does.

        Raises:
            EndpointNotReadyError: It ended, or took longer than three minutes.
        """
        begun = time.monotonic()
        heard = self._hear(_STATUS_AFTER_SECONDS)
        if heard is None:
            status("Loading the model ...")
            heard = self._hear(_STARTUP_SECONDS - _STATUS_AFTER_SECONDS)
            if heard is None:
                raise EndpointNotReadyError(f"The model server was not ready after {_STARTUP_SECONDS:.0f} s.")
            if heard == READY:
                status(f"The model is loaded ({time.monotonic() - begun:.1f} s).")
        if heard != READY:
            self._process.wait(_STOP_SECONDS)
            self._listening.join(1.0)
            reason = "\n".join(self._output) or f"it ended with status {self._process.returncode}"
            raise EndpointNotReadyError(f"The model server could not load the model:\n{reason}")
        self._ready = True

    def _hear(self, seconds: float) -> bytes | None:
        """What the server says, nothing where it has ended; None when it says nothing for so long."""
        self._line.settimeout(seconds)
        try:
            return self._line.recv(1)
        except TimeoutError:
            return None
