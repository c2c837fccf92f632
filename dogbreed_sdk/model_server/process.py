"""Starts a model server as a child process that ends with the program, for `dogbreed serve --bundle`."""

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
# Loading takes 2 to 5 s; exporting a large backbone to ONNX on a slow machine takes a minute.
_STARTUP_SECONDS = 180.0
_STATUS_AFTER_SECONDS = 2.0
_STOP_SECONDS = 65.0
_KEPT_LINES = 40

Code = Literal["sdk", "bundle"]

_log = logging.getLogger(__name__)


def _print_status(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def start(
    model_dir: str | os.PathLike[str],
    *,
    workers: int = 1,
    backend: Backend = "auto",
    threads: int | None = None,
    code: Code = "sdk",
    timeout_seconds: int | None = None,
    status: Callable[[str], None] = _print_status,
) -> ServerProcess:
    """Starts a model server on a free port of this machine, and waits until it is ready.

    It ends when this program ends, for whatever reason. Ctrl-C in a terminal does not reach it, so that it can finish
    its requests; close it then.

    Args:
        model_dir: The bundle's folder: an unpacked model.tar.gz.
        workers: Number of processes that run the model; of several, one that dies is replaced.
        backend: The library that runs the model: "torch", "onnx" (extra `onnx`), or "auto": ONNX Runtime after the
            first pictures, where it is installed and gives the same results.
        threads: Threads of each worker. Default: an equal share of the cores.
        code: "sdk" runs no code from the bundle. "bundle" runs the bundle's own code/inference.py, which may come from
            anyone; it inherits only the environment variables that a program needs to run on this machine, and the
            server's own settings (SAGEMAKER_*).
        timeout_seconds: Seconds after which a request gets status 504, and a process whose model does not return is
            ended. Default: $SAGEMAKER_MODEL_SERVER_TIMEOUT, or no limit.
        status: Called with a line to print if loading takes longer than 2 s.

    Returns:
        The running server; a context manager that closes it.

    Raises:
        ConfigurationError: The folder does not exist, or a package is missing.
        EndpointNotReadyError: The model cannot be loaded; the message has the end of the server's output.
    """
    folder = Path(model_dir).resolve()
    if not folder.is_dir():
        raise ConfigurationError(f"{model_dir} is not a directory; pass the directory of an unpacked model.tar.gz.")
    _require_packages(backend)
    # These modules need packages that may be missing.
    from dogbreed_sdk._util.location import PACKAGE_PARENT  # noqa: PLC0415
    from dogbreed_sdk.model_server.settings import TIMEOUT_VARIABLE  # noqa: PLC0415

    options = ["--model-dir", str(folder), "--workers", str(workers), "--backend", backend]
    options += ["--threads", str(threads)] if threads else []
    options += ["--sdk-code"] if code == "sdk" else []
    line, theirs = socket.socketpair()
    with socket.create_server(("127.0.0.1", 0)) as listener, theirs:
        inherited = (listener.fileno(), theirs.fileno())
        options += ["--descriptor", str(inherited[0]), "--parent-socket", str(inherited[1])]
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
    """The environment of the server: code from a bundle must not see the secrets of the program that starts it."""
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
                f"Serving a model on this machine needs {', '.join(missing)}. Install with: "
                f"pip install 'dogbreed-sdk[{extra}]'"
            )


class ServerProcess:
    """A running model server. Its output, such as errors with tracebacks, goes to this module's logger.

    Attributes:
        url: Its base URL; append /ping or /invocations.
    """

    def __init__(self, url: str, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self.url = url
        self._process = process
        self._line = line
        self._ready = False
        self._output: deque[str] = deque(maxlen=_KEPT_LINES)
        self._reader = threading.Thread(target=self._read_output, name="model-server-output", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id; with several workers, their parent's."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def _read_output(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode("utf-8", "replace").rstrip()
            self._output.append(text)
            if self._ready:
                _log.warning("%s", text)

    def close(self, *, grace_seconds: float = _STOP_SECONDS) -> None:
        """Ends the server after it has finished the requests that it accepted.

        Args:
            grace_seconds: Seconds after which it is killed.
        """
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(grace_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        self._reader.join(1.0)  # by then a worker that was killed has closed the pipe
        if self._process.stdout is not None and not self._reader.is_alive():
            self._process.stdout.close()
        self._line.close()

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def wait_until_ready(self, status: Callable[[str], None]) -> None:
        """Waits until the model is loaded; `start` has done so already.

        Raises:
            EndpointNotReadyError: The server ended, or was not ready after three minutes.
        """
        begun = time.monotonic()
        message = self._receive(_STATUS_AFTER_SECONDS)
        if message is None:
            status("loading the model …")
            message = self._receive(_STARTUP_SECONDS - _STATUS_AFTER_SECONDS)
            if message is None:
                raise EndpointNotReadyError(f"The model server was not ready after {_STARTUP_SECONDS:.0f} s.")
            if message == READY:
                status(f"the model is loaded ({time.monotonic() - begun:.1f} s)")
        if message != READY:
            self._process.wait(_STOP_SECONDS)
            self._reader.join(1.0)
            reason = "\n".join(self._output) or f"it ended with status {self._process.returncode}"
            raise EndpointNotReadyError(f"The model server could not load the model:\n{reason}")
        self._ready = True

    def _receive(self, seconds: float) -> bytes | None:
        """A message of the server: empty if it has ended, None if none comes in time."""
        self._line.settimeout(seconds)
        try:
            return self._line.recv(1)
        except TimeoutError:
            return None
