"""The folders of jobs and endpoints below the root folder, and the files in them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.local.store import ENDPOINTS_FOLDER, JOBS_FOLDER, TRAINING_JOB, TRANSFORM_FOLDER, TRANSFORM_JOB

LOG_FILE = "log.jsonl"
_FIRST_HOST = "algo-1"


@dataclass(frozen=True)
class JobFolder:
    """The folder of a training, tuning or transform job.

    Attributes:
        path: <root>/jobs/<name>, and <root>/transform-jobs/<name> of a transform job.
    """

    path: Path

    @classmethod
    def of(cls, root: Path, name: str, kind: str = TRAINING_JOB) -> JobFolder:
        """The folder of a job below a root; training and tuning jobs share the names of their folders."""
        return cls(Path(root) / (TRANSFORM_FOLDER if kind == TRANSFORM_JOB else JOBS_FOLDER) / name)

    @property
    def container(self) -> Path:
        """The folder that stands for /opt/ml of the first host; see `staging`."""
        return self.container_of(_FIRST_HOST)

    def container_of(self, host: str) -> Path:
        """The folder that stands for /opt/ml of a host, such as algo-2."""
        return self.path / ("ml" if host == _FIRST_HOST else f"ml-{host}")

    def python_of(self, host: str) -> Path:
        """The virtual environment of a host's script; see `scripts_python.Layer`."""
        return self.path / ("python" if host == _FIRST_HOST else f"python-{host}")

    @property
    def log(self) -> Path:
        """The first host's output: one JSON object per line, {"t": epoch milliseconds, "m": text}."""
        return self.log_of(_FIRST_HOST)

    def log_of(self, host: str) -> Path:
        """The output of a host's script, in the form of `log`."""
        return self.path / (LOG_FILE if host == _FIRST_HOST else f"log-{host}.jsonl")

    @property
    def data_log(self) -> Path:
        """What a transform job did with its data, in the form of a log; the model's output is in `log`."""
        return self.path / "data-log.jsonl"

    @property
    def metrics(self) -> Path:
        """The history of the job's metrics; see `metric_history`."""
        return self.path / "metrics.jsonl"

    @property
    def hosts_file(self) -> Path:
        """What the job's scripts see as /etc/hosts."""
        return self.path / "hosts"

    @property
    def supervisor_log(self) -> Path:
        """The supervisor's output: empty unless something is wrong with it."""
        return self.path / "supervisor.log"

    @property
    def lock(self) -> Path:
        """Locked by the job's supervisor as long as it runs."""
        return self.path / "supervisor.lock"

    @property
    def reserve(self) -> Path:
        """Reserved disk space, so that the outcome can be written on a full disk."""
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

    def log_of(self, variant: str) -> Path:
        """The output of the code of a production variant's model, in the form of a job's log."""
        return self.path / (f"log-{variant}.jsonl" if variant else LOG_FILE)

    def server_log_of(self, variant: str) -> Path:
        """The output of a variant's model server outside the model's code: a crash in native code, a failed import."""
        return self.path / (f"server-{variant}.log" if variant else "server.log")

    @property
    def logged_variants(self) -> list[str]:
        """The production variants that have logs, also those of earlier configurations."""
        return sorted(path.stem.removeprefix("log-") for path in self.path.glob("log-*.jsonl"))

    @property
    def metrics(self) -> Path:
        """The history of the endpoint's metrics by variant; see `endpoint_metrics`."""
        return self.path / "metrics.jsonl"

    @property
    def lock(self) -> Path:
        """Locked while one of the endpoint's model servers is started or ended."""
        return self.path / "lock"

    @property
    def supervisor_lock(self) -> Path:
        """Locked by the process that brings the endpoint up, until the new server has taken over."""
        return self.path / "supervisor.lock"

    @property
    def queue_lock(self) -> Path:
        """Locked by the process that answers the requests in the queue of an asynchronous endpoint."""
        return self.path / "queue.lock"

    @property
    def queue_log(self) -> Path:
        """That process's output: empty unless something is wrong with it."""
        return self.path / "queue.log"

    @property
    def pythons(self) -> Path:
        """The virtual environments of its model servers; see `server_python`."""
        return self.path / "python"

    def container(self, digest: str) -> Path:
        """The folder that stands for /opt/ml of the model with that digest."""
        return self.path / f"model-{digest[:16]}"

    def model(self, digest: str) -> Path:
        """The folder for the unpacked archive with that digest, which stands for /opt/ml/model."""
        return self.container(digest) / "model"
