"""The settings of the model server: from options, else SageMaker's variables, else defaults.

Source of the variables: sagemaker-inference, parameters.py and environment.py; sagemaker-containers for the log level.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from dogbreed_sdk._util.cores import available_cores
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.handlers import DEFAULT_PROGRAM
from training_scripts.data.limits import MAX_REALTIME_REQUEST_BYTES

Backend = Literal["auto", "torch", "onnx"]
BACKENDS: tuple[Backend, ...] = ("auto", "torch", "onnx")
BACKEND_VARIABLE = "DOGBREED_BACKEND"
TIMEOUT_VARIABLE = "SAGEMAKER_MODEL_SERVER_TIMEOUT"
_TS_TIMEOUT_VARIABLE = "SAGEMAKER_TS_RESPONSE_TIMEOUT"
# Set for batch transform jobs and asynchronous endpoints; 0 means no limit.
_PAYLOAD_VARIABLE = "SAGEMAKER_MAX_PAYLOAD_IN_MB"
_LOG_LEVEL_VARIABLE = "SAGEMAKER_CONTAINER_LOG_LEVEL"
_WORKERS_VARIABLES = ("SAGEMAKER_MODEL_SERVER_WORKERS", "SAGEMAKER_TS_MIN_WORKERS")
_THREADS_VARIABLE = "OMP_NUM_THREADS"
_DEFAULT_PORT = "8080"
# The level of TorchServe's workers, so that authors of code find their messages; the SDK's own code has none to find.
_CODE_LOG_LEVEL, _SDK_LOG_LEVEL = "20", "30"
# One process with micro-batches keeps two cores busy (measured); Python's lock keeps it from using many more. Each
# needs about half a gigabyte of memory.
_CORES_PER_WORKER = 4
_MAXIMUM_AUTOMATIC_WORKERS = 8
_NVIDIA_DEVICE = Path("/dev/nvidiactl")


@dataclass(frozen=True)
class Settings:
    """How a model is served.

    Attributes:
        model_dir: The unpacked model.tar.gz.
        code: The folder with the model's code; None for the SDK's own.
        program: The file that defines the functions.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        descriptor: An inherited listening socket, instead of host and port.
        workers: Number of processes that run the model.
        threads: Threads with which each of them computes.
        backend: The library that runs the model.
        timeout_seconds: Seconds after which a request gets status 504, and a process whose model does not return ends.
        request_bytes: The largest body of a request.
        default_accept: The response's content type for clients that accept anything.
        idle_seconds: Seconds without requests after which the server ends.
        log: The file that output goes to as JSON lines; None for the standard streams.
        log_level: A level of the module logging.
        connections: A socket to the parent that passes connections, instead of a listening socket.
        parent_socket: A socket to the process that started the server, which reports readiness and ends with it.
        remove_at_end: A folder that the server removes when it ends: the virtual environment that it runs in.
    """

    model_dir: Path
    code: Path | None
    program: str
    host: str
    port: int
    descriptor: int | None
    workers: int
    threads: int
    backend: Backend
    timeout_seconds: float
    request_bytes: int
    default_accept: str
    idle_seconds: float
    log: Path | None
    log_level: int
    connections: int | None
    parent_socket: int | None
    remove_at_end: Path | None = None

    @property
    def is_started_by_hand(self) -> bool:
        """Whether a person started the server and reads its messages."""
        return self.descriptor is None and self.connections is None and self.log is None

    def worker_arguments(self, *, connections: int, parent_socket: int) -> list[str]:
        """The command line of one of several workers."""
        return [
            *("--model-dir", str(self.model_dir)),
            *("--connections", str(connections), "--parent-socket", str(parent_socket)),
            *("--workers", "1", "--threads", str(self.threads), "--backend", self.backend),
            *(["--log", str(self.log)] if self.log else []),
            *(["--sdk-code"] if self.code is None else []),
        ]


def read_settings(arguments: Sequence[str] | None, environ: Mapping[str, str] | None = None) -> Settings:
    """Reads the settings from a command line and SageMaker's variables.

    Raises:
        ConfigurationError: The value of an option or variable is not valid.
        SystemExit: An option is unknown, or is --help.
    """
    environ = os.environ if environ is None else environ
    options = _parser().parse_args(arguments)
    base = Path(environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
    # Workers run in another working directory.
    model_dir = (options.model_dir or base / "model").absolute()
    backend = options.backend or environ.get(BACKEND_VARIABLE) or BACKENDS[0]
    if backend not in BACKENDS:
        raise ConfigurationError(f"{BACKEND_VARIABLE} must be one of {', '.join(BACKENDS)}, not {backend!r}.")
    workers = _workers(options.workers, environ)
    threads = options.threads or environ.get(_THREADS_VARIABLE) or str(max(1, available_cores(environ) // workers))
    port = options.port or environ.get("SAGEMAKER_BIND_TO_PORT") or _DEFAULT_PORT
    return Settings(
        model_dir=model_dir,
        code=None if options.sdk_code else _code_folder(model_dir, environ),
        program=environ.get("SAGEMAKER_PROGRAM") or DEFAULT_PROGRAM,
        host=options.host,
        port=_number(port, "the port (SAGEMAKER_BIND_TO_PORT)", least=0, most=65535),
        descriptor=options.descriptor,
        workers=workers,
        threads=_number(threads, f"the number of threads ({_THREADS_VARIABLE})", least=1),
        backend=cast(Backend, backend),
        timeout_seconds=_timeout_seconds(environ),
        request_bytes=_request_bytes(environ),
        default_accept=environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or "application/json",
        idle_seconds=options.idle_seconds,
        log=options.log.absolute() if options.log else None,
        log_level=_number(
            environ.get(_LOG_LEVEL_VARIABLE) or (_SDK_LOG_LEVEL if options.sdk_code else _CODE_LOG_LEVEL),
            _LOG_LEVEL_VARIABLE,
            least=0,
        ),
        connections=options.connections,
        parent_socket=options.parent_socket,
        remove_at_end=options.remove_at_end,
    )


def require_model(settings: Settings) -> None:
    """Checks that there is something to load: a model's folder, or code that may contain a model.

    Raises:
        ConfigurationError: There is neither.
    """
    folder = settings.model_dir
    if folder.is_dir() or (settings.code is not None and settings.code.is_dir()):
        return
    if folder.is_file():
        raise ConfigurationError(f"{folder} is a file; unpack it (tar -xzf) and pass the directory as --model-dir.")
    raise ConfigurationError(f"There is no directory {folder}; pass that of an unpacked model.tar.gz as --model-dir.")


def _code_folder(model_dir: Path, environ: Mapping[str, str]) -> Path:
    """SAGEMAKER_SUBMIT_DIRECTORY if it names an existing folder, else code/ in the model's folder.

    On AWS the variable can also name an archive on S3, which has been unpacked into code/ before the server starts.
    """
    submitted = (environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or "").removeprefix("file://")
    folder = Path(submitted)
    return folder if submitted.startswith("/") and folder.is_dir() else model_dir / "code"


def _timeout_seconds(environ: Mapping[str, str]) -> float:
    """The time limit of a request, from the first of two variables that is set; infinity without one."""
    for name in (_TS_TIMEOUT_VARIABLE, TIMEOUT_VARIABLE):
        if environ.get(name):
            return _number(environ[name], name, least=0) or float("inf")
    return float("inf")


def _request_bytes(environ: Mapping[str, str]) -> int:
    """The limit of a real-time request, or that of the variable if it allows more."""
    megabytes = environ.get(_PAYLOAD_VARIABLE)
    if megabytes is None:
        return MAX_REALTIME_REQUEST_BYTES
    size = _number(megabytes, _PAYLOAD_VARIABLE, least=0) << 20
    return max(size, MAX_REALTIME_REQUEST_BYTES) if size else sys.maxsize


def _workers(option: str | None, environ: Mapping[str, str]) -> int:
    text = option or next((environ[name] for name in _WORKERS_VARIABLES if environ.get(name)), "1")
    if text != "auto":
        return _number(text, "the number of workers (SAGEMAKER_MODEL_SERVER_WORKERS)", least=1)
    # Several processes would only take turns on the GPU.
    if _NVIDIA_DEVICE.exists():
        return 1
    return min(max(1, available_cores(environ) // _CORES_PER_WORKER), _MAXIMUM_AUTOMATIC_WORKERS)


def _number(text: str, what: str, *, least: int, most: int | None = None) -> int:
    if not text.strip().isdecimal() or int(text) < least or (most is not None and int(text) > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise ConfigurationError(f"{what[0].upper()}{what[1:]} must be a whole number {bounds}, not {text!r}.")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dogbreed_sdk.model_server",
        description="Serve a model over SageMaker's hosting contract: GET /ping and POST /invocations.",
    )
    add = parser.add_argument
    add(
        "command",
        nargs="?",
        choices=["serve"],
        help="the argument that SageMaker passes to a container; it has no effect",
    )
    add("--model-dir", type=Path, help="the unpacked model.tar.gz (default: /opt/ml/model)")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", help="port to listen on (default: $SAGEMAKER_BIND_TO_PORT, or 8080)")
    add(
        "--workers",
        help="number of processes; auto: one per four cores, or one if there is a GPU "
        "(default: $SAGEMAKER_MODEL_SERVER_WORKERS, or 1)",
    )
    add("--threads", help="threads of each process (default: $OMP_NUM_THREADS, or an equal share of the cores)")
    add(
        "--backend",
        choices=BACKENDS,
        help="library that runs the model; auto: onnx where it is installed and gives the same results, else torch "
        "(default: $DOGBREED_BACKEND, or auto)",
    )
    add("--sdk-code", action="store_true", help="run the SDK's own code instead of the code in the model")
    add("--descriptor", type=int, help="inherited listening socket to use instead of host and port")
    add("--connections", type=int, help="inherited socket to a parent process that passes connections")
    add("--parent-socket", type=int, help="inherited socket to the parent process; the server ends when it is closed")
    add("--remove-at-end", type=Path, help="remove this folder, the server's virtual environment, when the server ends")
    add("--log", type=Path, help="write the output to this file as JSON lines (default: to the standard streams)")
    add("--idle-seconds", type=float, default=float("inf"), help="end after this time without requests")
    return parser
