"""A bundle in this process: runs the model server's functions without a server."""

from __future__ import annotations

import atexit
import functools
import os
from pathlib import Path
from threading import Condition, Lock
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.bundle_files import bundle_path, naming_archive, unpack
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.client.transports import Response, Transport
from dogbreed_sdk.errors import ConfigurationError, DogBreedError, ModelError
from training_scripts.features.files import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import numpy.typing as npt
    from PIL import Image

    from dogbreed_sdk.client.resemblance import Resemblance, TrainingPictures
    from training_scripts.inference import Prediction
    from training_scripts.models.model import Model


class _Computations:
    """Counts the calls into torch, so that the interpreter exits only between them.

    The calling threads are daemons, which Python ends wherever they are; inside of C++ that aborts the process. So the
    exit waits a fraction of a second for running computations, and later ones are refused.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        self._running = 0
        self._ended = False

    def __enter__(self) -> None:
        with self._changed:
            if self._ended:
                raise ConfigurationError("The program is exiting; no further pictures can be classified.")
            self._running += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()

    def end(self) -> None:
        """Waits for running computations and refuses later ones."""
        with self._changed:
            self._ended = True
            self._changed.wait_for(lambda: not self._running)


_computations = _Computations()
atexit.register(_computations.end)


class BundleTransport(Transport):
    """Runs the functions that endpoints run: those of `training_scripts.inference`, never the archive's code.

    Pictures are decoded in the calling threads; the model processes one at a time, as a model server's worker does, so
    that every number equals that of an endpoint.

    Args:
        path: A bundle: its folder, its model.tar.gz, or a file:// URI of either.

    Attributes:
        model_id: SHA-256 of the weights.
        classes: Class folders in index order.

    Raises:
        ConfigurationError: It is not a bundle, is damaged, or the packages that run it are not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = bundle_path(path).absolute()
        self.name = f"bundle {self._path}"
        self._loaded: _Loaded | None = _load(self._path)
        self.model_id: str = self._loaded.model.model_id
        self.classes: tuple[str, ...] = tuple(self._loaded.model.classes)
        self._compared: dict[Path, TrainingPictures] = {}

    def __getstate__(self) -> tuple[Path, str, tuple[str, ...]]:
        return self._path, self.model_id, self.classes

    def __setstate__(self, state: tuple[Path, str, tuple[str, ...]]) -> None:
        self._path, self.model_id, self.classes = state
        self.name = f"bundle {self._path}"
        self._loaded = None
        self._compared = {}

    def invoke(
        self,
        body: bytes,
        content_type: str,
        accept: str,
        *,
        connect_timeout: float,  # noqa: ARG002 - there is no connection
        read_timeout: float,  # noqa: ARG002 - a computation cannot be aborted
    ) -> Response:
        """Processes one request as an endpoint of this bundle would.

        Raises:
            RequestError: The request is invalid.
        """
        with _computations:
            return self._computed(body, content_type, accept)

    def _computed(self, body: bytes, content_type: str, accept: str) -> Response:
        # A separate function, so that its tensors are freed, which also runs C++, before it counts as complete.
        from training_scripts import inference  # noqa: PLC0415 - torch is loaded with the bundle

        model, one_at_a_time = self._ready()
        data = inference.input_fn(body, content_type)
        with one_at_a_time:
            predicted = inference.predict_fn(data, model)
        return _response(predicted, accept)

    def invoke_together(self, images: Sequence[Image.Image], accept: str) -> list[Response]:
        """The responses for several pictures, which the model processes in batches; they agree with `invoke` to 1e-6.

        Raises:
            RequestError: A picture cannot be preprocessed.
        """
        from training_scripts import inference  # noqa: PLC0415 - torch is loaded with the bundle

        responses: list[Response] = []
        for start in range(0, len(images), inference.MAX_AT_ONCE):
            with _computations:
                responses += self._computed_together(images[start : start + inference.MAX_AT_ONCE], accept)
        return responses

    def _computed_together(self, images: Sequence[Image.Image], accept: str) -> list[Response]:
        from training_scripts import inference  # noqa: PLC0415 - torch is loaded with the bundle

        model, one_at_a_time = self._ready()
        with one_at_a_time:
            batch = inference.predict_batch_fn(images, model)
        return [_response(predicted, accept) for predicted in batch]

    def _ready(self) -> _Loaded:
        """The model; after unpickling, it is loaded by the first request."""
        if self._loaded is None:
            self._loaded = _loaded_once(self._path)
        return self._loaded

    def resembling(
        self, body: bytes, content_type: str, folder: Path, count: int, report: Callable[[str], object]
    ) -> tuple[Resemblance, ...]:
        """The training pictures that a picture resembles most; those of a folder are read once.

        Raises:
            ConfigurationError: The folder has neither stored features nor pictures, or they do not suit the model.
            RequestError: The picture is invalid.
        """
        from dogbreed_sdk.client import resemblance  # noqa: PLC0415 - few clients compare features

        model, one_at_a_time = self._ready()
        with _computations, one_at_a_time:
            found = self._compared.get(folder)
            if found is None:
                stored = (folder / MANIFEST).is_file()
                found = (
                    resemblance.of_store(folder, model) if stored else resemblance.of_pictures(folder, model, report)
                )
                self._compared[folder] = found
            return found.nearest(_features(body, content_type, model), count)

    def check_explains(self) -> None:
        """Checks nothing: the network is in this process."""

    def is_transient(self, error: BaseException) -> bool:  # noqa: ARG002
        """Never: repeating the computation would repeat the error."""
        return False

    def translate(self, error: Exception) -> DogBreedError:
        """The error that a client of an endpoint would get."""
        if isinstance(error, DogBreedError):
            return error
        from training_scripts.inference import RequestError  # noqa: PLC0415 - torch is loaded with the bundle

        if isinstance(error, RequestError):
            return ModelError(f"The model of {self.name} cannot answer this: {error.message}")
        return ModelError(f"The model of {self.name} failed: {type(error).__name__}: {error}")


