"""The inputs of a training run: stored features, features that are computed first, or the pictures themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training_scripts._util.number_text import counted
from training_scripts.data import image_folder
from training_scripts.data import preprocessing as pictures
from training_scripts.data.batches import Batches, FeatureBatches, PictureBatches, fit_in_memory
from training_scripts.data.preprocessing import Preprocessing
from training_scripts.data.sharing import Division
from training_scripts.features.extraction import extract
from training_scripts.features.store import FeatureStore, SplitFeatures
from training_scripts.models import backbones, folding, state_dicts, test_time, unfreezing
from training_scripts.models.engines.engine import EngineChoice
from training_scripts.training import runtime
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.processes import Processes
from training_scripts.training.resume import RunIdentity


@dataclass(frozen=True)
class TrainingInputs:
    """The inputs of a run, and the facts about them that its bundle records.

    Attributes:
        batches: The inputs of every split.
        settings: The run's hyperparameters, with the backbone's own name and the views and weights really used.
        backbone_name: The backbone's registered name.
        classes: Class folders in index order.
        preprocessing: The pictures that the backbone expects.
        width: Width of the backbone's features.
        fingerprint: SHA-256 of the data set.
        weights: SHA-256 of the backbone's weights as the run begins with them.
        views: Views of a train picture.
        backbone: The network for pictures; None if the inputs are features.
        tuned: Its trainable parameters.
        targets: Class index of each picture, by split.
        names: Name of each picture, by split.
        feature_pass: The cost of computing the features; None if they are not stored, or the cost is unknown.
        backbone_state: Returns the backbone's weights for the bundle; call it after training.
        skipped: Returns a line for each picture that could not be read, or one line for all of them.
    """

    batches: Batches
    settings: Hyperparameters
    backbone_name: str
    classes: tuple[str, ...]
    preprocessing: Preprocessing
    width: int
    fingerprint: str
    weights: str
    views: tuple[pictures.View, ...]
    backbone_state: Callable[[], Mapping[str, torch.Tensor]]
    skipped: Callable[[], list[str]]
    backbone: nn.Module | None = None
    tuned: Sequence[nn.Parameter] = field(default=())
    targets: Mapping[str, Sequence[int] | np.ndarray] = field(default_factory=dict)
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    feature_pass: Mapping[str, object] | None = None

    @property
    def engine(self) -> EngineChoice | None:
        """What computes the features; None if stored features do not say."""
        return EngineChoice.from_dict(self.feature_pass) if self.backbone is None else EngineChoice("torch", "fp32")

    def facts(self) -> dict[str, object]:
        """Facts about the inputs for `Callback.run_begins`."""
        return {
            "backbone": self.backbone_name,
            "classes": list(self.classes),
            "class_counts": list(self.class_counts()["train"]),
            "inputs": "features" if self.backbone is None else "pictures",
            "valid_names": list(self.names.get("valid", ())),
            "feature_pass": self.feature_pass,
        }

    def class_counts(self) -> dict[str, tuple[int, ...]]:
        """Split to the number of pictures of each class, in index order."""
        return {
            split: tuple(np.bincount(np.asarray(targets, dtype=np.int64), minlength=len(self.classes)).tolist())
            for split, targets in self.targets.items()
        }

    def identity(self) -> RunIdentity:
        """The identity of a run on these inputs: everything that decides its result."""
        return RunIdentity(self.settings.to_dict(), self.fingerprint, tuple(self.classes), self.weights)


def trains_on_pictures(settings: Hyperparameters) -> bool:
    """Whether every epoch runs the backbone on pictures, rather than a head on stored features."""
    return settings.features == "off" or bool(settings.unfreeze)


def has_features(settings: Hyperparameters, environ: Mapping[str, str]) -> bool:
    """Whether a job trains on the features in its `features` channel."""
    return not trains_on_pictures(settings) and "SM_CHANNEL_FEATURES" in environ


def shares_features(environ: Mapping[str, str]) -> bool:
    """Whether all processes of a job train together on the features in its `features` channel.

    They do if a process would have to read the features in every epoch. A head on features that are in memory trains
    in seconds, in which processes would mostly wait for each other.

    Raises:
        DataError: The features are not usable.
    """
    store = FeatureStore.open(Path(environ["SM_CHANNEL_FEATURES"]))
    return not fit_in_memory(_splits(store).values())


def read_inputs(
    settings: Hyperparameters,
    environ: Mapping[str, str],
    *,
    report: Callable[[str], object] = print,
    check: Callable[[], object] = lambda: None,
    callbacks: Callbacks | None = None,
    processes: Processes | None = None,
) -> TrainingInputs:
    """Opens the `features` channel, or reads the picture channels.

    With a frozen backbone and no `features` channel, features are computed into the checkpoint folder first: a
    restarted run finds them there.

    Args:
        settings: The run's hyperparameters.
        environ: Holds SageMaker's `SM_CHANNEL_*` variables.
        report: Called with one log line at a time.
        check: Called after every batch of a feature pass; an exception from it ends the pass, and the features
            computed so far are kept.
        callbacks: Called during a feature pass.
        processes: The processes that share the pictures, in a feature pass and in training, or the features of the
            channel; default: a single one.

    Raises:
        PartDone: The features are stored by the first process, and this is another one.
        ScriptError: The data, the features or the backbone are not usable.
    """
    if trains_on_pictures(settings):
        return _from_pictures(settings, environ, processes or Processes(), report)
    if has_features(settings, environ):
        store = FeatureStore.open(Path(environ["SM_CHANNEL_FEATURES"]))
        image_folder.check_several_classes(store.classes)
        _check_goes_with(store, settings, environ)
        return _from_features(settings, store, processes or Processes())
    store = extract(
        _dataset(environ, processes or Processes()),
        backbone_name=settings.model,
        weights=weights_source(settings.weights, environ),
        views=pictures.parse_views(settings.views),
        tta=test_time.checked(settings.tta),
        resize_mode=settings.resize_mode,
        folder=runtime.checkpoint_folder(environ) / "features",
        precision=settings.precision,
        # Not the run's batch size: trials with different batch sizes need the same features.
        workers=settings.workers or None,
        report=report,
        check=check,
        callbacks=callbacks,
        processes=processes,
        dtype=settings.features_dtype,
    )
    return _from_features(settings, store, Processes())


def _dataset(environ: Mapping[str, str], processes: Processes) -> image_folder.DataSet:
    dataset = image_folder.read_dataset(image_folder.split_folders(environ), processes.gather)
    image_folder.check_several_classes(dataset.classes)
    return dataset


def weights_source(weights: str, environ: Mapping[str, str]) -> str:
    """The path of a weights file in the `weights` channel, given its name; any other value unchanged."""
    if "SM_CHANNEL_WEIGHTS" in environ:
        inside = Path(environ["SM_CHANNEL_WEIGHTS"]) / weights
        if inside.is_file():
            return str(inside)
    return weights


def _check_goes_with(store: FeatureStore, settings: Hyperparameters, environ: Mapping[str, str]) -> None:
    """Refuses settings and pictures that differ from those of the channel's features.

    A model, views, resize mode, precision and weights at their defaults were probably not set, so those of the features
    are used instead.
    """
    wanted = backbones.spec(settings.model).name
    if wanted not in (store.backbone_name, Hyperparameters.model):
        raise image_folder.DataError(
            f"the features were computed with {store.backbone_name}, but the hyperparameter model is {wanted}: "
            f"set model to {store.backbone_name}, or remove the features channel."
        )
    views = pictures.parse_views(settings.views)
    for name, there, given, same in (
        ("views", pictures.format_views(store.views), settings.views, views == tuple(store.views)),
        (
            "resize-mode",
            store.preprocessing.resize_mode,
            settings.resize_mode,
            store.preprocessing.resize_mode == settings.resize_mode,
        ),
        ("precision", store.precision, settings.precision, store.precision == settings.precision),
        ("weights", store.weights, settings.weights, store.weights in ("", Path(settings.weights).name)),
        ("features-dtype", store.dtype, settings.features_dtype, store.dtype == settings.features_dtype),
    ):
        if not same and given != getattr(Hyperparameters, name.replace("-", "_")):
            raise image_folder.DataError(
                f"the features were computed with the {name} {there}, but the hyperparameter {name} is {given}: "
                f"set {name} to {there}, or remove the features channel."
            )
    if settings.tta not in (test_time.NONE, store.tta):
        raise image_folder.DataError(
            f"the features were computed for the test-time augmentation {store.tta}, but the hyperparameter tta is "
            f"{settings.tta}: compute the features with tta={settings.tta}, or set tta to {store.tta}."
        )
    of_pictures = image_folder.channel_classes(environ)
    if of_pictures is not None:
        image_folder.check_same_classes(store.classes, of_pictures)


def _splits(store: FeatureStore) -> dict[str, SplitFeatures]:
    return {name: store.split(name) for name in image_folder.SPLITS if store.has(name)}


def _from_features(settings: Hyperparameters, store: FeatureStore, processes: Processes) -> TrainingInputs:
    splits = _splits(store)
    return TrainingInputs(
        batches=FeatureBatches(splits, tta=test_time.checked(settings.tta), processes=processes),
        settings=replace(
            settings,
            model=store.backbone_name,
            views=pictures.format_views(store.views),
            resize_mode=store.preprocessing.resize_mode,
            precision=store.precision,
            weights=store.weights or settings.weights,
            features_dtype=store.dtype,
        ),
        backbone_name=store.backbone_name,
        classes=store.classes,
        preprocessing=store.preprocessing,
        width=store.width,
        fingerprint=store.fingerprint,
        weights=store.key["weights"],
        views=tuple(store.views),
        backbone_state=store.backbone_state,
        skipped=lambda: (
            [f"{counted(len(store.skipped), 'picture')} that the feature pass could not read"] if store.skipped else []
        ),
        targets={name: split.targets for name, split in splits.items()},
        names={name: split.names for name, split in splits.items()},
        feature_pass=store.pass_facts(),
    )


def _from_pictures(
    settings: Hyperparameters, environ: Mapping[str, str], processes: Processes, report: Callable[[str], object]
) -> TrainingInputs:
    dataset = _dataset(environ, processes)
    for line in dataset.ignored:
        report(line)
    division = Division(dataset, processes)
    check_shared(division, settings, processes)
    spec = backbones.spec(settings.model).with_resize_mode(settings.resize_mode)
    views = pictures.parse_views(settings.views)
    backbone = backbones.create(settings.model, weights=weights_source(settings.weights, environ))
    tuned = unfreezing.unfreeze_last(backbone, settings.unfreeze) if settings.unfreeze else []
    workers = settings.workers or runtime.cores_of_process()
    batches = PictureBatches(dataset, spec.preprocessing, views, workers=workers, processes=processes)
    return TrainingInputs(
        batches=batches,
        settings=replace(settings, model=spec.name),
        backbone_name=spec.name,
        classes=dataset.classes,
        preprocessing=spec.preprocessing,
        width=spec.feature_width,
        fingerprint=image_folder.fingerprint(dataset, is_mine=division.is_mine, gather=processes.gather),
        weights=state_dicts.digest(backbone.state_dict()),
        views=views,
        backbone_state=backbone.state_dict,
        skipped=batches.skipped_lines,
        backbone=backbone if tuned else folding.for_inference(backbone),
        tuned=tuned,
        targets={name: [sample.class_index for sample in samples] for name, samples in dataset.splits.items()},
        names={name: [sample.name for sample in samples] for name, samples in dataset.splits.items()},
    )


def check_shared(division: Division, settings: Hyperparameters, processes: Processes) -> None:
    """Refuses a job whose processes have different pictures, or too few of each batch."""
    if not division.is_complete:
        raise image_folder.DataError(
            "the instances have different pictures, and training draws every batch from all of them: give the channels "
            "the S3DataDistributionType FullyReplicated."
        )
    if settings.batch_size < processes.place.count:
        raise image_folder.DataError(
            f"batch-size is {settings.batch_size}, and {processes.place.count} processes share each batch: set "
            f"batch-size to at least {processes.place.count}."
        )
