"""BreedTrainer: tunes, trains and finds jobs again, on AWS and on local SageMaker with the same code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from dogbreed_sdk import defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, print_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.aws.requests.tags import project_tags
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError, DatasetError, JobError
from dogbreed_sdk.jobs import source
from dogbreed_sdk.jobs.job import is_unknown
from dogbreed_sdk.jobs.managed_debugger import Debugger, refusal_explained
from dogbreed_sdk.jobs.search_ranges import check_objective, check_strategy, checked_ranges, job_limit
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.jobs.weights import WeightsFile
from dogbreed_sdk.session import Session
from training_scripts import ScriptError
from training_scripts._util.safe_text import redacted
from training_scripts.data.split_folders import SPLITS
from training_scripts.models import backbones
from training_scripts.training import hyperparameters, metrics

if TYPE_CHECKING:
    import boto3
    from sagemaker.core.parameter import ParameterRange

    from dogbreed_sdk.aws.requests.training import JobSettings

# Part of the features' URI: increase it when features are computed or stored differently, so that old ones are unused.
_FEATURES_VERSION = 1
_FEATURE_HYPERPARAMETERS = ("model", "weights", "views")
# They change what is recorded about the computation, not the features.
_PROFILING = ("profiler", "profiler-interval-ms", "profile-operators")

_WEIGHTS_BY_NAME = ("pretrained", "none")

FeatureSource = Literal["stored", "in-job", "off"]


class _Target(TypedDict):
    """Where sagemaker.core sends a request."""

    session: boto3.Session
    region: str


class BreedTrainer:
    """Tunes and trains classifiers in one session.

    With a frozen backbone, the default, the pictures pass through it once: the first job stores their features, and
    all trials and training jobs with the same data set, backbone and views train on those.

    Args:
        session: Where the jobs run. Default: `Session.default()`.
        model: Backbone: efficientnet_lite0, resnet18, resnet50, densenet161, mobilenet_v3_large,
            efficientnet_b0, convnext_tiny, or any torchvision classification model.
        head: ``"linear"``, or the widths of hidden layers such as ``512`` or ``(512, 256)``.
        weights: ``"pretrained"``, ``"none"`` (random), or a file with the backbone's state dict.
        views: The views of a training picture that the head trains on: ``plain``, ``flip``, ``crops:2``, joined by
            commas.
        features: ``"stored"`` shares features between jobs; ``"in-job"`` computes them inside each job, which
            avoids waiting for a second job to start on AWS if you train once; ``"off"`` runs the backbone every epoch.
        instance_type: Instance type of the jobs; ignored by local SageMaker.
        volume_size_gb: Size of a job's disk, in GB.
        max_runtime_seconds: A job that runs longer is stopped; the model it has saved by then is kept.
        image_uri: Your own training image. Default: AWS's PyTorch image.
        environment: Environment variables of the scripts.
        tags: Tags for cost reports and clean-up.
        debugger: `Debugger.managed(...)` enables SageMaker's managed Debugger and Profiler for `train`, if the account
            still has them; tuning jobs cannot use them. Default: none. The training script records tensors and
            evaluates rules itself.
        base_name: Prefix of the names of jobs.

    Raises:
        ConfigurationError: A setting is invalid.
    """

    def __init__(
        self,
        session: Session | None = None,
        *,
        model: str = defaults.BACKBONE,
        head: str | int | Sequence[int] = "linear",
        weights: str | Path = "pretrained",
        views: str = defaults.VIEWS,
        features: FeatureSource = "stored",
        instance_type: str = defaults.TRAINING_INSTANCE_TYPE,
        volume_size_gb: int = defaults.VOLUME_SIZE_GB,
        max_runtime_seconds: int = defaults.MAX_RUNTIME_SECONDS,
        image_uri: str | None = None,
        environment: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        debugger: Debugger | None = None,
        base_name: str = "dogbreed",
    ) -> None:
        if features not in ("stored", "in-job", "off"):
            raise ConfigurationError(f"features is {features!r}; use 'stored', 'in-job' or 'off'.")
        self.session = session or Session.default()
        self._features = features
        if "://" in str(weights):
            raise ConfigurationError(
                f"weights is the URL {redacted(str(weights))}; download it and pass the path of the state-dict file."
            )
        self._weights = None if str(weights) in _WEIGHTS_BY_NAME else WeightsFile(Path(weights))
        self._base: dict[str, object] = {
            "model": _known_model(model),
            "hidden": _hidden(head),
            "views": views,
            "weights": self._weights.path.name if self._weights else str(weights),
        }
        if features == "off":
            self._base["features"] = "off"
        self._instance_type = instance_type
        self._volume_size_gb = volume_size_gb
        self._max_runtime_seconds = max_runtime_seconds
        self._image_uri = image_uri
        self._environment = dict(environment or {})
        self._tags = project_tags(tags)
        self._debugger = debugger
        self._base_name = base_name
        self._account_checked = self.session.is_local
        self._settled({}, "train_model")

    def __repr__(self) -> str:
        return f"BreedTrainer({self.session!r}, model={self._base['model']!r})"

    def train(
        self,
        dataset: BreedDataset | str | Path,
        hyperparameters: Mapping[str, object] | None = None,
        *,
        resume: str | None = None,
        name: str | None = None,
        progress: ProgressCallback = print_progress,
    ) -> TrainingJob:
        """Starts a training job, which produces a bundle that an endpoint can serve.

        Args:
            dataset: A data set with train, valid and test splits, or its folder.
            hyperparameters: By name, with dashes or underscores; see `training_scripts.training.hyperparameters`.
            resume: Name of a job that has ended, was stopped or was lost: the new job resumes from its last checkpoint,
                with its hyperparameters unless others are given. More epochs and a different learning rate, batch size
                or schedule apply from there on, and the progress and the log say so; data set, backbone, views, layers
                of the head, what is fine-tuned and optimizer must be the same.
            name: Default: a new unique name.
            progress: Called while features are computed, if they are not stored yet.

        Returns:
            The running job. Wait for it with ``wait()``.

        Raises:
            ConfigurationError: A hyperparameter is unknown or out of its bounds, or the job cannot be resumed like
                this.
            JobError: The job to resume does not exist, or is still running.
            DatasetError: The data set cannot be trained on.
        """
        pictures = _dataset(dataset)
        given, continued, notice = dict(hyperparameters or {}), None, ""
        if resume is not None:
            from dogbreed_sdk.jobs.resume import Continuation  # noqa: PLC0415 - only needed here

            continued = Continuation.of(TrainingJob(resume, self.session))
            given = {**self._inherited(continued.job.hyperparameters, given), **given}
        settled = self._settled(given, "train_model")
        if continued is not None:
            notice = continued.check(settled, pictures)
        chosen = names.check_name(name or names.unique_name(self._base_name), what="training job")
        fresh_uri = join(self.session.base_uri, "checkpoints", chosen)
        settings = self._settings()
        job = self._create(
            chosen,
            settings,
            self._managed_debugging(chosen, settings, progress),
            program=source.TRAIN_PROGRAM,
            hyperparameters=settled,
            channels=self._channels(pictures, settled, progress),
            checkpoint_uri=continued.checkpoint_uri if continued else fresh_uri,
            metric_definitions=metrics.METRIC_DEFINITIONS,
        )
        if notice:
            progress(JobProgress(chosen, "Starting", notice, 0.0))
        return job

    def tune(
        self,
        dataset: BreedDataset | str | Path,
        search: Mapping[str, ParameterRange] | None = None,
        *,
        hyperparameters: Mapping[str, object] | None = None,
        max_jobs: int | None = None,
        max_parallel_jobs: int = defaults.TUNING_MAX_PARALLEL_JOBS,
        strategy: str = defaults.TUNING_STRATEGY,
        objective: str = defaults.OBJECTIVE_METRIC,
        objective_type: Literal["Minimize", "Maximize"] | None = None,
        early_stopping: bool = False,
        random_seed: int = 1,
        name: str | None = None,
        progress: ProgressCallback = print_progress,
    ) -> TuningJob:
        """Starts a tuning job; features are computed first if they are not stored yet.

        Args:
            dataset: A data set with train, valid and test splits, or its folder.
            search: Hyperparameter name -> SageMaker's ContinuousParameter, IntegerParameter or
                CategoricalParameter. Default: `default_search`. A range without a scaling type has Auto, which
                local SageMaker treats as logarithmic from two orders of magnitude on.
            hyperparameters: Hyperparameters that all trials share.
            max_jobs: Total number of trials. Default: 6; a Grid search has one per combination. Never more than the
                number of combinations of values; if that is smaller, the progress says so.
            max_parallel_jobs: Number of trials that run at the same time.
            strategy: Bayesian, Random, Grid or Hyperband.
            objective: A metric of the epoch line: valid:loss, valid:accuracy and so on; val_loss stands for valid:loss.
            objective_type: Default: Minimize for a loss, Maximize for anything else.
            early_stopping: Whether trials that fall behind may be stopped (SageMaker's type Auto).
            random_seed: At least 1; the same seed gives the same proposals if parallel trials end in the same order.
            name: At most 32 characters. Default: a new unique name.
            progress: Called while features are computed.

        Returns:
            The running job. Wait for it with ``wait()``.

        Raises:
            ConfigurationError: A range, hyperparameter, objective or limit is invalid.
            DatasetError: The data set cannot be trained on.
        """
        with optional.needed(extra="aws", purpose="tune"):
            from sagemaker.core import resources  # noqa: PLC0415

            from dogbreed_sdk.aws.requests import tuning  # noqa: PLC0415
        ranges = checked_ranges(search)
        objective, strategy = check_objective(objective), check_strategy(strategy)
        max_jobs, limited = job_limit(ranges, strategy, max_jobs)
        if min(max_parallel_jobs, random_seed) < 1:
            raise ConfigurationError("max_parallel_jobs and random_seed must be at least 1.")
        measured_on = objective.partition(":")[0]
        pictures = _dataset(dataset, needs=sorted({"train", "valid", measured_on}, key=SPLITS.index))
        shared = self._settled(hyperparameters or {}, "hpo", searched=ranges)
        chosen = names.check_name(
            name or names.unique_name(self._base_name, max_length=names.MAX_TUNING_NAME_LENGTH),
            what="tuning job",
            max_length=names.MAX_TUNING_NAME_LENGTH,
        )
        settings = self._settings()
        arguments = tuning.tuning_job(
            chosen,
            settings=settings,
            search=tuning.SearchSettings(
                strategy=strategy,
                objective_metric=objective,
                objective_type=objective_type or ("Minimize" if objective.endswith("loss") else "Maximize"),
                max_jobs=max_jobs,
                max_parallel_jobs=min(max_parallel_jobs, max_jobs or max_parallel_jobs),
                early_stopping=early_stopping,
                random_seed=random_seed,
            ),
            program=source.TUNE_PROGRAM,
            ranges=ranges,
            hyperparameters=shared,
            channels=self._channels(pictures, shared, progress),
            metric_definitions=metrics.METRIC_DEFINITIONS,
        )
        with translated(f"start tuning job {chosen}"):
            resources.HyperParameterTuningJob.create(**arguments, **self._target())
        if limited:
            progress(JobProgress(chosen, "Starting", limited, 0.0))
        return TuningJob(chosen, self.session)

    def extract_features(
        self,
        dataset: BreedDataset | str | Path,
        hyperparameters: Mapping[str, object] | None = None,
        *,
        progress: ProgressCallback = print_progress,
    ) -> str:
        """The URI of a data set's stored features; a job computes them first if they are not stored yet.

        Raises:
            JobFailedError: The job failed.
        """
        pictures = _dataset(dataset)
        return self._stored_features(pictures, self._settled(hyperparameters or {}, "train_model"), progress)

    @staticmethod
    def attach(name: str, session: Session | None = None) -> TrainingJob | TuningJob:
        """Finds a training or tuning job again by its name.

        Raises:
            JobError: The job does not exist.
        """
        where = session or Session.default()
        for kind in (TrainingJob, TuningJob):
            job = kind(name, where)
            try:
                job.describe()
            except JobError as error:
                if not is_unknown(error):
                    raise
            else:
                return job
        raise JobError(f"The job {name} does not exist in {where!r}. 'dogbreed jobs' lists the jobs.")

    def _create(
        self,
        name: str,
        settings: JobSettings,
        debugging: Mapping[str, object] | None = None,
        *,
        program: str,
        hyperparameters: Mapping[str, object],
        channels: Mapping[str, str],
        checkpoint_uri: str,
        metric_definitions: Sequence[Mapping[str, str]],
    ) -> TrainingJob:
        with optional.needed(extra="aws", purpose="train"):
            from sagemaker.core import resources  # noqa: PLC0415

            from dogbreed_sdk.aws.requests import training  # noqa: PLC0415
        arguments = training.training_job(
            name,
            settings=settings,
            program=program,
            hyperparameters=hyperparameters,
            channels=channels,
            checkpoint_uri=checkpoint_uri,
            metric_definitions=metric_definitions,
        )
        with translated(f"start training job {name}"), refusal_explained(bool(debugging)):
            resources.TrainingJob.create(**arguments, **(debugging or {}), **self._target())
        return TrainingJob(name, self.session)

    def _managed_debugging(self, name: str, settings: JobSettings, progress: ProgressCallback) -> dict[str, object]:
        if self._debugger is None:
            return {}
        return self._debugger.request(
            name,
            output_uri=settings.output_uri,
            image_uri=settings.image_uri,
            region=self.session.region,
            progress=progress,
        )

    def _channels(
        self, dataset: BreedDataset, settled: Mapping[str, object], progress: ProgressCallback
    ) -> dict[str, str]:
        """The job's input channels: stored features if they suffice, else the pictures and the weights file, if any."""
        # A hyperparameter that is searched is not settled yet: a trial may then need the pictures.
        frozen = settled.get("unfreeze") == "0" and settled.get("features") == "auto"
        if self._features == "stored" and frozen:
            return {"features": self._stored_features(dataset, settled, progress)}
        return {"training": dataset.upload(self.session), **self._weights_channel()}

    def _weights_channel(self) -> dict[str, str]:
        return {"weights": self._weights.upload(self.session)} if self._weights else {}

    def _stored_features(self, dataset: BreedDataset, settled: Mapping[str, object], progress: ProgressCallback) -> str:
        what = {key: settled[key] for key in _FEATURE_HYPERPARAMETERS}
        weights = self._weights.digest if self._weights else ""
        address = repr((_FEATURES_VERSION, dataset.fingerprint, weights, sorted(what.items())))
        folder = f"{what['model']}-{hashlib.sha256(address.encode()).hexdigest()[:16]}"
        uri = join(self.session.base_uri, "features", folder)
        if not self.session.storage.exists(join(uri, "features.json")):
            job = self._create(
                names.unique_name(f"{self._base_name}-features"),
                self._settings(),
                program=source.FEATURES_PROGRAM,
                hyperparameters={**what, **{key: settled[key] for key in _PROFILING if key in settled}},
                channels={"training": dataset.upload(self.session), **self._weights_channel()},
                checkpoint_uri=uri,
                metric_definitions=(),
            )
            job.wait(progress=progress)
        return uri

    def _settled(
        self, given: Mapping[str, object], entry_point: str, *, searched: Mapping[str, object] | None = None
    ) -> dict[str, object]:
        """All hyperparameters of a job except the searched ones, checked before anything is sent."""
        named: dict[str, object] = {}
        for key, value in given.items():
            name = hyperparameters.meant(key, entry_point) or key
            if named.setdefault(name, value) != value:
                raise ConfigurationError(f"{name} is given twice, spelled differently and with different values.")
        if "model" in named:
            named["model"] = _known_model(str(named["model"]))
        both = sorted(set(searched or {}) & set(named))
        if both:
            raise ConfigurationError(f"{', '.join(both)}: either search it or give a value, not both.")
        for key in ("model", "weights", "views"):
            if named.get(key, self._base[key]) != self._base[key]:
                raise ConfigurationError(
                    f"The trainer has {key}={self._base[key]!r} and the hyperparameters {named[key]!r}; pass {key} to "
                    "BreedTrainer instead."
                )
        try:
            checked = hyperparameters.validate({**self._base, **named}, entry_point=entry_point)
        except ScriptError as error:
            raise ConfigurationError(str(error)) from error
        read = set(hyperparameters.names(entry_point)) - set(searched or {})
        return {key: value for key, value in checked.to_dict().items() if key in read}

    def _inherited(self, earlier: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
        """The hyperparameters of the job to resume, without those that this trainer or the caller sets."""
        decided = {hyperparameters.meant(name, "train_model") for name in given}
        decided |= {name for name, value in self._base.items() if name != "hidden" or value}
        return {name: value for name, value in earlier.items() if name not in decided}

    def _settings(self) -> JobSettings:
        with optional.needed(extra="aws", purpose="train"):
            from dogbreed_sdk.aws.requests.training import JobSettings  # noqa: PLC0415
        if not self._account_checked:
            self.session.check_account()
            self._account_checked = True
        return JobSettings(
            image_uri=self._image_uri or self.session.image_uri("training", self._instance_type),
            role_arn=self.session.role_arn,
            source_uri=source.upload(self.session),
            output_uri=join(self.session.base_uri, "jobs"),
            instance_type=self._instance_type,
            volume_size_gb=self._volume_size_gb,
            max_runtime_seconds=self._max_runtime_seconds,
            environment=self._environment,
            tags={**self.session.default_tags, **self._tags},
        )

    def _target(self) -> _Target:
        return {"session": self.session.boto3_session, "region": self.session.region}


def _dataset(given: BreedDataset | str | Path, *, needs: Sequence[str] = ("train",)) -> BreedDataset:
    """The data set, checked for the splits that the job needs and for whatever the job would refuse."""
    from dogbreed_sdk.datasets import layouts  # noqa: PLC0415 - only needed with a data set at hand
    from training_scripts.data import faults, image_folder  # noqa: PLC0415 - likewise

    dataset = given if isinstance(given, BreedDataset) else BreedDataset.from_folder(given)
    if not dataset.folders:
        raise DatasetError(str(layouts.fault(dataset.root) or faults.no_splits(dataset.root)))
    if "train" not in dataset.folders:
        raise DatasetError(str(faults.no_train(dataset.root)))
    missing = [split for split in needs if split not in dataset.folders]
    if missing:
        raise DatasetError(
            f"{dataset.root} has no {' and no '.join(missing)} split. {faults.made_from_train(dataset.root)}"
        )
    try:
        image_folder.check_several_classes(dataset.classes)
    except ScriptError as error:
        raise DatasetError(f"{dataset.root}: {error}") from error
    return dataset


def _hidden(head: str | int | Sequence[int]) -> str:
    if isinstance(head, (str, int)):
        return "" if head == "linear" else str(head)
    return ",".join(str(width) for width in head)


def _known_model(name: str) -> str:
    """The canonical name of a backbone; unchecked if it may be torchvision's and torchvision is not installed."""
    try:
        return backbones.spec(name).name
    except ScriptError as error:
        if isinstance(error.__cause__, ImportError):
            return name
        raise ConfigurationError(str(error)) from error
