"""An interpreter with AWS's own toolkits, which judge our scripts and our bundle.

`DOGBREED_CONFORMANCE_PYTHON` names one (it must have torch too). Otherwise one is made once, in the cache folder: a
virtual environment with the two toolkits that sees this environment's torch through a .pth file, since torch is 5 GB.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

PYTHON_VARIABLE = "DOGBREED_CONFORMANCE_PYTHON"
# sagemaker-inference 1.10 imports pkg_resources, which setuptools dropped in 81; torch wants 77.0.3.
REQUIREMENTS = ("sagemaker-training>=5.1.4", "sagemaker-pytorch-inference>=2.0.25", "setuptools>=77.0.3,<81")
INSTALL_SECONDS = 280
# Read at once: tests run with the developer's variables removed.
_GIVEN = os.environ.get(PYTHON_VARIABLE)
# Continuous integration must not be green without having asked AWS's toolkits.
_give_up = pytest.fail if os.environ.get("CI") else pytest.skip
_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dogbreed-sdk"


@pytest.fixture(scope="session")
def conformance_python() -> Path:
    """The interpreter; where none can be made, tests are skipped, or failed in continuous integration."""
    python = Path(_GIVEN) if _GIVEN else _made()
    probe = "import torch, sagemaker_training, sagemaker_inference, sagemaker_pytorch_serving_container"
    answer = subprocess.run([python, "-c", probe], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.fail(f"{python} lacks what these tests need: {answer.stderr.strip().splitlines()[-1]}")
    return python


def _made() -> Path:
    packages = sysconfig.get_path("purelib")
    key = hashlib.sha256(repr((sys.version, packages, REQUIREMENTS)).encode()).hexdigest()[:12]
    home = _CACHE / f"conformance-{key}"
    home.parent.mkdir(parents=True, exist_ok=True)
    with (home.parent / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "complete").exists():
            _make(home, packages)
    return home / "bin" / "python"


def _make(home: Path, packages: str) -> None:
    venv.create(home, with_pip=True, clear=True, symlinks=True)
    python = home / "bin" / "python"
    try:
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS],
            capture_output=True,
            text=True,
            check=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or ["no message"])[-1]
        _give_up(f"AWS's toolkits cannot be installed here ({last}); set {PYTHON_VARIABLE}")
    except subprocess.TimeoutExpired:
        _give_up(f"installing AWS's toolkits took more than {INSTALL_SECONDS} s; set {PYTHON_VARIABLE}")
    own = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    (Path(own.stdout.strip()) / "tested_environment.pth").write_text(packages + "\n")
    (home / "complete").touch()
