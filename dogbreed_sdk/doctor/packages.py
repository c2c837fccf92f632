"""Whether the packages that this distribution declares are installed, in versions that it works with."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from dogbreed_sdk._util.optional import install_command
from dogbreed_sdk.doctor.check import Check, failed, passed, warned

if TYPE_CHECKING:
    from packaging.requirements import Requirement

DISTRIBUTION = "dogbreed-sdk"
# What each extra is for, as the end of "needed to …".
PURPOSES = {
    "aws": "train and deploy on AWS",
    "local": "run local SageMaker",
    "service": "serve a model to apps over HTTP",
    "onnx": "serve models faster on a CPU",
    "openvino": "compute features faster on Intel's processors",
    "timm": "train on timm's models",
    "webdataset": "read data sets in tar files",
    "parquet": "read data sets in parquet files",
    "heic": "read HEIC pictures",
    "plots": "draw reports' plots with matplotlib",
    "notebooks": "run notebooks on local SageMaker",
    "smdebug": "read recordings with AWS's smdebug",
}


@dataclass(frozen=True)
class _Extra:
    """The state of an extra's packages: those that are missing, and those with another version than required."""

    missing: tuple[str, ...]
    other_versions: tuple[str, ...]


def check_packages(needed: str) -> Iterator[Check]:
    """Yields a check of Python, of the core's packages, and one per extra.

    Args:
        needed: The extra without which the examined work is impossible: aws or local.
    """
    yield _python()
    try:
        from packaging.requirements import Requirement  # noqa: PLC0415

        declared = [Requirement(text) for text in metadata.requires(DISTRIBUTION) or []]
    except (ModuleNotFoundError, metadata.PackageNotFoundError) as error:
        # A copy of the source without installation, or an environment without `packaging`, which pip and pytest need.
        what = f"the package {error.name!r} is" if isinstance(error, ModuleNotFoundError) else f"{DISTRIBUTION} is"
        yield warned(
            "packages", f"{what} not installed, so versions cannot be checked", f"Run: {install_command(needed)}"
        )
        return
    yield _core(declared)
    for extra, purpose in PURPOSES.items():
        yield _extra(extra, purpose, declared, is_needed=extra == needed)


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    return passed("python", found)


def _core(declared: list[Requirement]) -> Check:
    state = _state(declared, "")
    version = metadata.version(DISTRIBUTION)
    if state.missing or state.other_versions:
        return failed(
            "packages", f"dogbreed-sdk {version}: {_problems(state)}", "Run: pip install --upgrade dogbreed-sdk"
        )
    return passed("packages", f"{DISTRIBUTION} {version} and all packages that it needs")


def _extra(extra: str, purpose: str, declared: list[Requirement], *, is_needed: bool) -> Check:
    name, state, command = f"extra {extra}", _state(declared, extra), f"Run: {install_command(extra)}"
    if not state.missing and not state.other_versions:
        return passed(name, f"installed, to {purpose}")
    message = f"{_problems(state)}; needed to {purpose}"
    if is_needed:
        return failed(name, message, command)
    if state.missing:
        return passed(name, f"not installed; needed only to {purpose}")
    return warned(name, message, command)


def _state(declared: list[Requirement], extra: str) -> _Extra:
    missing, other_versions = [], []
    for requirement in declared:
        marker = requirement.marker
        if marker is None or not marker.evaluate({"extra": extra}):
            if marker is not None or extra:
                continue
        elif extra and marker.evaluate({"extra": ""}):
            continue  # one of the core's
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            missing.append(requirement.name)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            other_versions.append(f"{requirement.name} {version} instead of {requirement.specifier}")
    return _Extra(tuple(missing), tuple(other_versions))


def _problems(state: _Extra) -> str:
    missing = f"not installed: {', '.join(state.missing)}" if state.missing else ""
    return "; ".join(filter(None, (missing, *state.other_versions)))
