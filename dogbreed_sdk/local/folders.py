"""Where a job and an endpoint keep their files below the root folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.local.store import ENDPOINTS_FOLDER, JOBS_FOLDER

LOG_FILE = "log.jsonl"


@dataclass(frozen=True)
class JobFolder:
    """The folder of a training or tuning job.

    Attributes:
        path: <root>/jobs/<name>.
    """

    path: Path

    @classmethod
    def of(cls, root: Path, name: str) -> JobFolder:
        """The folder of a job below a root."""
        return cls(Path(root) / JOBS_FOLDER / name)

    @property
    def container(self) -> Path:
        """What the script sees as /opt/ml."""
        return self.path / "ml"

    @property
    def log(self) -> Path:
        """The script's output, one JSON object {"t": epoch milliseconds, "m": text} a line."""
        return self.path / LOG_FILE

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor itself has to say: empty unless something is wrong with it."""
        return self.path / "supervisor.log"

    @property
    def lock(self) -> Path:
        """Held by the job's supervisor as long as it lives."""
        return self.path / "supervisor.lock"

    @property
    def reserve(self) -> Path:
        """Disk space set aside so that the outcome can be written when the disk is full."""
        return self.path / "reserve"


@dataclass(frozen=True)
class EndpointFolder:
    """The folder of an endpoint.

    Attributes:
        path: <root>/endpoints/<name>.
    """

    path: Path

    @classmethod
    def of(cls, root: Path, name: str) -> EndpointFolder:
        """The folder of an endpoint below a root."""
        return cls(Path(root) / ENDPOINTS_FOLDER / name)

    @property
    def log(self) -> Path:
        """What the model's code prints, in the form of a job's log."""
        return self.path / LOG_FILE

    @property
    def server_log(self) -> Path:
        """What the model server's process prints past Python: a crash in native code, an import that fails."""
        return self.path / "server.log"

    @property
    def lock(self) -> Path:
        """Held while somebody starts or ends the endpoint's model server."""
        return self.path / "lock"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the process that brings the endpoint up, until the new server has taken over."""
        return self.path / "supervisor.lock"

    def model(self, digest: str) -> Path:
        """Where the archive of that digest is unpacked."""
        return self.path / f"model-{digest[:16]}"
