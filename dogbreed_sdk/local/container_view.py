"""What a job's processes see of their container: their host's folder as /opt/ml, further files and a host name."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

OPT_ML = "/opt/ml"
# Set to "off" where jobs must not get mount namespaces.
NAMESPACE_VARIABLE = "DOGBREED_LOCAL_NAMESPACE"

_DRIVERS = "input/data/sm_drivers"
# Where the programs of a job or a model are; `input/data/code` is ModelTrainer's channel.
_SOURCES = ("code", "input/data/code", "model/code")
_LAUNCHER = Path(__file__).with_name("launcher.py")
_NOTICE = (
    "Local SageMaker can't show this job its folder as /opt/ml on this machine ({{problem}}): paths below /opt/ml in "
    "the command and its environment were replaced with {container}, and the names of hosts such as algo-1 with "
    "addresses; a program that spells out /opt/ml or such a name itself does not find it."
)


@dataclass(frozen=True)
class ContainerView:
    """A host's container as its processes see it.

    Attributes:
        container: The folder that they see as /opt/ml.
        files: Files that they see at other paths, which must exist: {"/etc/hosts": Path(...)}.
        host_name: The host name that they see; None for the machine's.
        addresses: The addresses of the names in their /etc/hosts, which replace them where there is no view.
    """

    container: Path
    files: Mapping[str, Path] = field(default_factory=dict)
    host_name: str | None = None
    addresses: Mapping[str, str] = field(default_factory=dict)

    def command(self, command: Sequence[str]) -> list[str]:
        """The command line that starts a command with this view.

        It takes some 30 ms to start. Where the system allows no view, paths below /opt/ml in the command, in its
        environment and in the scripts of sagemaker 3's ModelTrainer are replaced with the folder's real ones, and the
        hosts' names with their addresses. If the job spells out /opt/ml, or has several hosts, its output begins with a
        line about that.
        """
        return [sys.executable, "-I", "-S", str(_LAUNCHER), json.dumps(self.to_dict()), *command]

    def to_dict(self) -> dict[str, object]:
        """The view as `launcher` takes it."""
        binds = [(str(self.container), OPT_ML), *((str(source), path) for path, source in self.files.items())]
        return {
            "namespace": _is_wanted(self.container),
            "binds": binds,
            "host_name": self.host_name,
            "path": OPT_ML,
            "container": str(self.container),
            # The name of a host without peers needs no address.
            "addresses": dict(self.addresses) if len(self.addresses) > 1 else {},
            # SageMaker 3's own scripts, of which each job has a copy, spell out /opt/ml throughout, and algo-1 once.
            "drivers": str(self.container / _DRIVERS),
            "sources": [str(self.container / folder) for folder in _SOURCES],
            "notice": _NOTICE.format(container=str(self.container).replace("{", "{{").replace("}", "}}")),
        }


def _is_wanted(container: Path) -> bool:
    # A folder bound to /opt/ml would hide its own path.
    return os.environ.get(NAMESPACE_VARIABLE) != "off" and not container.is_relative_to(OPT_ML)
