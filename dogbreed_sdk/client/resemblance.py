"""The training pictures that a picture resembles most: nearest by the features that the model computes.

The features of the training pictures come from the feature store of a training job, where they are stored anyway, or
are computed of a data set's pictures by the model itself, once for each classifier and folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.class_names import display_name

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from training_scripts.data.image_folder import Sample
    from training_scripts.features.unit_rows import UnitFeatures
    from training_scripts.models.model import Model

Progress = Callable[[str], object]

_TRAIN = "train"
_BATCH_SIZE = 16
_WORKERS = 2


@dataclass(frozen=True)
class Resemblance:
    """A training picture, and how much another picture resembles it.

    Attributes:
        picture: Its name in the train split, such as "002.Pug/rex.jpg".
        class_folder: Its class.
        label: The display name of its class.
        similarity: Cosine of the angle between the features of both; 1 for the same features.
        path: Its file; None if only its features are at hand.
    """

    picture: str
    class_folder: str
    label: str
    similarity: float
    path: Path | None

    def to_dict(self) -> dict[str, object]:
        """The values for JSON; the keys are stable."""
        return {
            "picture": self.picture,
            "class_folder": self.class_folder,
            "label": self.label,
            "similarity": self.similarity,
            "path": None if self.path is None else str(self.path),
        }


@dataclass(frozen=True)
class TrainingPictures:
    """The train split's pictures with their features.

    Attributes:
        features: float32 [n, width], each row of length 1; read as they are compared if there are too many for memory.
        names: The pictures' names in the split.
        class_folders: The class folder of each.
        paths: The file of each, or None if they are not at hand.
    """

    features: UnitFeatures
    names: Sequence[str]
    class_folders: tuple[str, ...]
    paths: tuple[Path, ...] | None = None

    def nearest(self, features: npt.NDArray[np.float32], count: int) -> tuple[Resemblance, ...]:
        """The most similar pictures, best first.

        Args:
            features: [width], of the picture to compare with.
            count: Their number, at most.

        Raises:
            ConfigurationError: A name leads out of the data set.
        """
        import numpy as np  # noqa: PLC0415 - clients of endpoints do not need it

        from training_scripts.data.image_folder import DataError  # noqa: PLC0415 - likewise
        from training_scripts.features.unit_rows import blocks  # noqa: PLC0415 - likewise

        direction = _unit(features[None])[0]
        similarities = np.concatenate([block @ direction for _, block in blocks(self.features)])
        order = (-similarities).argsort(kind="stable")[:count].tolist()
        try:
            names = [self.names[position] for position in order]
        except DataError as error:
            raise ConfigurationError(f"The stored features cannot be used: {error}") from error
        return tuple(
            Resemblance(
                picture=name,
                class_folder=self.class_folders[position],
                label=display_name(self.class_folders[position]),
                similarity=float(similarities[position]),
                path=self.paths[position] if self.paths else None,
            )
            for name, position in zip(names, order, strict=True)
        )


def of_store(folder: Path, model: Model) -> TrainingPictures:
    """The train split of a feature store.

    Raises:
        ConfigurationError: It is not a finished store, or its features are not those that the model computes.
    """
    from training_scripts.data.image_folder import DataError  # noqa: PLC0415 - few clients compare features
    from training_scripts.features.store import FeatureStore  # noqa: PLC0415
    from training_scripts.features.unit_rows import unit_features  # noqa: PLC0415

    try:
        store = FeatureStore.open(folder)
        split = store.split(_TRAIN)
        features = unit_features([(split.features, 0)])  # the first view is the plain one
    except (DataError, KeyError, OSError) as error:
        raise ConfigurationError(f"The stored features cannot be used: {error}") from error
    described = model.description
    tuned = described.hyperparameters.get("unfreeze", "0") != "0"
    if tuned or (store.backbone_name, store.preprocessing) != (described.backbone, described.preprocessing):
        raise ConfigurationError(
            f"{folder} has features of {store.backbone_name}, but the model computes those of "
            f"{'a fine-tuned ' if tuned else ''}{described.backbone}; pass the data set instead."
        )
    classes = tuple(store.classes[target] for target in split.targets.tolist())
    return TrainingPictures(features, split.names, classes)


def of_pictures(folder: Path, model: Model, report: Progress) -> TrainingPictures:
    """The train split of a data set, or a folder of class folders; its features are computed, which takes a while.

    Args:
        folder: The data set.
        model: The model whose features are compared.
        report: Called with lines about the progress.

    Raises:
        ConfigurationError: It is not a data set, or none of its pictures can be read.
    """
    from training_scripts import ScriptError  # noqa: PLC0415 - few clients compare features
    from training_scripts.data import image_folder  # noqa: PLC0415
    from training_scripts.data.preprocessing import PLAIN  # noqa: PLC0415
    from training_scripts.data.split_folders import locate  # noqa: PLC0415
    from training_scripts.features.feature_pass import FeaturePass, Progress  # noqa: PLC0415
    from training_scripts.models import backbones  # noqa: PLC0415
    from training_scripts.models.engines.torch_engine import TorchEngine  # noqa: PLC0415

    try:
        splits = {_TRAIN: locate(folder).folders.get(_TRAIN, (folder,))[0]}
        dataset = image_folder.read_dataset(splits)
        samples = dataset.splits[_TRAIN]
        with FeaturePass(
            TorchEngine(model.backbone),
            model.preprocessing,
            width=backbones.spec(model.description.backbone).feature_width,
            batch_size=_BATCH_SIZE,
            workers=_WORKERS,
            check=lambda: None,
        ) as feature_pass:
            computed = feature_pass.compute(samples, (PLAIN,), Progress(len(samples), len(samples), report))
    except (ScriptError, OSError) as error:
        raise ConfigurationError(f"The pictures in {folder} cannot be compared with: {error}") from error
    kept: list[Sample] = [samples[position] for position in computed.kept.tolist()]
    if not kept:
        raise ConfigurationError(f"None of the {len(samples):,} pictures in {folder} can be read.")
    return TrainingPictures(
        _unit(computed.features[:, 0]),
        tuple(sample.name for sample in kept),
        tuple(dataset.classes[sample.class_index] for sample in kept),
        tuple(sample.path for sample in kept),
    )


def _unit(features: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import numpy as np  # noqa: PLC0415 - clients of endpoints do not need it

    values = np.asarray(features, np.float32)
    lengths = np.linalg.norm(values, axis=-1, keepdims=True)
    unit: npt.NDArray[np.float32] = values / np.maximum(lengths, np.finfo(np.float32).tiny)
    return unit
