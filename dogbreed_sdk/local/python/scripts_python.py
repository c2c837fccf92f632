"""The Python that runs jobs' scripts, and layers above it, in which a job installs packages as in its own container.

On AWS, whatever a job installs ends with its container. Here a job must not change the user's environment, so it runs
in a separate virtual environment that shows the packages of the scripts' Python.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.python import python_facts

PYTHON_VARIABLE = "DOGBREED_LOCAL_PYTHON"
# The file in a layer that leads to the packages below it.
BELOW_FILE = "below.pth"
_MINIMUM = (3, 9)
_FACTS_SECONDS = 60.0
# Programs that scripts expect beside Python, and the modules that they run.
_PROGRAMS = {"pip": "pip", "pip3": "pip", "torchrun": "torch.distributed.run"}
_PROGRAM = '#!/bin/sh\nexec "$(dirname "$0")/python" -m {module} "$@"\n'
# Variables by which Python would find other modules, and pip would install packages elsewhere.
_ELSEWHERE = ("PYTHONHOME", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON")


@dataclass(frozen=True)
class ScriptsPython:
    """A Python that runs scripts.

    Attributes:
        executable: Its path, as the user names it.
        version: Its version: (3, 11, 7).
        base: The Python below it, if it is a virtual environment; otherwise itself.
        site_folders: Its folders of packages, first to last.
        path: Its module search path.
        pip_wheel: The pip that it brings along to install pip, if it does.
    """

    executable: str
    version: tuple[int, int, int]
    base: str
    site_folders: tuple[str, ...]
    path: tuple[str, ...]
    pip_wheel: str | None

    @property
    def has_pip(self) -> bool:
        """Whether pip is installed."""
        return any(Path(folder, "pip/__init__.py").is_file() for folder in self.path)


def scripts_python(setting: str | None = None) -> ScriptsPython:
    """The Python that runs scripts: DOGBREED_LOCAL_PYTHON, or else the one that runs this.

    Args:
        setting: A path that takes precedence over DOGBREED_LOCAL_PYTHON.

    Raises:
        ConfigurationError: It can't be run, or it is older than Python 3.9.
    """
    executable = scripts_executable(setting)
    if executable == sys.executable:
        return _described(executable, python_facts.facts())
    try:
        end = subprocess.run(
            [executable, python_facts.__file__],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FACTS_SECONDS,
            check=True,
        )
        found: dict[str, Any] = json.loads(end.stdout)
    except subprocess.CalledProcessError as error:
        lines = str(error.stderr).strip().splitlines()
        raise _unusable(executable, lines[-1] if lines else f"it ended with status {error.returncode}") from error
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise _unusable(executable, str(error)) from error
    if tuple(found["version"]) < _MINIMUM:
        raise _unusable(executable, "it is Python {}.{}".format(*found["version"]))
    return _described(executable, found)


def scripts_executable(setting: str | None = None) -> str:
    """The path of the scripts' Python, as the user names it; see `scripts_python`."""
    wanted = setting or os.environ.get(PYTHON_VARIABLE) or sys.executable
    return str(Path(wanted).expanduser().absolute())


def _described(executable: str, found: dict[str, Any]) -> ScriptsPython:
    version = tuple(found["version"])
    return ScriptsPython(
        executable=executable,
        version=(version[0], version[1], version[2]),
        base=found["base"],
        site_folders=tuple(found["site_folders"]),
        path=tuple(found["path"]),
        pip_wheel=found["pip_wheel"],
    )


def _unusable(executable: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{executable} can't run training scripts: {why}. Set {PYTHON_VARIABLE} to a Python from 3.9 on, "
        "or unset it to run them with the Python of local SageMaker."
    )


@dataclass(frozen=True)
class Layer:
    """A virtual environment above the scripts' Python.

    Attributes:
        folder: Its folder.
        below: The Python below it.
        packages: Folders of packages between the two, first to last.
    """

    folder: Path
    below: ScriptsPython
    packages: tuple[Path, ...] = ()

    @property
    def bin(self) -> Path:
        """The folder of its programs."""
        return self.folder / "bin"

    @property
    def python(self) -> str:
        """Its Python."""
        return str(self.bin / "python")

    @property
    def site_packages(self) -> Path:
        """The folder into which its pip installs packages."""
        return self.folder / "lib" / "python{}.{}".format(*self.below.version) / "site-packages"

    def create(self) -> Layer:
        """Create it in a folder that is missing; takes about a millisecond.

        Raises:
            OSError: For instance the disk is full.
        """
        self.bin.mkdir(parents=True)
        self.site_packages.mkdir(parents=True)
        base = Path(self.below.base)
        for name in ("python", "python3", "python{}.{}".format(*self.below.version)):
            (self.bin / name).symlink_to(base)
        for name, module in _PROGRAMS.items():
            (self.bin / name).write_text(_PROGRAM.format(module=module), "ascii")
            (self.bin / name).chmod(0o755)
        version = ".".join(map(str, self.below.version))
        settings = f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {version}\n"
        (self.folder / "pyvenv.cfg").write_text(settings, "utf-8")
        # `addsitedir` also follows the .pth files in those folders: packages that are installed for development.
        folders = [*map(str, self.packages), *self.below.site_folders]
        lines = [f"import site; site.addsitedir({json.dumps(folder)})" for folder in folders]
        if not self.below.has_pip and self.below.pip_wheel:
            lines.append(self.below.pip_wheel)
        (self.site_packages / BELOW_FILE).write_text("\n".join(lines) + "\n", "utf-8")
        return self

    def environment(self, base: Mapping[str, str], *, modules: Sequence[Path] = ()) -> dict[str, str]:
        """An environment in which `python`, `pip` and `torchrun` are those of this layer.

        Args:
            base: The other variables.
            modules: Folders whose modules can be imported, before those in the environment's PYTHONPATH.
        """
        programs = [str(self.bin), *(str(folder.parents[2] / "bin") for folder in self.packages)]
        programs.append(str(Path(self.below.executable).parent))
        found = {**base, "VIRTUAL_ENV": str(self.folder), "PIP_USER": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        found["PATH"] = os.pathsep.join([*programs, base.get("PATH", os.defpath)])
        searched = [*map(str, modules), *filter(None, [base.get("PYTHONPATH")])]
        if searched:
            found["PYTHONPATH"] = os.pathsep.join(searched)
        return {name: value for name, value in found.items() if name not in _ELSEWHERE}
