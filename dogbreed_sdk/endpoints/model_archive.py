"""Looks into a model artifact before it is deployed: AWS's PyTorch containers cannot serve every one without code.

They run ``code/inference.py``. Without it they load a TorchScript file: model.pt, or the only .pt or .pth file
(sagemaker-pytorch-inference-toolkit, default_pytorch_inference_handler.py). SageMaker reports anything else minutes
after the endpoint was created, or rolls an update back.
"""

from __future__ import annotations

import gzip
import logging
import re
import sys
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from dogbreed_sdk.aws.requests.hosting import SERVING_ENVIRONMENT
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from training_scripts._util.tar_reader import LARGEST_READ, TarReader

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import CreateModelInputTypeDef

    from dogbreed_sdk.session import Session

logger = logging.getLogger(__name__)

_PYTORCH_IMAGE = re.compile(r"/pytorch-inference(?:-graviton)?:")
_MODEL_FILE, _MODEL_SUFFIXES = "model.pt", (".pt", ".pth")
# TorchServe's own archives, packed and not; containers serve them without an inference.py.
_TORCHSERVE = re.compile(r"\.mar$|(?:^|/)MAR-INF(?:/|$)")
# A large archive on S3, over a slow line, is not read to its end: then SageMaker says whether it can be served.
_LONGEST_SECONDS = 5.0
_UNREADABLE = (DogBreedError, tarfile.TarError, EOFError, zlib.error, OSError, ValueError)


def check_code(model: CreateModelInputTypeDef, session: Session) -> None:
    """Refuses a model that AWS's container certainly cannot serve, since its artifact has neither code nor TorchScript.

    An artifact that cannot be read, or not within seconds, is left to SageMaker, as are other images.

    Args:
        model: The request that would create the model.
        session: Reads the artifact.

    Raises:
        ConfigurationError: There is nothing to serve; the message says what is missing, and what to do.
    """
    container = model["PrimaryContainer"]
    environment, image, uri = container.get("Environment", {}), container.get("Image", ""), container["ModelDataUrl"]
    folder = SERVING_ENVIRONMENT["SAGEMAKER_SUBMIT_DIRECTORY"]
    is_pytorch = _PYTORCH_IMAGE.search(image) or (session.is_local and image == session.image_uri("inference", ""))
    if not is_pytorch or environment.get("SAGEMAKER_SUBMIT_DIRECTORY", folder) != folder:
        return
    program = environment.get("SAGEMAKER_PROGRAM", SERVING_ENVIRONMENT["SAGEMAKER_PROGRAM"])
    try:
        with session.storage.reading(uri) as file:
            problem = None if file is None else _problem(file, f"code/{program.removesuffix('.py')}.py")
    except _UNREADABLE as error:
        logger.info("Whether %s has code was not looked up: %s", uri, error)
        return
    if problem:
        raise ConfigurationError(
            f"{uri} cannot be served: {problem}. Pass entry_point=…, your own inference.py with model_fn(model_dir), "
            "which is packed with the model, or save the model with torch.jit.save as model.pt."
        )


def _problem(file: IO[bytes], program: str) -> str | None:
    """Why a model artifact cannot be served; None if it can."""
    scripted: dict[str, bool] = {}
    with _opened(file) as tar:
        for member in tar:
            name = member.name.removeprefix("./")
            if name == program or _TORCHSERVE.search(name):
                return None
            if member.isfile() and "/" not in name and name.endswith(_MODEL_SUFFIXES):
                content = tar.extractfile(member)
                assert content is not None  # it is a file
                scripted[name] = _is_torchscript(content.read(min(member.size, LARGEST_READ)))
    found = [_MODEL_FILE] if _MODEL_FILE in scripted else list(scripted)
    if len(found) == 1 and scripted[found[0]]:
        return None
    without = f"it has no {program}, and "
    if not found:
        return f"{without}no model file that AWS's container loads without code"
    if len(found) == 1:
        return f"{without}{found[0]} is not a TorchScript file, which AWS's container loads without code"
    return f"{without}AWS's container loads only one model file without code, not {', '.join(sorted(found))}"


def _is_torchscript(start: bytes) -> bool:
    """Whether a file was written by torch.jit.save and not by torch.save, which begins its zip file with data.pkl."""
    name = start[30 : 30 + int.from_bytes(start[26:28], "little")]
    # A TorchScript model without tensors begins with its pickle, too; that names its classes.
    return start.startswith(b"PK\x03\x04") and (not name.endswith(b"/data.pkl") or b"__torch__" in start)


@contextmanager
def _opened(file: IO[bytes]) -> Iterator[tarfile.TarFile]:
    """The archive, read forward and with a deadline."""
    with gzip.GzipFile(fileobj=file) as plain:
        timed = cast("IO[bytes]", _Timed(plain, time.monotonic() + _LONGEST_SECONDS))
        reader = TarReader(timed, sys.maxsize, error=tarfile.ReadError)
        with tarfile.TarFile(fileobj=cast("IO[bytes]", reader)) as tar:
            yield tar


class _Timed:
    """A file that can be read until a deadline.

    Args:
        file: The file.
        deadline: By `time.monotonic`.
    """

    def __init__(self, file: gzip.GzipFile, deadline: float) -> None:
        self._file = file
        self._deadline = deadline

    def read(self, size: int) -> bytes:
        """Reads up to `size` bytes.

        Raises:
            OSError: The deadline has passed.
        """
        if time.monotonic() > self._deadline:
            raise OSError(f"reading it takes more than {_LONGEST_SECONDS:g} s")
        return self._file.read(size)
