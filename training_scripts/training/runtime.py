"""Prepares the process of an entry point (memory allocator, threads, seeds) and reports its outcome."""

# ruff: noqa: PLC0415 - the environment must be set before torch and NumPy load

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import platform
import random
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts import ScriptError
from training_scripts._util.safe_text import safe_line, safe_lines
from training_scripts.training.processes import PeerError

if TYPE_CHECKING:
    from training_scripts.models.spec import Origin

# mallopt's parameter numbers, from glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_TOP_PAD = -2
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 1 << 30

DEFAULT_CHECKPOINT_DIR = "/opt/ml/checkpoints"
DEFAULT_OUTPUT_DIR = "/opt/ml/output"
DEFAULT_CONFIG_DIR = "/opt/ml/input/config"
DEFAULT_MODEL_DIR = "/opt/ml/model"


def prepare(threads: int | None = None) -> None:
    """Sets up the process for numerical work; call it first, before anything imports torch.

    Args:
        threads: Torch's threads; default: `OMP_NUM_THREADS` if set, else this process's share of the cores.
    """
    prepare_libraries()
    import torch

    torch.set_num_threads(threads or _threads(os.environ))


def prepare_libraries() -> None:
    """The part of `prepare` that must run before NumPy is imported; imports nothing itself."""
    # Threads that spin while waiting take CPU time from decoding and from other processes.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _keep_freed_memory()


def _threads(environ: Mapping[str, str]) -> int:
    value = environ.get("OMP_NUM_THREADS", "")
    return int(value) if value.isdecimal() and int(value) > 0 else cores_of_process(environ)


def available_cores() -> int:
    """Counts the cores that this process may use (a container's share, not all of the machine's)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cores_of_process(environ: Mapping[str, str] | None = None) -> int:
    """The cores for each of the processes that torchrun has started on this instance, at least 1."""
    processes = (environ or os.environ).get("LOCAL_WORLD_SIZE", "1")
    return max(1, available_cores() // max(1, int(processes)))


def _keep_freed_memory() -> None:
    # By default, glibc maps every large block anew, and the page faults cost more time than the convolutions.
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for parameter in (_M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD, _M_TOP_PAD):
        mallopt(parameter, _KEPT_BYTES if parameter != _M_TOP_PAD else _KEPT_BYTES >> 4)


def seed_everything(seed: int) -> None:
    """Seeds Python's, NumPy's and torch's generators."""
    import numpy
    import torch

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def checkpoint_folder(environ: Mapping[str, str] | None = None) -> Path:
    """The folder that SageMaker keeps across restarts: `SM_CHECKPOINT_DIR`, or AWS's default."""
    return Path((environ or os.environ).get("SM_CHECKPOINT_DIR", DEFAULT_CHECKPOINT_DIR))


def checkpoints_are_merged(environ: Mapping[str, str]) -> bool:
    """Whether SageMaker copies the checkpoint folders of all instances to one place on S3.

    Instances then must not write different files of one name (AWS, "Use checkpoints in Amazon SageMaker AI"). smdebug
    reads the same file with the settings.
    """
    path = Path(environ.get("SM_INPUT_CONFIG_DIR", DEFAULT_CONFIG_DIR)) / "checkpointconfig.json"
    try:
        settings = json.loads(path.read_bytes())
        uri, folder = str(settings["S3Uri"]), Path(settings.get("LocalPath") or DEFAULT_CHECKPOINT_DIR)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return uri.startswith("s3://") and folder == checkpoint_folder(environ)


def with_trial_checkpoints(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The variables of a search's trial, with a checkpoint folder of its own.

    All trials have the CheckpointConfig of their tuning job. It is not documented whether SageMaker gives each of them
    a folder of its own there; a trial must never resume another one, which differs only in what is searched.
    """
    name = environ.get("TRAINING_JOB_NAME")
    return {**environ, "SM_CHECKPOINT_DIR": str(checkpoint_folder(environ) / name)} if name else environ


def say(line: str) -> None:
    """Prints one line of the job's log; names in it cannot start another line, which could look like a metric."""
    print(safe_line(line), flush=True)


def run_entry_point(work: Callable[[], int]) -> int:
    """Runs an entry point's work and reports its failure as SageMaker expects it.

    Args:
        work: Does the work and returns the exit status.

    Returns:
        The exit status of `work`, or 1 after a `ScriptError`, whose message goes to stderr and to the
        `failure` file of `SM_OUTPUT_DIR` (SageMaker shows it as the job's FailureReason). Any other
        exception is recorded in the same file, with its traceback, and raised again.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names in messages may not be valid Unicode
    try:
        return work()
    except PeerError as error:
        message = safe_lines(str(error))
        print(f"error: {message}", file=sys.stderr, flush=True)
        _record_failure(message, replace=False)  # the process that ended first has written why
        return 1
    except ScriptError as error:
        message = safe_lines(str(error))
        print(f"error: {message}", file=sys.stderr, flush=True)
        _record_failure(message)
        return 1
    except Exception:
        _record_failure(safe_lines(traceback.format_exc()))
        raise


def versions(origin: Origin) -> dict[str, str]:
    """The versions of Python and of the installed packages that decide a model's numbers.

    Args:
        origin: The library that the backbone is from.
    """
    from importlib import metadata

    package = {"efficientnet_lite": "efficientnet-lite-pytorch"}.get(origin, origin)
    found = {"Python": platform.python_version()}
    for name in ("dogbreed-sdk", "torch", package):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _record_failure(text: str, *, replace: bool = True) -> None:
    folder = Path(os.environ.get("SM_OUTPUT_DIR", DEFAULT_OUTPUT_DIR))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "failure").open("w" if replace else "x", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except FileExistsError:
        pass
    except OSError as error:
        print(f"warning: cannot write {folder / 'failure'}: {error}", file=sys.stderr, flush=True)
