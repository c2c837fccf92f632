"""A bundle inside this process: the model server's own functions, without a server between."""

from __future__ import annotations

import atexit
import functools
import os
import sys
from pathlib import Path
from threading import Condition, Lock
from types import TracebackType
from typing import Any, NamedTuple

from dogbreed_sdk import container
from dogbreed_sdk._util import optional
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.client.transports import Answer, Transport
from dogbreed_sdk.errors import ConfigurationError, DogBreedError, ModelError


class _Computations:
    """Counts the calls into torch, and lets the interpreter end between them only.

    The threads that ask are daemons, which Python ends wherever they are; inside of C++ that aborts the process. So
    the end waits for what computes, a fraction of a second, and nothing computes any more after it.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._running = 0
        self._ended = False

    def __enter__(self) -> None:
        with self._changed:
            if self._ended:
                raise ConfigurationError("This program ends; no picture can be classified any more.")
            self._running += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def end(self) -> None:
        """Returns when nothing computes any more."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._running)


_computing = _Computations()
atexit.register(_computing.end)


class BundleTransport(Transport):
    """Answers with the functions that endpoints answer with: `training_scripts.inference`, never the archive's code.

    Pictures are decoded in the threads that ask; the model answers one at a time, as a model server's worker does,
    so that every number is the same as through an endpoint.

    Args:
        path: A bundle: its folder, its model.tar.gz, or a file:// URI of either.

    Attributes:
        model_id: SHA-256 of the weights.
        classes: Class folders in index order.

    Raises:
        ConfigurationError: There is no bundle, it is damaged, or the packages that run it are not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = bundle_path(path).absolute()
        self.name = f"bundle {self._path}"
        self._loaded: _Loaded | None = _load(self._path)
        self.model_id: str = self._loaded.model.model_id
        self.classes: tuple[str, ...] = tuple(self._loaded.model.classes)

    def __getstate__(self) -> tuple[Path, str, tuple[str, ...]]:
        return self._path, self.model_id, self.classes

    def __setstate__(self, state: tuple[Path, str, tuple[str, ...]]) -> None:
        self._path, self.model_id, self.classes = state
        self.name = f"bundle {self._path}"
        self._loaded = None

    def invoke(
        self,
        body: bytes,
        content_type: str,
        accept: str,
        *,
        connect_timeout: float,  # noqa: ARG002 - nothing is connected
        read_timeout: float,  # noqa: ARG002 - a computation cannot be cut off
    ) -> Answer:
        """Answers one request as an endpoint of this bundle would.

        Raises:
            RequestError: The body cannot be answered.
        """
        with _computing:
            text, kind = self._computed(body, content_type, accept)
        return Answer(text.encode(), kind, None)

    def _computed(self, body: bytes, content_type: str, accept: str) -> tuple[str, str]:
        # Of its own, so that its tensors are let go of before it counts as done: that, too, is C++.
        inference, model, one_at_a_time = self._ready()
        data = inference.input_fn(body, content_type)
        with one_at_a_time:
            predicted = inference.predict_fn(data, model)
        text, kind = inference.output_fn(predicted, accept)
        return text, kind

    def _ready(self) -> _Loaded:
        """The model; one that was unpickled is loaded when it is first asked."""
        if self._loaded is None:
            self._loaded = _loaded_once(self._path)
        return self._loaded

    def is_transient(self, error: BaseException) -> bool:  # noqa: ARG002
        """Never: the same computation gives the same error."""
        return False

    def translate(self, error: Exception) -> DogBreedError:
        """What a client of an endpoint would be told."""
        if isinstance(error, DogBreedError):
            return error
        if isinstance(error, self._ready().inference.RequestError):
            return ModelError(f"The model of {self.name} answered {error.status_code}: {error.message}")
        return ModelError(f"The model of {self.name} failed: {type(error).__name__}: {error}")


class _Loaded(NamedTuple):
    """A model in memory, the functions that it answers with, and the lock that is held while it computes."""

    inference: Any
    model: Any
    one_at_a_time: Lock


def _load(path: Path) -> _Loaded:
    inference = optional.load("training_scripts.inference", extra="local", purpose="run a bundle here")
    folder = path
    try:
        if path.is_dir():
            return _Loaded(inference, inference.model_fn(str(path)), Lock())
        with scratch_folder("dogbreed-bundle") as folder:
            unpack(path, folder)
            return _Loaded(inference, inference.model_fn(str(folder)), Lock())
    except OSError as error:
        raise ConfigurationError(f"Cannot read the bundle {path}: {error.strerror or error}.") from error
    except ValueError as error:  # BundleError and other ScriptErrors, whose messages say what to do
        said = naming(path, folder, str(error)).removeprefix(f"{path}: ")
        raise ConfigurationError(f"The bundle {path} cannot be used: {said}") from error


_loading = Lock()


def _loaded_once(path: Path) -> _Loaded:
    """The model of a bundle, loaded once in this process: a process pool unpickles a classifier with every task."""
    described = path / "model.json" if path.is_dir() else path
    try:
        found = described.stat()
    except OSError as error:
        raise ConfigurationError(f"Cannot read the bundle {path}: {error.strerror or error}.") from error
    with _loading:
        return _of_these_bytes(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=2)
def _of_these_bytes(path: Path, _changed: int, _size: int) -> _Loaded:
    return _load(path)


def check(folder: Path) -> None:
    """Looks whether a folder holds a bundle, before a process is started for it.

    Raises:
        ConfigurationError: It does not, or its description is invalid.
    """
    from training_scripts.models.bundle import read_description  # noqa: PLC0415 - clients of endpoints do not need it
    from training_scripts.models.bundle_archive import WEIGHTS_FILE  # noqa: PLC0415
    from training_scripts.models.description import BundleError  # noqa: PLC0415

    try:
        read_description(folder)
    except BundleError as error:
        raise ConfigurationError(
            f"{error}. Give a bundle: the model.tar.gz of a training job, or the folder that it unpacks to."
        ) from error
    if not (folder / WEIGHTS_FILE).is_file():
        raise ConfigurationError(f"{folder} has no {WEIGHTS_FILE}: unpack the whole model.tar.gz.")


def unpack(archive: Path, folder: Path) -> None:
    """Unpacks what a bundle is loaded from, once it has proved to be of the size that it says; its code stays packed.

    Raises:
        ConfigurationError: It is not an archive, one of another kind, or has weights of another network's size.
        OSError: The folder cannot be written.
    """
    from training_scripts.models import bundle_archive  # noqa: PLC0415 - it is needed for archives only
    from training_scripts.models.description import BundleError  # noqa: PLC0415

    names = (bundle_archive.DESCRIPTION_FILE, bundle_archive.WEIGHTS_FILE)
    try:
        bundle_archive.extract(archive, folder, names, check_weights=functools.partial(_check_size, folder))
    except BundleError as error:
        raise ConfigurationError(f"{naming(archive, folder, str(error))}.") from error


def unpack_all(archive: Path, folder: Path) -> None:
    """Unpacks a bundle with the code in it.

    Raises:
        ConfigurationError: It is not an archive, or one that must not be unpacked.
        OSError: The folder cannot be written.
    """
    from training_scripts.models import bundle_archive  # noqa: PLC0415 - it is needed for archives only
    from training_scripts.models.description import BundleError  # noqa: PLC0415

    try:
        bundle_archive.extract_all(archive, folder)
    except BundleError as error:
        raise ConfigurationError(f"{error}.") from error


def naming(archive: Path, folder: Path, message: str) -> str:
    """A message about an unpacked bundle that names the archive, not the temporary folder, which is gone by then."""
    return message.replace(str(folder), str(archive))


def _check_size(folder: Path, size: int) -> None:
    """Judges the weights' size before they are unpacked, where torch is loaded anyway."""
    model = sys.modules.get("training_scripts.models.model")
    if model is not None:
        model.check_size(folder, size)


def bundle_path(path: str | os.PathLike[str]) -> Path:
    """The path of a bundle that is named by a path or a file:// URI.

    Raises:
        ConfigurationError: It is a URI of another kind.
    """
    text = os.fspath(path)
    if "://" not in text:
        return Path(text).expanduser()
    try:
        return container.uri_to_path(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{error}. Download the bundle first, for example with TrainingJob.download_model."
        ) from error
