"""What the model server is told: options first, then SageMaker's variables, then defaults.

Source of the variables: sagemaker-inference, parameters.py and environment.py; sagemaker-containers for the log level.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from dogbreed_sdk._util.cores import available_cores
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.handlers import DEFAULT_PROGRAM

Backend = Literal["torch", "onnx"]
BACKENDS: tuple[Backend, ...] = ("torch", "onnx")
BACKEND_VARIABLE = "DOGBREED_BACKEND"
TIMEOUT_VARIABLE = "SAGEMAKER_MODEL_SERVER_TIMEOUT"
_THREADS_VARIABLE = "OMP_NUM_THREADS"
_DEFAULT_PORT = "8080"
_DEFAULT_LOG_LEVEL = "30"
# One process with micro-batches keeps two cores busy (measured); its Python parts would not keep many busy. Each takes
# about half a gigabyte of memory.
_CORES_A_WORKER = 4
_MAXIMUM_AUTOMATIC_WORKERS = 8
_NVIDIA_DEVICE = Path("/dev/nvidiactl")


@dataclass(frozen=True)
class Settings:
    """How a model is served.

    Attributes:
        model_dir: The unpacked model.tar.gz.
        code: The folder with the model's code; None for the SDK's own.
        program: The file with its functions.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.
        descriptor: A listening socket that was inherited, instead of host and port.
        workers: Processes that answer.
        threads: Threads that each of them computes with.
        backend: What computes.
        timeout_seconds: A request gets 504 after so long, and a model that does not return is given up.
        default_accept: What a client gets that accepts anything.
        idle_seconds: The server ends after so long without use.
        log: Where output goes as JSON lines; None for the standard streams.
        log_level: As in the module logging.
        connections: A socket that connections are handed over, instead of one to listen on.
        lifeline: A socket whose other end the starter holds: the server tells it that it is ready, and ends with it.
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
    default_accept: str
    idle_seconds: float
    log: Path | None
    log_level: int
    connections: int | None
    lifeline: int | None

    @property
    def is_started_by_hand(self) -> bool:
        """Whether somebody reads what it says, and no program waits for it."""
        return self.descriptor is None and self.connections is None and self.log is None

    def worker_arguments(self, *, connections: int, lifeline: int) -> list[str]:
        """The command line of one worker of several."""
        return [
            *("--model-dir", str(self.model_dir), "--connections", str(connections), "--lifeline", str(lifeline)),
            *("--workers", "1", "--threads", str(self.threads), "--backend", self.backend),
            *(["--log", str(self.log)] if self.log else []),
            *(["--sdk-code"] if self.code is None else []),
        ]


def read_settings(arguments: Sequence[str] | None, environ: Mapping[str, str] | None = None) -> Settings:
    """The settings that a command line and SageMaker's variables make.

    Raises:
        ConfigurationError: A variable or option is not what it must be.
        SystemExit: An option is unknown, or help was asked for.
    """
    environ = os.environ if environ is None else environ
    options = _parser().parse_args(arguments)
    base = Path(environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
    # Workers run in a folder of their own.
    model_dir = (options.model_dir or base / "model").absolute()
    backend = options.backend or environ.get(BACKEND_VARIABLE) or BACKENDS[0]
    if backend not in BACKENDS:
        raise ConfigurationError(f"{BACKEND_VARIABLE} must be one of {', '.join(BACKENDS)}, not {backend!r}.")
    workers = _workers(options.workers or environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or "1", environ)
    threads = options.threads or environ.get(_THREADS_VARIABLE) or str(max(1, available_cores(environ) // workers))
    port = options.port or environ.get("SAGEMAKER_BIND_TO_PORT") or _DEFAULT_PORT
    timeout = environ.get(TIMEOUT_VARIABLE) or "0"
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
        timeout_seconds=_number(timeout, TIMEOUT_VARIABLE, least=0) or float("inf"),
        default_accept=environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or "application/json",
        idle_seconds=options.idle_seconds,
        log=options.log.absolute() if options.log else None,
        log_level=_number(
            environ.get("SAGEMAKER_CONTAINER_LOG_LEVEL") or _DEFAULT_LOG_LEVEL, "SAGEMAKER_CONTAINER_LOG_LEVEL", least=0
        ),
        connections=options.connections,
        lifeline=options.lifeline,
    )


def require_model(settings: Settings) -> None:
    """Checks that there is something to load: a folder of a model, or of code that may bring one itself.

    Raises:
        ConfigurationError: There is neither.
    """
    folder = settings.model_dir
    if folder.is_dir() or (settings.code is not None and settings.code.is_dir()):
        return
    if folder.is_file():
        raise ConfigurationError(f"{folder} is a file: unpack it (tar -xzf), and name the folder as --model-dir.")
    raise ConfigurationError(f"There is no folder {folder}: name that of an unpacked model.tar.gz as --model-dir.")


def _code_folder(model_dir: Path, environ: Mapping[str, str]) -> Path:
    """SAGEMAKER_SUBMIT_DIRECTORY where it names a folder that is there, else code/ beside the model.

    On AWS the variable also names archives on S3, which whoever starts the server has unpacked into code/.
    """
    submitted = (environ.get("SAGEMAKER_SUBMIT_DIRECTORY") or "").removeprefix("file://")
    folder = Path(submitted)
    return folder if submitted.startswith("/") and folder.is_dir() else model_dir / "code"


def _workers(text: str, environ: Mapping[str, str]) -> int:
    if text != "auto":
        return _number(text, "the number of workers (SAGEMAKER_MODEL_SERVER_WORKERS)", least=1)
    # Several processes on one GPU would only take turns.
    if _NVIDIA_DEVICE.exists():
        return 1
    return min(max(1, available_cores(environ) // _CORES_A_WORKER), _MAXIMUM_AUTOMATIC_WORKERS)


def _number(text: str, what: str, *, least: int, most: int | None = None) -> int:
    if not text.strip().isdecimal() or int(text) < least or (most is not None and int(text) > most):
        bounds = f"from {least} to {most}" if most is not None else f"of at least {least}"
        raise ConfigurationError(f"{what[0].upper()}{what[1:]} must be a whole number {bounds}, not {text!r}.")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m dogbreed_sdk.model_server",
        description="Serve a model as SageMaker hosting expects: GET /ping and POST /invocations.",
    )
    add = parser.add_argument
    add("command", nargs="?", choices=["serve"], help="what SageMaker says to a container; it changes nothing")
    add("--model-dir", type=Path, help="the unpacked model.tar.gz (default: /opt/ml/model)")
    add("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    add("--port", help="port to listen on (default: $SAGEMAKER_BIND_TO_PORT, or 8080)")
    add(
        "--workers",
        help="processes; auto: one for four cores, or with a GPU ($SAGEMAKER_MODEL_SERVER_WORKERS, or 1)",
    )
    add("--threads", help="threads of each process (default: $OMP_NUM_THREADS, or the cores shared out)")
    add("--backend", choices=BACKENDS, help="what computes (default: $DOGBREED_BACKEND, or torch)")
    add("--sdk-code", action="store_true", help="serve with the SDK's own code, not with the code in the model")
    add("--descriptor", type=int, help="a listening socket to use instead of host and port")
    add("--connections", type=int, help="a socket to a parent that hands connections over")
    add("--lifeline", type=int, help="a socket to the starter, with whom the server ends")
    add("--log", type=Path, help="where output goes, as JSON lines (default: the standard streams)")
    add("--idle-seconds", type=float, default=float("inf"), help="end after so long without use")
    return parser
