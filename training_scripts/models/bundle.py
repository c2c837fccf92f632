"""The bundle: a self-contained model artifact, written after training, read by serving and the SDK.

    model.json   the model's description: classes in index order, preprocessing, metrics, temperature, model_id
    model.pth    its weights, a state dict (`backbone.*`, `head.*`, and `rejection.*` if it rejects pictures)
    MODEL_CARD.md    the description for people
    code/        inference.py, the modules it needs, and requirements.txt

Reading a description does not require torch. Bundles are untrusted: model.json is checked, and weights are loaded with
`weights_only=True` and must have the digest in model.json.
"""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from training_scripts._util import hashing
from training_scripts._util.atomic import replacing, write_atomically
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models import backbones, bundle_archive, heads, model_card, test_time
from training_scripts.models.bundle_archive import DESCRIPTION_FILE, MAX_DESCRIPTION_BYTES, WEIGHTS_FILE
from training_scripts.models.description import BundleDescription, BundleError
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.models.rejection import Rejection
from training_scripts.models.test_time import TestTimeAugmentation

if TYPE_CHECKING:
    import torch

CARD_FILE = "MODEL_CARD.md"
CODE_FOLDER = "code"

# The modules that inference.py imports, directly or not; a test serves with these alone.
SERVING_MODULES = (
    "__init__",
    "_util/__init__",
    "_util/atomic",
    "_util/hashing",
    "_util/locking",
    "_util/number_text",
    "_util/safe_text",
    "_util/suggestions",
    "_util/tar_reader",
    "data/__init__",
    "data/accept",
    "data/arrays",
    "data/formats",
    "data/jpeg_end",
    "data/jpeg_pixels",
    "data/limits",
    "data/preprocessing",
    "data/resize_mode",
    "data/resizing",
    "data/safe_fetch",
    "data/signatures",
    "models/__init__",
    "models/backbones",
    "models/bundle",
    "models/bundle_archive",
    "models/description",
    "models/efficientnet_lite",
    "models/engines/__init__",
    "models/engines/backends",
    "models/engines/engine",
    "models/engines/exporting",
    "models/engines/onnx_model",
    "models/engines/session",
    "models/engines/warming_model",
    "models/explanation",
    "models/folding",
    "models/heads",
    "models/model",
    "models/model_card",
    "models/rejection",
    "models/spec",
    "models/state_dicts",
    "models/test_time",
    "models/timm",
    "models/torchvision",
)


def write(
    folder: Path,
    *,
    backbone_name: str,
    backbone_state: Mapping[str, torch.Tensor],
    head: torch.nn.Module,
    head_spec: heads.HeadSpec,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    metrics: Mapping[str, float],
    temperature: float,
    fingerprint: str,
    hyperparameters: Mapping[str, str],
    rejection: Rejection | None = None,
    tta: TestTimeAugmentation = test_time.NONE,
    sizes: Mapping[str, int] | None = None,
    engine: EngineChoice | None = None,
) -> BundleDescription:
    """Writes a bundle. model.json is written last, so a folder that has one is complete.

    Args:
        folder: SageMaker's model folder; created if it is missing.
        backbone_name: As `backbones.create` takes it.
        backbone_state: Weights of the backbone.
        head: The trained head.
        head_spec: The specification from which `heads.build` built it.
        classes: Class folders in index order.
        preprocessing: The pictures that the backbone expects.
        metrics: The metrics of these weights.
        temperature: Fitted on the validation split, or 1.
        fingerprint: The fingerprint of the data set.
        hyperparameters: Name to value, in string form.
        rejection: Rule fitted for these weights; None if there is none.
        tta: The test-time augmentation that the metrics, the temperature and the rule were measured with.
        sizes: Pictures of each split, for the model card.
        engine: What computed the features that the head was trained on; None if unknown.

    Raises:
        BundleError: The folder cannot be written.
    """
    state = _own_tensors(
        {"backbone": backbone_state, "head": head.state_dict(), "rejection": rejection.tensors if rejection else {}}
    )
    try:
        description = BundleDescription(
            model_id=_write_weights(folder / WEIGHTS_FILE, state),
            backbone=backbone_name,
            head=head_spec,
            classes=tuple(classes),
            preprocessing=preprocessing,
            temperature=temperature,
            metrics=dict(metrics),
            fingerprint=fingerprint,
            hyperparameters=dict(hyperparameters),
            rejection=rejection,
            tta=tta,
            engine=engine,
        )
        _write_code(folder / CODE_FOLDER, backbones.requirements(backbone_name))
        write_atomically(folder / CARD_FILE, model_card.write(description, sizes or {}).encode())
        text = json.dumps(description.to_dict(), indent=2, sort_keys=True, allow_nan=False)
        write_atomically(folder / DESCRIPTION_FILE, (text + "\n").encode())
    except OSError as error:
        size = sum(tensor.nbytes for tensor in state.values())
        raise BundleError(
            f"cannot write the model ({size / 2**20:.0f} MiB) to {folder}: {error.strerror or error}. "
            "Free some space or make the folder writable, and start the job again: it continues from its checkpoint."
        ) from error
    return description


