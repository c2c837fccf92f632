"""The user's inference code, for a model that comes without code or with other code: `deploy(entry_point=...)`.

AWS's PyTorch containers run only code in the model artifact, so the artifact is repacked with it, as the v2 SDK's
PyTorchModel does.
"""

from __future__ import annotations

import ast
import gzip
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.tar_reader import decompressed

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

PROGRAM = "SAGEMAKER_PROGRAM"
"""The variable that names the file with model_fn in the folder ``code`` of a model artifact."""
_CODE_FOLDER = "code"
# Stored: weights compress by 7%, which takes ten times as long.
_COMPRESSION_LEVEL = 0


@dataclass(frozen=True)
class OwnCode:
    """Files that go into the folder ``code`` of a model artifact.

    Attributes:
        program: The file with model_fn and the other functions, relative to that folder.
        files: Path relative to that folder -> file on this machine.
    """

    program: str
    files: Mapping[str, Path]

    @classmethod
    def read(cls, entry_point: str | Path, source_dir: str | Path | None = None) -> OwnCode:
        """Finds the files, and checks that the entry point is Python.

        Args:
            entry_point: A file; with a source directory, relative to that.
            source_dir: The directory with the entry point, its modules and requirements.txt. Default: the entry point
                alone.

        Raises:
            ConfigurationError: A file is missing, or the entry point cannot be parsed.
        """
        folder = None if source_dir is None else Path(source_dir).expanduser()
        if folder is not None and not folder.is_dir():
            raise ConfigurationError(f"source_dir is {folder}, which is not a directory on this machine.")
        path = Path(entry_point).expanduser() if folder is None else folder / entry_point
        if not path.is_file():
            within = "" if folder is None else ", relative to source_dir"
            raise ConfigurationError(f"The entry point {path} does not exist; pass the path of a Python file{within}.")
        if path.suffix != ".py":
            raise ConfigurationError(f"The entry point {path} is not a Python file; its name must end with .py.")
        _check_syntax(path)
        if folder is None:
            return cls(path.name, {path.name: path})
        if path.resolve().parent != folder.resolve():  # AWS's toolkit imports it by name
            raise ConfigurationError(f"The entry point {path} must be directly in source_dir, {folder}.")
        return cls(path.name, _files(folder))

    @classmethod
    def given(cls, entry_point: str | Path | None, source_dir: str | Path | None) -> OwnCode | None:
        """What `read` finds; None without an entry point.

        Raises:
            ConfigurationError: As `read`, or there is only a source directory.
        """
        if entry_point is not None:
            return cls.read(entry_point, source_dir)
        if source_dir is not None:
            raise ConfigurationError("source_dir needs entry_point, the path of your inference.py within it.")
        return None

    @property
    def environment(self) -> dict[str, str]:
        """The variable by which AWS's containers and ours find the entry point."""
        return {PROGRAM: self.program}

    def add_to(self, model_uri: str, *, repacked: str, session: Session) -> None:
        """Repacks a model artifact with these files, which replace those of the same name in its folder ``code``.

        Args:
            model_uri: URI of the ``model.tar.gz``.
            repacked: URI of the artifact to write; `repacked_uri` gives it.
            session: Reads the artifact and stores the new one.

        Raises:
            ConfigurationError: The artifact does not exist, or is not an archive.
        """
        with scratch_folder("dogbreed-model") as folder:
            given, made = folder / "given.tar.gz", folder / container.MODEL_ARCHIVE
            session.storage.download_file(model_uri, given)
            try:
                self._pack(given, made)
            except (tarfile.TarError, EOFError, gzip.BadGzipFile) as error:
                raise ConfigurationError(
                    f"{model_uri} is not a model.tar.gz to which code can be added: {error}"
                ) from error
            session.storage.upload_file(made, repacked)

    def _pack(self, given: Path, made: Path) -> None:
        own = {f"{_CODE_FOLDER}/{name}": path for name, path in self.files.items()}
        with (
            decompressed(given) as plain,
            tarfile.open(fileobj=plain, mode="r|") as source,
            gzip.GzipFile(made, "wb", compresslevel=_COMPRESSION_LEVEL, mtime=0) as stream,
            tarfile.open(fileobj=stream, mode="w") as target,
        ):
            for member in source:
                if member.name.removeprefix("./") not in own:
                    target.addfile(member, source.extractfile(member) if member.isreg() else None)
            for name, path in sorted(own.items()):
                entry = tarfile.TarInfo(name)
                entry.size, entry.mode = path.stat().st_size, 0o644
                with path.open("rb") as file:
                    target.addfile(entry, file)


def repacked_uri(session: Session, model_name: str) -> str:
    """Where the repacked artifact of a SageMaker model is stored."""
    return join(session.base_uri, "models", model_name, container.MODEL_ARCHIVE)


def is_repacked(session: Session, model_name: str, model_uri: str) -> bool:
    """Whether a model's artifact was repacked with the user's code, for this model alone."""
    # The end of the URI rules out most artifacts; only for the rest does the session look up its bucket.
    return model_uri.endswith(f"/models/{model_name}/{container.MODEL_ARCHIVE}") and model_uri == repacked_uri(
        session, model_name
    )


def _check_syntax(path: Path) -> None:
    """Refuses a syntax error at once, which would otherwise appear minutes later, in the endpoint's log."""
    try:
        ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise ConfigurationError(f"The entry point {path} is not valid Python: {error}") from error


def _files(folder: Path) -> dict[str, Path]:
    """The files of a source directory by relative path, without caches and hidden files."""
    found = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        name.as_posix(): path
        for name, path in found.items()
        if not any(part == "__pycache__" or part.startswith(".") for part in name.parts)
    }
