"""BreedTrainer: search, train and find jobs again, on AWS and on one machine through the same code."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dogbreed_sdk import defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, print_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError, DatasetError, JobError
from dogbreed_sdk.jobs import source
from dogbreed_sdk.jobs.managed_debugger import Debugger, closure_explained
from dogbreed_sdk.jobs.search_ranges import check_objective, check_strategy, checked_ranges, job_limit
from dogbreed_sdk.jobs.training_job import TrainingJob, is_unknown
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.jobs.weights import WeightsFile
from dogbreed_sdk.session import Session
from training_scripts import ScriptError
from training_scripts._util.safe_text import redacted
from training_scripts.data.split_folders import SPLITS
from training_scripts.models import backbones
from training_scripts.training import hyperparameters, metrics

if TYPE_CHECKING:
    from sagemaker.core.parameter import ParameterRange

# Part of the features' address: a change of how they are computed or stored must not meet old ones.
_FEATURES_VERSION = 1
_FEATURE_HYPERPARAMETERS = ("model", "weights", "views")
# They change what is known of a pass, not its features.
_PROFILING = ("profiler", "profiler-interval-ms", "profile-operators")

_WEIGHTS_BY_NAME = ("pretrained", "none")

FeatureSource = Literal["stored", "in-job", "off"]


class BreedTrainer:
    """Tunes and trains classifiers on one session.

    With a frozen backbone, the default, the pictures pass through it once: a first job stores their features, and
    every trial and training run on the same data set, backbone and views trains on those.

    Args:
        session: Where the jobs run. Default: `Session.default()`.
        model: Backbone: efficientnet_lite0, resnet18, resnet50, densenet161, mobilenet_v3_large,
            efficientnet_b0, convnext_tiny, or any torchvision classification model.
        head: ``"linear"``, or the widths of hidden layers such as ``512`` or ``(512, 256)``.
        weights: ``"pretrained"``, ``"none"`` (random), or a file with the backbone's state dict.
        views: What the head sees of a training picture: ``plain``, ``flip``, ``crops:2``, joined by commas.
        features: ``"stored"`` shares features between jobs; ``"in-job"`` computes them inside each job, which
            saves AWS's start-up of a second job when you train once; ``"off"`` runs the backbone every epoch.
        instance_type: What the jobs run on; ignored by local SageMaker.
        volume_size_gb: Scratch disk of a job.
        max_runtime_seconds: After so long a job is stopped; its model so far is kept.
        image_uri: A training image of your own; default AWS's PyTorch image.
        environment: Variables for the scripts.
        tags: Tags for cost reports and clean-up.
        debugger: `Debugger.managed(...)` switches SageMaker's own Debugger and Profiler on for `train`, where the
            account has them; a search cannot have them. Default: none. Training records and judges by itself.
        base_name: What the names of jobs begin with.

    Raises:
        ConfigurationError: A setting is not possible.
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
        self._tags = {"dogbreed:created-by": "dogbreed-sdk", **(tags or {})}
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
        """Starts a training job. It ends with a bundle that an endpoint serves as it is.

        Args:
            dataset: A data set with train, valid and test splits, or its folder.
            hyperparameters: By name, with dashes or underscores; see `training_scripts.training.hyperparameters`.
            resume: A job that has ended, been stopped or lost: this one continues from its last checkpoint, with its
                hyperparameters where none are given. More epochs and another learning rate, batch size or schedule
                apply from there on, which the progress and the log say; data set, backbone, views, layers of the head,
                what is fine-tuned and optimiser must be the same.
            name: Default: a fresh name.
            progress: Called while features are computed, where there are none yet.

        Returns:
            The job, running. Wait for it with ``wait()``.

        Raises:
            ConfigurationError: A hyperparameter is unknown or out of its bounds, or the job cannot be continued so.
            JobError: The job to continue does not exist, or is still running.
            DatasetError: The pictures are not what training needs.
        """
        pictures = _dataset(dataset)
        given, continued, said = dict(hyperparameters or {}), None, ""
        if resume is not None:
            from dogbreed_sdk.jobs.resume import Continuation  # noqa: PLC0415 - only needed here

            continued = Continuation.of(TrainingJob(resume, self.session))
            given = {**self._inherited(continued.job.hyperparameters, given), **given}
        settled = self._settled(given, "train_model")
        if continued is not None:
            said = continued.check(settled, pictures)
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
        if said:
            progress(JobProgress(chosen, "Starting", said, 0.0))
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
        """Starts a search over hyperparameters; features are computed first where there are none yet.

        Args:
            dataset: A data set with train, valid and test splits, or its folder.
            search: Hyperparameter name -> SageMaker's ContinuousParameter, IntegerParameter or
                CategoricalParameter. Default: `default_search`. A range that names no scaling type has Auto, which
                local SageMaker takes for logarithmic from two orders of magnitude on.
            hyperparameters: What all trials share.
            max_jobs: Trials in all. Default: 6; a Grid search has one per combination. Never more than there are
                combinations of values; where that is fewer, the progress says so.
            max_parallel_jobs: Trials at a time.
            strategy: Bayesian, Random, Grid or Hyperband.
            objective: A metric of the epoch line: valid:loss, valid:accuracy and so on; val_loss stands for valid:loss.
            objective_type: Default: Minimize for a loss, Maximize for anything else.
            early_stopping: Whether trials that fall behind may be stopped (SageMaker's type Auto).
            random_seed: From 1; the same seed proposes the same, as far as parallel trials end in the same order.
            name: At most 32 characters. Default: a fresh name.
            progress: Called while features are computed.

        Returns:
            The job, running. Wait for it with ``wait()``.

        Raises:
            ConfigurationError: A range, hyperparameter, objective or limit is wrong.
            DatasetError: The pictures are not what training needs.
        """
        requests = optional.load("dogbreed_sdk.aws.requests.tuning", extra="aws", purpose="tune")
        resources = optional.load("sagemaker.core.resources", extra="aws", purpose="tune")
        ranges = checked_ranges(search)
        objective, strategy = check_objective(objective), check_strategy(strategy)
        max_jobs, limited = job_limit(ranges, strategy, max_jobs)
        if min(max_parallel_jobs, random_seed) < 1:
            raise ConfigurationError("max_parallel_jobs and random_seed start at 1.")
        judged_by = objective.partition(":")[0]
        pictures = _dataset(dataset, needs=sorted({"train", "valid", judged_by}, key=SPLITS.index))
        shared = self._settled(hyperparameters or {}, "hpo", searched=ranges)
        chosen = names.check_name(
            name or names.unique_name(self._base_name, max_length=names.MAX_TUNING_NAME_LENGTH),
            what="tuning job",
            max_length=names.MAX_TUNING_NAME_LENGTH,
        )
        settings = self._settings()
        arguments = requests.tuning_job(
            chosen,
            settings=settings,
            search=requests.SearchSettings(
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
            resources.HyperParameterTuningJob.create(**arguments, **self._where())
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
        """The URI of the stored features of a data set, computed by a job of their own where there are none yet.

        Raises:
            JobFailedError: The job failed.
        """
        pictures = _dataset(dataset)
        return self._stored_features(pictures, self._settled(hyperparameters or {}, "train_model"), progress)

    @staticmethod
    def attach(name: str, session: Session | None = None) -> TrainingJob | TuningJob:
        """Finds a training or tuning job again by its name.

        Raises:
            JobError: The session has no such job.
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
        raise JobError(f"There is no training or tuning job {name} in {where!r}. See 'dogbreed jobs'.")

    def _create(
        self, name: str, settings: Any, debugging: Mapping[str, Any] | None = None, **request: Any
    ) -> TrainingJob:
        requests = optional.load("dogbreed_sdk.aws.requests.training", extra="aws", purpose="train")
        resources = optional.load("sagemaker.core.resources", extra="aws", purpose="train")
        arguments = requests.training_job(name, settings=settings, **request)
        with translated(f"start training job {name}"), closure_explained(bool(debugging)):
            resources.TrainingJob.create(**arguments, **(debugging or {}), **self._where())
        return TrainingJob(name, self.session)

    def _managed_debugging(self, name: str, settings: Any, progress: ProgressCallback) -> dict[str, Any]:
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
        """What the job reads: stored features where they serve, else the pictures (and given weights)."""
        # What a search chooses is not settled: a trial may then need the pictures.
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
        """All hyperparameters of a job but those that are searched, checked before anything is sent."""
        named: dict[str, object] = {}
        for key, value in given.items():
            name = hyperparameters.meant(key, entry_point) or key
            if named.setdefault(name, value) != value:
                raise ConfigurationError(f"{name} is given twice, in two spellings and with different values.")
        if "model" in named:
            named["model"] = _known_model(str(named["model"]))
        both = sorted(set(searched or {}) & set(named))
        if both:
            raise ConfigurationError(f"{', '.join(both)}: either searched or given, not both.")
        for key in ("model", "weights", "views"):
            if named.get(key, self._base[key]) != self._base[key]:
                raise ConfigurationError(
                    f"The trainer has {key}={self._base[key]!r}, the hyperparameters {named[key]!r}; make a "
                    "BreedTrainer of that."
                )
        try:
            checked = hyperparameters.validate({**self._base, **named}, entry_point=entry_point)
        except ScriptError as error:
            raise ConfigurationError(str(error)) from error
        read = set(hyperparameters.names(entry_point)) - set(searched or {})
        return {key: value for key, value in checked.to_dict().items() if key in read}

    def _inherited(self, earlier: Mapping[str, object], given: Mapping[str, object]) -> dict[str, object]:
        """The hyperparameters of a job to be continued, but those that this trainer or the caller decides."""
        decided = {hyperparameters.meant(name, "train_model") for name in given}
        decided |= {name for name, value in self._base.items() if name != "hidden" or value}
        return {name: value for name, value in earlier.items() if name not in decided}

    def _settings(self) -> Any:
        requests = optional.load("dogbreed_sdk.aws.requests.training", extra="aws", purpose="train")
        if not self._account_checked:
            from dogbreed_sdk.aws import account  # noqa: PLC0415

            account.check(self.session)
            self._account_checked = True
        return requests.JobSettings(
            image_uri=self._image_uri or self.session.image_uri("training", self._instance_type),
            role_arn=self.session.role_arn,
            source_uri=source.upload(self.session),
            output_uri=join(self.session.base_uri, "jobs"),
            instance_type=self._instance_type,
            volume_size_gb=self._volume_size_gb,
            max_runtime_seconds=self._max_runtime_seconds,
            environment=self._environment,
            tags=self._tags,
        )

    def _where(self) -> dict[str, Any]:
        return {"session": self.session.boto3_session, "region": self.session.region}


def _dataset(given: BreedDataset | str | Path, *, needs: Sequence[str] = ("train",)) -> BreedDataset:
    """The data set, with the splits that the work cannot do without, and nothing that the job would refuse."""
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
    """A backbone by its own name, as far as that can be known here: only torchvision knows torchvision's."""
    try:
        return str(backbones.spec(name).name)
    except ScriptError as error:
        if isinstance(error.__cause__, ImportError):
            return name
        raise ConfigurationError(str(error)) from error