def read_description(path: Path) -> BundleDescription:
    """Reads the description of a bundle; does not require torch, and unpacks nothing.

    Args:
        path: The bundle's folder, or its model.tar.gz.

    Raises:
        BundleError: It is not a bundle, or its model.json is invalid.
    """
    text = bundle_archive.read_description(path) if path.is_file() else _read_from_folder(path)
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: {DESCRIPTION_FILE} is not JSON ({error})") from error
    try:
        return BundleDescription.from_json(values)
    except ValueError as error:
        raise BundleError(f"{path}: {DESCRIPTION_FILE} is invalid: {error}") from error


def read_weights(
    folder: Path, description: BundleDescription, *, check_size: Callable[[int], object]
) -> dict[str, torch.Tensor]:
    """Reads a bundle's state dict and checks that its bytes have the digest in model.json.

    The file's bytes and its tensors are never in memory at the same time.

    Args:
        folder: The bundle's folder.
        description: Its description.
        check_size: Called with the size of the weights before they are loaded; it may raise.

    Raises:
        BundleError: The weights are missing, have another digest, or contain objects other than plain tensors.
    """
    import torch  # noqa: PLC0415

    path = folder / WEIGHTS_FILE
    try:
        with path.open("rb") as file:
            check_size(_loaded_size(file))
            _check_digest(file, path, description.model_id)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as error:
        raise BundleError(f"cannot read the bundle's weights {path}: {error.strerror or error}") from error
    except BundleError:
        raise
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{path} is not a state dict that can be loaded safely") from error
    if not isinstance(state, dict) or not all(_is_plain(value) for value in state.values()):
        raise BundleError(f"{path} is not a state dict: it contains objects other than plain tensors")
    return state


def _loaded_size(file: IO[bytes]) -> int:
    """Memory that the weights will take, in bytes: torch's files are ZIP archives, which may be compressed."""
    size = os.fstat(file.fileno()).st_size
    try:
        with zipfile.ZipFile(file) as parts:
            return max(size, sum(part.file_size for part in parts.infolist()))
    except (zipfile.BadZipFile, ValueError, NotImplementedError):  # torch's older format, or damaged
        return size


def _check_digest(file: IO[bytes], path: Path, expected: str) -> None:
    file.seek(0)
    digest = hashing.sha256(file)
    file.seek(0)
    if digest != expected:
        raise BundleError(
            f"{path} has SHA-256 {digest}, but {DESCRIPTION_FILE} expects {expected}: the file was "
            "damaged or replaced. Download the artifact again."
        )


def _is_plain(value: object) -> bool:
    """Whether it is a dense tensor with content; other tensors would fail only when they are first used."""
    import torch  # noqa: PLC0415

    return isinstance(value, torch.Tensor) and value.layout is torch.strided and not value.is_meta


def _own_tensors(parts: Mapping[str, Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """The tensors of several parts by name, on the CPU, each the only one of its memory: see `_write_weights`."""
    import torch  # noqa: PLC0415

    state = {f"{part}.{name}": tensor.detach() for part, tensors in parts.items() for name, tensor in tensors.items()}
    owned: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name in sorted(state):
        tensor = state[name].cpu()
        storage = tensor.untyped_storage()
        # A view would be saved with its whole storage, and its offset would change the bytes; so would shared memory.
        if storage.nbytes() != tensor.nbytes or not tensor.is_contiguous() or storage.data_ptr() in taken:
            tensor = tensor.clone(memory_format=torch.contiguous_format)
        taken.add(tensor.untyped_storage().data_ptr())
        owned[name] = tensor
    return owned


def _write_weights(path: Path, state: Mapping[str, torch.Tensor]) -> str:
    """Writes weights, the same ones always as the same bytes; returns the SHA-256 of these."""
    with replacing(path) as file:
        return hashing.save_tensors(state, file)


def _write_code(folder: Path, requirements_text: str) -> None:
    package = Path(__file__).parents[1]
    write_atomically(folder / "inference.py", (package / "inference.py").read_bytes())
    for module in SERVING_MODULES:
        target = folder / package.name / f"{module}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, (package / f"{module}.py").read_bytes())
    write_atomically(folder / "requirements.txt", requirements_text.encode())


def _read_from_folder(folder: Path) -> bytes:
    path = folder / DESCRIPTION_FILE
    try:
        with path.open("rb") as file:
            return _bounded(file.read(MAX_DESCRIPTION_BYTES + 1), path)
    except OSError as error:
        raise BundleError(f"{folder} is not a bundle: cannot read {path.name}: {error.strerror}") from error


def _bounded(content: bytes, path: Path) -> bytes:
    if len(content) > MAX_DESCRIPTION_BYTES:
        raise BundleError(f"{path}: {DESCRIPTION_FILE} is larger than {MAX_DESCRIPTION_BYTES >> 20} MiB")
    return content
