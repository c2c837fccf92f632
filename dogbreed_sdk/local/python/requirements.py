"""Makes the packages of a script's requirements.txt available, as AWS's toolkit does before it runs the script.

Packages never go into the user's environment. Requirements that the scripts' Python satisfies need no pip. Others are
installed once into a layer that all jobs with the same file share.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk.local.python.installation import install
from dogbreed_sdk.local.python.scripts_python import Layer, ScriptsPython
from dogbreed_sdk.local.script_files import remove_tree
from training_scripts._util.locking import exclusive

_COMMENT = re.compile(r"(^|\s)#.*")
# Options that say where packages come from; all others are about files or single packages.
_SOURCES = re.compile(
    r"(-i|-f|--(index-url|extra-index-url|find-links|no-index|trusted-host|pre|prefer-binary|only-binary|no-binary))"
    r"([\s=].*)?"
)


def requirements_layers(
    file: Path, python: ScriptsPython, layers: Path, environment: Mapping[str, str], report: Report
) -> tuple[Path, ...] | None:
    """Make a requirements.txt's packages available.

    Args:
        file: The requirements.txt.
        python: The scripts' Python.
        layers: The folder of shared layers.
        environment: pip's environment.
        report: Called with pip's output, line by line.

    Returns:
        Folders of packages to add to those of the scripts' Python: none if it satisfies the requirements already.
        None if a shared layer won't do, because the file names other files or addresses, whose content may change.

    Raises:
        InstallError: pip failed.
    """
    text = file.read_text("utf-8", "replace")
    wanted = parsed(text)
    if wanted is None:
        return None
    if are_satisfied(wanted, python, python.path):
        return ()
    key = json.dumps([text, python.executable, python.base, python.version, str(layers)])
    folder = layers / hashlib.sha256(key.encode()).hexdigest()[:16]
    layer, complete = Layer(folder / "python", python), folder / "complete"
    with exclusive(folder, report=report):
        if complete.exists() and are_satisfied(wanted, python, [str(layer.site_packages), *python.path]):
            return (layer.site_packages,)
        if not complete.exists():
            remove_tree(layer.folder)  # a part of one: its process was killed
            layer.create()
        install(layer, ["-r", file.name], file.parent, environment, report)
        complete.touch()
    return (layer.site_packages,)


def parsed(text: str) -> list[Requirement] | None:
    """A requirements.txt's requirements; None if some are files or addresses instead of packages of an index."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        wanted = _COMMENT.sub("", line).strip()
        if not wanted or _SOURCES.fullmatch(wanted):
            continue
        try:
            requirement = Requirement(re.split(r"\s+--", wanted, maxsplit=1)[0])
        except InvalidRequirement:
            return None
        if requirement.url is not None:
            return None
        found.append(requirement)
    return found


def are_satisfied(wanted: Iterable[Requirement], python: ScriptsPython, path: Sequence[str]) -> bool:
    """Whether the packages on a module search path satisfy requirements."""
    return all(_is_satisfied(requirement, python, list(path)) for requirement in wanted)


def _is_satisfied(wanted: Requirement, python: ScriptsPython, path: list[str]) -> bool:
    full = ".".join(map(str, python.version))
    markers = {"python_version": full.rpartition(".")[0], "python_full_version": full}
    if wanted.marker is not None and not wanted.marker.evaluate({**markers, "extra": ""}):
        return True
    found = next(iter(Distribution.discover(name=wanted.name, path=path)), None)
    if found is None or not wanted.specifier.contains(found.version, prereleases=True):
        return False
    needs = [Requirement(text) for text in found.requires or ()] if wanted.extras else []
    return all(
        _is_satisfied(Requirement(_without_marker(need)), python, path)
        for need in needs
        for extra in wanted.extras
        if need.marker is not None
        and need.marker.evaluate({**markers, "extra": extra})
        and not need.marker.evaluate({**markers, "extra": ""})
    )


def _without_marker(requirement: Requirement) -> str:
    return str(requirement).partition(";")[0]