def _response(predicted: Prediction | Exception, accept: str) -> Response:
    """The response with a model's output, or its error, raised."""
    from training_scripts import inference  # noqa: PLC0415 - torch is loaded with the bundle

    if isinstance(predicted, Exception):
        raise predicted
    answer, kind = inference.output_fn(predicted, accept)
    return Response(answer.encode() if isinstance(answer, str) else answer, kind, None)


def _features(body: bytes, content_type: str, model: Model) -> npt.NDArray[np.float32]:
    """The features of one picture, [width]."""
    import torch  # noqa: PLC0415 - torch is loaded with the bundle

    from training_scripts import inference  # noqa: PLC0415

    pixels = inference.prepare_fn(inference.input_fn(body, content_type), model)
    with torch.inference_mode():
        features: npt.NDArray[np.float32] = (
            model.backbone(pixels.to(next(model.parameters()).device))[0].float().cpu().numpy()
        )
    return features


class _Loaded(NamedTuple):
    """A model in memory, and the lock that is held while it computes."""

    model: Model
    one_at_a_time: Lock


def _load(path: Path) -> _Loaded:
    with optional.needed(extra="local", purpose="run a bundle here"):
        from training_scripts import inference  # noqa: PLC0415
        from training_scripts.models.engines.backends import chosen_backend  # noqa: PLC0415
    folder = path
    try:
        # Torch unless it is set: most programs classify a few pictures, and the same ones get the same numbers.
        backend = chosen_backend("torch")
        if path.is_dir():
            return _Loaded(inference.load_model(path, backend), Lock())
        with scratch_folder("dogbreed-bundle") as folder:
            unpack(path, folder)
            return _Loaded(inference.load_model(folder, backend), Lock())
    except OSError as error:
        raise ConfigurationError(f"Cannot read the bundle {path}: {error.strerror or error}.") from error
    except ValueError as error:  # BundleError and other ScriptErrors
        problem = naming_archive(path, folder, str(error)).removeprefix(f"{path}: ")
        raise ConfigurationError(f"The bundle {path} cannot be used: {problem}") from error


_loading = Lock()


def _loaded_once(path: Path) -> _Loaded:
    """The model of a bundle, loaded once per process: a process pool unpickles a classifier with every task."""
    described = path / "model.json" if path.is_dir() else path
    try:
        found = described.stat()
    except OSError as error:
        raise ConfigurationError(f"Cannot read the bundle {path}: {error.strerror or error}.") from error
    with _loading:
        return _load_version(path, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=2)
def _load_version(path: Path, _changed: int, _size: int) -> _Loaded:
    return _load(path)
