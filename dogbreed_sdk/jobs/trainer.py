"""BreedTrainer: tunes and trains, on AWS and on local SageMaker with the same code."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk import defaults
from dogbreed_sdk._util.durations import Duration
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, no_progress, show_progress
from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.aws.requests.tags import project_tags
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs import isolation
from dogbreed_sdk.jobs.infrastructure import Infrastructure
from dogbreed_sdk.jobs.job_options import JobOptions, Spot
from dogbreed_sdk.jobs.job_starter import FeatureSource, FeatureType, JobStarter
from dogbreed_sdk.jobs.managed_debugger import Debugger
from dogbreed_sdk.jobs.search_ranges import checked_ranges
from dogbreed_sdk.jobs.search_settings import check_parents, search_settings, with_epochs
from dogbreed_sdk.jobs.trainer_hyperparameters import TrainerHyperparameters
from dogbreed_sdk.jobs.training_data import checked_dataset
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.jobs.weights import WeightsFile
from dogbreed_sdk.session import Session
from training_scripts._util.safe_text import redacted
from training_scripts.data.resize_mode import ResizeMode
from training_scripts.data.split_folders import SPLITS
from training_scripts.models import backbones, test_time
from training_scripts.models.engines.engine import Precision
from training_scripts.models.test_time import TestTimeAugmentation

if TYPE_CHECKING:
    from dogbreed_sdk.aws.prices import PriceTable
    from dogbreed_sdk.aws.requests.ranges import ParameterRange
    from dogbreed_sdk.aws.requests.tuning import CompletionCriteria, Hyperband, Named, WarmStart
    from dogbreed_sdk.endpoints.creation import DeployOptions
    from dogbreed_sdk.planning.dataset_size import DatasetSize
    from dogbreed_sdk.planning.dry_run import DryRunSession
    from dogbreed_sdk.planning.plan import Plan

_WEIGHTS_BY_NAME = ("pretrained", "none")


class BreedTrainer:
    """Tunes and trains classifiers in one session.

    With a frozen backbone, the default, the pictures pass through it once: the first job stores their features, and
    all trials and training jobs with the same data set, backbone and views train on those.

    Args:
        session: Where the jobs run. Default: `Session.default()`.
        model: Backbone: efficientnet_lite0 (takes half of the default's time), efficientnet_lite1, efficientnet_lite2
            (the default), resnet18, resnet50, densenet161, mobilenet_v3_large, efficientnet_b0, convnext_tiny, any
            torchvision classification model, or ``timm:`` and the name of a model of timm.
        hidden: Widths of the head's hidden layers, such as ``512`` or ``(512, 256)``. Default: none, a linear head.
        weights: ``"pretrained"``, ``"none"`` (random), or a file with the backbone's state dict.
        views: The views of a training picture that the head trains on: ``plain``, ``flip``, ``crops:2``, joined by
            commas.
        resize_mode: ``"crop"`` resizes the shorter side and crops the center; ``"squash"`` resizes the whole picture to
            the network's square, without keeping the aspect ratio, as torchvision's ``Resize((224, 224))`` does. The
            model carries it along.
        tta: Test-time augmentation: ``"flip"`` averages the features of a picture and of its mirror image, in
            evaluation and in serving, which then costs twice as much; default ``"none"``. The model carries it along.
        precision: ``"fp32"`` computes exact features. ``"bf16"`` lets them be rounded to bfloat16, which makes the pass
            up to twice as fast on processors with instructions for it (ml.m7i, ml.c7i, ml.g5); others compute exactly.
            Endpoints always compute exactly. Not with ``features="off"``.
        features: ``"stored"`` shares features between jobs; ``"in-job"`` computes them inside each job, which
            avoids waiting for a second job to start on AWS if you train once; ``"off"`` runs the backbone every epoch.
        features_dtype: ``"float32"``, or ``"float16"`` to store features in half the space: each number is then off by
            at most 1/2048 of itself.
        instance_type: Instance type of the jobs, such as ``ml.g5.xlarge``; local SageMaker uses this machine. Default:
            ml.m5.xlarge.
        instance_count: Number of instances of a job that reads pictures: they share the feature pass, or fine-tune
            together. A head on stored features trains on one instance.
        volume_size_gb: Size of a job's disk, in GB; not for instance types with built-in disks (such as ml.g5).
            Default: 30.
        max_runtime: A job that runs longer is stopped; the model it has saved by then is kept: seconds, ``"2h"`` or a
            timedelta, at most 28 days. Default: one day.
        spot: True runs jobs on spot capacity, which is cheaper and can be interrupted: a job resumes from its last
            epoch. `Spot` sets how long a job may wait for it.
        keep_alive: How long instances are kept after a job, so that the next training job starts in seconds, up to
            one hour: seconds, ``"10min"`` or a timedelta. The time is charged, and needs a quota for warm pools.
            Not with spot. Tuning jobs reuse instances by themselves. Default: not at all.
        image_uri: Your own training image. Default: AWS's PyTorch image.
        framework_version: PyTorch version of AWS's image, such as ``"2.8"``. Default: 2.6, which is also that of the
            serving image.
        environment: Environment variables of the scripts.
        tags: Tags for cost reports and clean-up.
        options: `JobOptions`: input mode, retries, network isolation and other settings that few jobs need.
        debugger: `Debugger.managed(...)` enables SageMaker's managed Debugger and Profiler for `train`, if the account
            still has them; tuning jobs cannot use them. Default: none. The training script records tensors and
            evaluates rules itself.
        base_name: Prefix of the names of jobs.

    The session's KMS key encrypts results and disks, and jobs run in its VPC (`Session.aws`).

    Raises:
        ConfigurationError: A setting is invalid, or two of them exclude each other.

    Examples:
        >>> trainer = BreedTrainer(session, model="efficientnet_lite0", base_name="dogs")
        >>> job = trainer.train(dataset, {"epochs": 5, "lr": 0.002}).wait()
        >>> job.status, sorted(job.final_metrics)[:2]
        ('Completed', ['test:accuracy', 'test:loss'])
    """

    def __init__(
        self,
        session: Session | None = None,
        *,
        model: str = defaults.BACKBONE,
        hidden: str | int | Sequence[int] = (),
        weights: str | Path = "pretrained",
        views: str = defaults.VIEWS,
        resize_mode: ResizeMode = "crop",
        tta: TestTimeAugmentation = test_time.NONE,
        precision: Precision = "fp32",
        features: FeatureSource = "stored",
        features_dtype: FeatureType = "float32",
        instance_type: str = defaults.TRAINING_INSTANCE_TYPE,
        instance_count: int = 1,
        volume_size_gb: int | None = None,
        max_runtime: Duration = defaults.MAX_RUNTIME_SECONDS,
        spot: bool | Spot = False,
        keep_alive: Duration | None = None,
        image_uri: str | None = None,
        framework_version: str | None = None,
        environment: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        options: JobOptions | None = None,
        debugger: Debugger | None = None,
        base_name: str = "dogbreed",
    ) -> None:
        if features not in ("stored", "in-job", "off"):
            raise ConfigurationError(f"features is {features!r}; use 'stored', 'in-job' or 'off'.")
        self.session = session or Session.default()
        self._weights = str(weights)
        file = _weights_file(weights)
        self._hyperparameters = TrainerHyperparameters(
            model=model,
            hidden=hidden,
            weights=file.path.name if file else str(weights),
            views=views,
            resize_mode=resize_mode,
            tta=tta,
            precision=precision,
            features=features,
            features_dtype=features_dtype,
        )
        infrastructure = Infrastructure(
            instance_type=instance_type,
            instance_count=instance_count,
            volume_size_gb=volume_size_gb,
            max_runtime=max_runtime,
            spot=Spot() if spot is True else spot or None,
            keep_alive=keep_alive,
            image_uri=image_uri,
            framework_version=framework_version,
            environment=dict(environment or {}),
            tags=project_tags(tags),
            options=options or JobOptions(),
        )
        self._starter = JobStarter(
            self.session,
            infrastructure,
            features=features,
            weights=file,
            packages=self._packages(infrastructure, given=file is not None),
            requirements=backbones.job_requirements(self._hyperparameters.model),
            debugger=debugger,
            base_name=base_name,
        )
        self._base_name = base_name

    def __repr__(self) -> str:
        return f"BreedTrainer({self.session!r}, model={self._hyperparameters.model!r})"

    def train(
        self,
        dataset: BreedDataset | str | Path,
        hyperparameters: Mapping[str, object] | None = None,
        *,
        resume: str | None = None,
        name: str | None = None,
        progress: ProgressCallback | None = show_progress,
    ) -> TrainingJob:
        """Starts a training job, which produces a bundle that an endpoint can serve.

        Args:
            dataset: A data set with train, valid and test splits, or its folder: a path or an s3:// URI.
            hyperparameters: By name, with dashes or underscores; see `training_scripts.training.hyperparameters`.
            resume: Name of a job that has ended, was stopped or was lost: the new job resumes from its last checkpoint,
                with its hyperparameters unless others are given. More epochs and a different learning rate, batch size
                or schedule apply from there on, and the progress and the log say so; data set, backbone, views, layers
                of the head, what is fine-tuned and optimizer must be the same.
            name: Default: a new unique name.
            progress: Called while features are computed, if they are not stored yet; None for no output. Default:
                prints on standard error.

        Returns:
            The running job. Wait for it with ``wait()``.

        Raises:
            ConfigurationError: A hyperparameter is unknown or out of its bounds, or the job cannot be resumed like
                this.
            JobError: The job to resume does not exist, or is still running.
            DatasetError: The data set cannot be trained on.
        """
        progress = progress or no_progress
        pictures = checked_dataset(dataset, self.session)
        given, continued, notice = dict(hyperparameters or {}), None, ""
        if resume is not None:
            from dogbreed_sdk.jobs.resume import Continuation  # noqa: PLC0415 - only needed here

            continued = Continuation.of(TrainingJob(resume, self.session))
            given = {**self._hyperparameters.inherited(continued.job.hyperparameters, given), **given}
        settled = self._hyperparameters.settled(given, "train_model")
        if continued is not None:
            notice = continued.check(settled, pictures)
        chosen = names.check_name(name or names.unique_name(self._base_name), what="training job")
        job = self._starter.train(
            chosen,
            pictures,
            settled,
            checkpoint_uri=continued.checkpoint_uri if continued else None,
            progress=progress,
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
        max_search_time: Duration | None = None,
        strategy: str = defaults.TUNING_STRATEGY,
        hyperband: Hyperband | None = None,
        objective: str = defaults.OBJECTIVE_METRIC,
        objective_type: Literal["Minimize", "Maximize"] | None = None,
        early_stopping: bool = False,
        completion: CompletionCriteria | None = None,
        warm_start: WarmStart | Named | str | Sequence[Named | str] | None = None,
        search_seed: int = 1,
        name: str | None = None,
        progress: ProgressCallback | None = show_progress,
    ) -> TuningJob:
        """Starts a tuning job; features are computed first if they are not stored yet.

        Args:
            dataset: A data set with train, valid and test splits, or its folder: a path or an s3:// URI.
            search: Hyperparameter name -> SageMaker's ContinuousParameter, IntegerParameter or
                CategoricalParameter. Default: `default_search`. A range without a scaling type has Auto, which
                local SageMaker treats as logarithmic from two orders of magnitude on.
            hyperparameters: Hyperparameters that all trials share.
            max_jobs: Total number of trials. Default: 6; a Grid search has one per combination. Never more than the
                number of combinations of values; if that is smaller, the progress says so.
            max_parallel_jobs: Number of trials that run at the same time.
            max_search_time: The search and its running trials are stopped after this time, 2 minutes or more: seconds,
                ``"2h"`` or a timedelta. Default: no limit.
            strategy: Bayesian, Random, Grid or Hyperband.
            hyperband: `Hyperband`: the epochs that the Hyperband strategy gives to trials. Default: from 1 up to the
                hyperparameter epochs.
            objective: A metric of the epoch line: valid:loss, valid:accuracy and so on; val_loss stands for valid:loss.
            objective_type: Default: Minimize for a loss, Maximize for anything else.
            early_stopping: Whether trials that fall behind may be stopped (SageMaker's type Auto). Not with Hyperband,
                which stops trials by itself.
            completion: `CompletionCriteria` that end the search before all its trials have run.
            warm_start: Up to 5 ended tuning jobs, or their names, that had the same data, whose trials count as this
                search's own; `WarmStart(…, kind="transfer")` for those with other data.
            search_seed: At least 0; the same seed gives the same proposals if parallel trials end in the same order.
            name: At most 32 characters. Default: a new unique name.
            progress: Called while features are computed; None for no output.

        Returns:
            The running job. Wait for it with ``wait()``.

        Raises:
            ConfigurationError: A range, hyperparameter, objective or limit is invalid, or a tuning job to start from
                had another objective, environment or other setting that must be the same.
            JobError: A tuning job to start from does not exist, or is still running.
            DatasetError: The data set cannot be trained on.
        """
        progress = progress or no_progress
        ranges = checked_ranges(search)
        settings, limited = search_settings(
            ranges,
            strategy=strategy,
            objective=objective,
            objective_type=objective_type,
            max_jobs=max_jobs,
            max_parallel_jobs=max_parallel_jobs,
            max_search_time=max_search_time,
            early_stopping=early_stopping,
            search_seed=search_seed,
            hyperband=hyperband,
            completion=completion,
            warm_start=warm_start,
        )
        measured_on = settings.objective_metric.partition(":")[0]
        pictures = checked_dataset(
            dataset, self.session, needs=sorted({"train", "valid", measured_on}, key=SPLITS.index)
        )
        shared = self._hyperparameters.settled(hyperparameters or {}, "hpo", searched=ranges)
        if settings.hyperband is not None:
            settings = replace(settings, hyperband=with_epochs(settings.hyperband, shared, ranges))
        chosen = names.check_name(
            name or names.unique_name(self._base_name, max_length=names.MAX_TUNING_NAME_LENGTH),
            what="tuning job",
            max_length=names.MAX_TUNING_NAME_LENGTH,
        )
        self._starter.check()
        check_parents(settings, self._starter.infrastructure, self.session)
        job = self._starter.tune(chosen, pictures, shared, search=settings, ranges=ranges, progress=progress)
        if limited:
            progress(JobProgress(chosen, "Starting", limited, 0.0))
        return job

    def extract_features(
        self,
        dataset: BreedDataset | str | Path,
        hyperparameters: Mapping[str, object] | None = None,
        *,
        progress: ProgressCallback | None = show_progress,
    ) -> str:
        """The URI of a data set's stored features; a job computes them first if they are not stored yet.

        Args:
            dataset: A data set with train, valid and test splits, or its folder: a path or an s3:// URI.
            hyperparameters: By name; they count only as far as they change the features.
            progress: Called while the job runs; None for no output.

        Raises:
            JobFailedError: The job failed.
        """
        pictures = checked_dataset(dataset, self.session)
        settled = self._hyperparameters.settled(hyperparameters or {}, "train_model")
        return self._starter.stored_features(pictures, settled, progress or no_progress)

    def plan(
        self,
        dataset: BreedDataset | DatasetSize | str | Path,
        search: Mapping[str, ParameterRange] | None = None,
        *,
        hyperparameters: Mapping[str, object] | None = None,
        max_jobs: int | None = None,
        max_parallel_jobs: int = defaults.TUNING_MAX_PARALLEL_JOBS,
        max_search_time: Duration | None = None,
        strategy: str = defaults.TUNING_STRATEGY,
        hyperband: Hyperband | None = None,
        objective: str = defaults.OBJECTIVE_METRIC,
        early_stopping: bool = False,
        completion: CompletionCriteria | None = None,
        endpoint: DeployOptions | None = None,
        endpoint_hours: float | None = None,
        region: str | None = None,
        prices: PriceTable | str | Path | None = None,
        live_prices: bool = False,
        measure: bool = False,
        earlier_jobs: bool = False,
    ) -> Plan:
        """What `tune`, `train` and an endpoint would send, take and cost on AWS. Nothing is created or sent.

        Neither an account nor a network is needed, and not even pictures: a `DatasetSize` suffices. The requests are
        those that the other methods would send. The prices are on-demand prices; the times are estimates, and the plan
        states what they are based on and how far off they may be.

        Args:
            dataset: A data set with train and valid splits, its folder, or its size.
            search: As for `tune`.
            hyperparameters: Hyperparameters of all trials and of the training job.
            max_jobs: As for `tune`.
            max_parallel_jobs: As for `tune`.
            max_search_time: As for `tune`.
            strategy: As for `tune`.
            hyperband: As for `tune`.
            objective: As for `tune`.
            early_stopping: As for `tune`.
            completion: As for `tune`.
            endpoint: The keyword arguments of `dogbreed_sdk.deploy`, such as ``{"instance_type": "ml.c5.large"}``.
            endpoint_hours: Hours for which the endpoint runs and files are stored. Default: the endpoint's ``ttl``,
                else 730, a month.
            region: For example ``eu-central-1``. Default: that of the session or of the AWS configuration, else
                us-east-1, and a note says so.
            prices: Prices to use before the packaged ones: a `PriceTable`, or the path of a CSV file as
                `PriceTable.load` describes it.
            live_prices: Whether AWS's Pricing API is asked for current prices first, with your credentials and the
                permission pricing:GetProducts. If that fails, the packaged prices are used, and a note says so.
            measure: Whether a few of the pictures go through the backbone on this machine to find its speed, which
                takes about ten seconds and needs torch. Default: the speed is from a table.
            earlier_jobs: Whether the speed is taken from the session's newest feature job with this backbone, if there
                is one; on AWS that needs credentials.

        Returns:
            The plan; print it, or use its numbers.

        Raises:
            ConfigurationError: A setting is invalid, a price is not known, or the speed of the backbone is not known
                and not measured.
            DatasetError: The data set cannot be trained on.

        Examples:
            >>> from dogbreed_sdk import DatasetSize, Session
            >>> plan = BreedTrainer(Session.aws()).plan(DatasetSize.of(pictures=8351, classes=133), region="us-east-1")
            >>> [step.name for step in plan.steps]
            ['features', 'tuning', 'training', 'endpoint', 'storage']
        """
        from dogbreed_sdk.planning import planner  # noqa: PLC0415 - only needed here
        from dogbreed_sdk.planning.dataset_size import DatasetSize, UnseenDataset  # noqa: PLC0415
        from dogbreed_sdk.planning.dry_run import unheard  # noqa: PLC0415

        pictures = (
            UnseenDataset(dataset) if isinstance(dataset, DatasetSize) else checked_dataset(dataset, self.session)
        )

        def rehearse(session: DryRunSession, features: FeatureSource) -> None:
            twin = self._for_rehearsal(session, features)
            given = {**(hyperparameters or {}), **({"features": "off"} if features == "off" else {})}
            twin.tune(
                pictures,
                search,
                hyperparameters=given,
                max_jobs=max_jobs,
                max_parallel_jobs=max_parallel_jobs,
                max_search_time=max_search_time,
                strategy=strategy,
                hyperband=hyperband,
                objective=objective,
                early_stopping=early_stopping,
                completion=completion,
                progress=unheard,
            )
            options: DeployOptions = {**(endpoint or {}), "wait": True, "progress": unheard}
            # There is no artifact yet to which the user's code could be added, which costs nothing.
            options["entry_point"] = options["source_dir"] = None
            deployment = twin.train(pictures, given, progress=unheard).deploy(**options)
            with session.undoing():
                deployment.delete()  # otherwise a reminder at exit would name an endpoint that does not exist

        settled = self._hyperparameters.settled({}, "train_model")
        return planner.plan(
            rehearse,
            features=self._starter.features,
            backbone=planner.Backbone(self._hyperparameters.model, str(settled["views"])),
            dataset=pictures,
            asked=planner.Asked(
                session=self.session,
                region=region,
                prices=prices,
                live_prices=live_prices,
                endpoint_hours=planner.hours(endpoint_hours, (endpoint or {}).get("ttl")),
                measure=measure,
                earlier_jobs=earlier_jobs,
            ),
        )

    def _for_rehearsal(self, session: Session, features: FeatureSource) -> BreedTrainer:
        """The same trainer in a session that sends nothing."""
        twin = copy.copy(self)
        twin.session, twin._starter = session, self._starter.in_session(session, features)
        return twin

    def _packages(self, infrastructure: Infrastructure, *, given: bool) -> tuple[str, ...] | None:
        """What the source takes along for jobs without a network; None if jobs may install it."""
        if not infrastructure.options.network_isolation:
            return None
        return isolation.packages(self._hyperparameters.model, weights=self._weights, given=given)


def _weights_file(weights: str | Path) -> WeightsFile | None:
    """The file of the backbone's weights; None if they are those of a name."""
    if "://" in str(weights):
        raise ConfigurationError(
            f"weights is the URL {redacted(str(weights))}; download it and pass the path of the state-dict file."
        )
    return None if str(weights) in _WEIGHTS_BY_NAME else WeightsFile(Path(weights))
