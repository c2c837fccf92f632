"""Interpreters with the programs that judge our work: AWS's toolkits, smdebug, and the SDKs that notebooks use.

`DOGBREED_CONFORMANCE_PYTHON`, `DOGBREED_NOTEBOOK_PYTHON` and `DOGBREED_TRAINER_PYTHON` name ready ones (they must have
torch too). Otherwise each is made once, in the cache folder: a virtual environment with its packages that sees this
environment's torch through a .pth file, since torch is 5 GB.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

import pytest

INSTALL_SECONDS = 280
# Continuous integration must not be green without having asked the judges.
_give_up = pytest.fail if os.environ.get("CI") else pytest.skip
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dogbreed-sdk"


@dataclass(frozen=True)
class Judge:
    """An environment beside this one.

    Attributes:
        name: What it is called in the cache.
        variable: Names a ready interpreter.
        requirements: What is installed; it goes before this environment's packages.
        probe: Imports what the tests need.
        before: The Python version that it must be older than, if any.
    """

    name: str
    variable: str
    requirements: tuple[str, ...]
    probe: str
    before: tuple[int, int] | None = None


TOOLKITS = Judge(
    "conformance",
    "DOGBREED_CONFORMANCE_PYTHON",
    # sagemaker-inference 1.10 imports pkg_resources, which setuptools dropped in 81; torch wants 77.0.3.
    ("sagemaker-training>=5.1.4", "sagemaker-pytorch-inference>=2.0.25", "setuptools>=77.0.3,<81"),
    "import torch, sagemaker_training, sagemaker_inference, sagemaker_pytorch_serving_container",
)
# A notebook's kernel: the v2 SDK, smdebug, and what notebooks draw and read with.
NOTEBOOK = Judge(
    "notebook",
    "DOGBREED_NOTEBOOK_PYTHON",
    (
        "sagemaker>=2.257,<3",
        "ipykernel>=6",
        "matplotlib",
        "s3fs",
        # smdebug's last release declares only half of what it needs, and works with neither newer NumPy nor protobuf.
        "smdebug==1.0.34",
        "numpy<2.3",
        "protobuf==3.20.3",
        "requests",
        "psutil",
        "pandas",
        "setuptools>=77.0.3,<81",
    ),
    "import torch, smdebug.pytorch, smdebug.trials, smdebug.profiler, importlib.util as u; "
    "assert all(map(u.find_spec, ('sagemaker.tuner', 'ipykernel', 'matplotlib', 's3fs')))",
    before=(3, 13),
)
# The v3 SDK's trainer, which brings sagemaker.core; the umbrella adds packages that are not called here.
TRAINER = Judge(
    "trainer",
    "DOGBREED_TRAINER_PYTHON",
    ("sagemaker-train>=1.27",),
    "import sagemaker.train, sagemaker.core.resources",
)
# Read at once: tests run with the developer's variables removed.
_GIVEN = {judge.name: os.environ.get(judge.variable) for judge in (TOOLKITS, NOTEBOOK, TRAINER)}


@pytest.fixture(scope="session")
def conformance_python() -> Path:
    """An interpreter with AWS's toolkits; where none can be made, tests are skipped, or failed in CI."""
    return _interpreter(TOOLKITS)


@pytest.fixture(scope="session")
def smdebug_python() -> Path:
    """An interpreter with smdebug; where none can be made, tests are skipped, or failed in CI."""
    return _interpreter(NOTEBOOK)


@pytest.fixture(scope="session")
def notebook_python(smdebug_python: Path) -> Path:
    """An interpreter for notebooks: the v2 SDK, smdebug and Jupyter's kernel."""
    return smdebug_python


@pytest.fixture(scope="session")
def trainer_python() -> Path:
    """An interpreter with the v3 SDK; where none can be made, tests are skipped, or failed in CI."""
    return _interpreter(TRAINER)


def _interpreter(judge: Judge) -> Path:
    given = _GIVEN[judge.name]
    python = Path(given) if given else _made(judge)
    answer = subprocess.run([python, "-c", judge.probe], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.fail(f"{python} lacks what these tests need: {answer.stderr.strip().splitlines()[-1]}")
    return python


def _made(judge: Judge) -> Path:
    if judge.before and sys.version_info >= judge.before:
        # Its torch could not be this environment's, and another 5 GB are not installed for a test.
        _give_up(
            f"{judge.name} needs a Python below {'.'.join(map(str, judge.before))}, and torch for it; "
            f"set {judge.variable}"
        )
    packages = sysconfig.get_path("purelib")
    key = hashlib.sha256(repr((sys.version, packages, judge.requirements)).encode()).hexdigest()[:12]
    home = _CACHE / f"{judge.name}-{key}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            _make(judge, home, packages)
    return home / "bin" / "python"


def _make(judge: Judge, home: Path, packages: str) -> None:
    venv.create(home, clear=True, symlinks=True)
    python = home / "bin" / "python"
    # uv needs a fraction of pip's time, and keeps to the day that CI names in UV_EXCLUDE_NEWER.
    install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python), *judge.requirements]
    try:
        subprocess.run(install, capture_output=True, text=True, check=True, timeout=INSTALL_SECONDS)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        _give_up(f"{judge.name} cannot be installed here ({last}); set {judge.variable}")
    except subprocess.TimeoutExpired:
        _give_up(f"installing {judge.name} took more than {INSTALL_SECONDS} s; set {judge.variable}")
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    (Path(own.stdout.strip()) / "tested_environment.pth").write_text(packages + "\n")
    (home / "complete").touch()
