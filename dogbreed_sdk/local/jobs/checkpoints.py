"""A job's checkpoints: a folder of this machine, or one that is copied from S3 and to it while the job runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.container_view import OPT_ML
from dogbreed_sdk.local.jobs.companion import Companion
from dogbreed_sdk.local.jobs.hosts import Host
from dogbreed_sdk.local.s3.transfer import download_objects, list_objects, upload_objects
from dogbreed_sdk.local.script_files import contents

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CheckpointConfigTypeDef, CreateTrainingJobRequestTypeDef

# The API reference's default of LocalPath.
DEFAULT_LOCAL_PATH = "/opt/ml/checkpoints"
_COPY_SECONDS = 2.0

# A file's time of modification in nanoseconds, and its size.
_FileState = tuple[int, int]


def checkpoint_folder(host: Host, request: CreateTrainingJobRequestTypeDef) -> Path:
    """The folder of a host's checkpoints: the one of a file:// URI, which hosts share, or one in the host's container.

    Raises:
        ConfigurationError: CheckpointConfig's S3Uri is neither a file:// nor an s3:// URI.
    """
    uri = request.get("CheckpointConfig", {}).get("S3Uri")
    if uri is None or uri.startswith("s3://"):
        return checkpoint_path(host, request)
    try:
        return container.uri_to_path(uri)
    except ValueError as error:
        raise ConfigurationError(f"CheckpointConfig.S3Uri: {error}. Pass an s3:// or file:// URI.") from error


def checkpoint_path(host: Host, request: CreateTrainingJobRequestTypeDef) -> Path:
    """Where a host's scripts find their checkpoints in its container: the CheckpointConfig's LocalPath."""
    path = request.get("CheckpointConfig", {}).get("LocalPath") or DEFAULT_LOCAL_PATH
    return host.container / PurePosixPath(path).relative_to(OPT_ML)


def is_below_opt_ml(path: str) -> bool:
    """Whether a LocalPath is one that a host's container has: a folder below /opt/ml."""
    parts = PurePosixPath(path).parts
    return parts[:3] == ("/", "opt", "ml") and len(parts) > 3 and ".." not in parts


def stage_checkpoints(host: Host, request: CreateTrainingJobRequestTypeDef, report: Report) -> None:
    """Make the folder of checkpoints, with those that the job continues from.

    Raises:
        ConfigurationError: They can't be read from S3.
    """
    target, seen = checkpoint_folder(host, request), checkpoint_path(host, request)
    target.mkdir(parents=True, exist_ok=True)
    if target != seen:
        seen.parent.mkdir(parents=True, exist_ok=True)
        seen.symlink_to(target, target_is_directory=True)
    uri = request.get("CheckpointConfig", {}).get("S3Uri", "")
    if uri.startswith("s3://"):
        # "s3://bucket/run" must not continue from "s3://bucket/run-2".
        found = list_objects(f"{uri.rstrip('/')}/")
        if found:
            download_objects(found, target, uri, progress=report)


@contextmanager
def kept_on_s3(
    hosts: Sequence[Host],
    request: CreateTrainingJobRequestTypeDef,
    *,
    report: Report,
    abandoned: Callable[[], bool],
) -> Iterator[None]:
    """Copy checkpoints to S3 while the block runs the scripts that write them, and the rest when it has ended.

    Args:
        hosts: The job's hosts.
        request: The CreateTrainingJob request.
        report: Called with a line about each problem once the scripts have ended.
        abandoned: Called several times a second at the end; if it returns True, the rest is not copied.
    """
    config: CheckpointConfigTypeDef | None = request.get("CheckpointConfig")
    if config is None or not config["S3Uri"].startswith("s3://"):
        yield
        return
    copier = _Copier([checkpoint_folder(host, request) for host in hosts], config["S3Uri"].rstrip("/"))
    copier.start()
    try:
        yield
    finally:
        copier.finish(abandoned)
        if copier.problem:
            report(f"warning: some checkpoints were not copied, and stay in {copier.places}: {copier.problem}")


class _Copier(Companion):
    """Copies what is new or has changed every few seconds; a file that is just being written waits for the next time.

    As on AWS, what a script removes stays on S3.
    """

    def __init__(self, folders: Sequence[Path], uri: str) -> None:
        super().__init__("checkpoints")
        self.problem = ""
        self.places = ", ".join(map(str, folders))
        self._folders, self._uri = folders, uri
        self._seen = self._states()
        self._copied = dict(self._seen)  # they come from there

    def run(self) -> None:
        """Copy until `finish`."""
        while not self._stopping.wait(_COPY_SECONDS):
            before, self._seen = self._seen, self._states()
            self._copy({path: state for path, state in self._seen.items() if before.get(path) == state})
        self._copy(self._states())

    def _copy(self, files: dict[Path, _FileState]) -> None:
        new = {path: state for path, state in files.items() if self._copied.get(path) != state}
        try:
            upload_objects([(path, f"{self._uri}/{self._relative(path)}") for path in new])
        except (ConfigurationError, OSError) as error:
            self.problem = str(error)  # the next time may be better
        else:
            self.problem = ""
            self._copied.update(new)

    def _relative(self, path: Path) -> str:
        return next(path.relative_to(folder).as_posix() for folder in self._folders if path.is_relative_to(folder))

    def _states(self) -> dict[Path, _FileState]:
        found = {}
        for folder in self._folders:
            for entry in contents(folder, lambda _line: None):
                if entry.kind == "folder":
                    continue
                path = folder / entry.name
                with suppress(OSError):  # removed meanwhile
                    status = path.stat()
                    found[path] = (status.st_mtime_ns, status.st_size)
        return found
