"""Writes a bundle: weights, description, model card, and the code that serves it. `bundle` says what is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training_scripts._util import hashing
from training_scripts._util.atomic import replacing, write_atomically
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.models import backbones, heads, model_card, test_time
from training_scripts.models.bundle_archive import DESCRIPTION_FILE, WEIGHTS_FILE
from training_scripts.models.description import BundleDescription, BundleError
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.models.record import ModelRecord
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
    "_util/class_names",
    "_util/hashing",
    "_util/locking",
    "_util/number_text",
    "_util/safe_text",
    "_util/suggestions",
    "_util/tar_reader",
    "data/__init__",
    "data/accept",
    "data/arrays",
    "data/decoding",
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
    "models/record",
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
    engine: EngineChoice | None = None,
    record: ModelRecord | None = None,
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
        engine: What computed the features that the head was trained on; None if unknown.
        record: How the model was made and how good it is, for model cards; None if unknown.

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
            record=record,
        )
        _write_code(folder / CODE_FOLDER, backbones.requirements(backbone_name))
        write_atomically(folder / CARD_FILE, model_card.markdown(description).encode())
        text = json.dumps(description.to_dict(), indent=2, sort_keys=True, allow_nan=False)
        write_atomically(folder / DESCRIPTION_FILE, (text + "\n").encode())
    except OSError as error:
        size = sum(tensor.nbytes for tensor in state.values())
        raise BundleError(
            f"cannot write the model ({size / 2**20:.0f} MiB) to {folder}: {error.strerror or error}. "
            "Free some space or make the folder writable, and start the job again: it continues from its checkpoint."
        ) from error
    return description


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
    # Copies, which need not be on the disk before the next file is written: the weights are what took hours.
    write_atomically(folder / "inference.py", (package / "inference.py").read_bytes(), durable=False)
    for module in SERVING_MODULES:
        target = folder / package.name / f"{module}.py"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, (package / f"{module}.py").read_bytes(), durable=False)
    write_atomically(folder / "requirements.txt", requirements_text.encode(), durable=False)
