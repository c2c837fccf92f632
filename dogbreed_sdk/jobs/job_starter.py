"""Starts the jobs of a trainer: stores what they read, has features computed, and sends the requests."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from dogbreed_sdk._util.progress import JobProgress, ProgressCallback
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import names, training, tuning
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.jobs import source, stored_features
from dogbreed_sdk.jobs.managed_debugger import debugging_members, refusal_explained
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.jobs.upload_progress import upload_progress
from training_scripts.features.files import MANIFEST
from training_scripts.training import metrics

if TYPE_CHECKING:
    from dogbreed_sdk.aws.requests.debugging import DebuggingMembers
    from dogbreed_sdk.aws.requests.ranges import ParameterRange
    from dogbreed_sdk.aws.requests.training import JobSettings
    from dogbreed_sdk.aws.requests.tuning import SearchSettings
    from dogbreed_sdk.datasets.dataset import BreedDataset
    from dogbreed_sdk.jobs.infrastructure import Infrastructure
    from dogbreed_sdk.jobs.managed_debugger import Debugger
    from dogbreed_sdk.jobs.weights import WeightsFile
    from dogbreed_sdk.session import Session

FeatureSource = Literal["stored", "in-job", "off"]
FeatureType = Literal["float32", "float16"]


class JobStarter:
    """Starts the jobs of one trainer in one session.

    Args:
        session: Where the jobs run.
        infrastructure: What they run on.
        features: ``"stored"`` shares features between jobs.
        weights: The file with the backbone's weights, or None.
        packages: Packages that the source takes along, for jobs without a network; None if jobs may install.
        requirements: What jobs install for their backbone.
        debugger: The managed Debugger of training jobs, or None.
        base_name: Prefix of the names of jobs.
    """

    def __init__(
        self,
        session: Session,
        infrastructure: Infrastructure,
        *,
        features: FeatureSource,
        weights: WeightsFile | None,
        packages: Sequence[str] | None,
        requirements: Sequence[str],
        debugger: Debugger | None,
        base_name: str,
    ) -> None:
        self.session = session
        self.features = features
        self.infrastructure = infrastructure
        self._weights = weights
        self._packages = packages
        self._requirements = requirements
        self._debugger = debugger
        self._base_name = base_name
        self._checked = False

    def in_session(self, session: Session, features: FeatureSource) -> JobStarter:
        """The same settings in another session, with another source of features."""
        twin = copy.copy(self)
        twin.session, twin.features = session, features
        return twin

    def check(self) -> None:
        """Checks, at the first call, that instances and image exist and that the account can be used.

        Nothing has been stored or created before that.

        Raises:
            ConfigurationError: Something does not exist.
            AccessError: Credentials or a permission are missing.
        """
        if self._checked:
            return
        self.infrastructure.check_instance_type(self.session)
        if not self.session.is_local:
            self.infrastructure.check_image(self.session)
            self.session.check_account()
        self._checked = True

    def train(
        self,
        name: str,
        dataset: BreedDataset,
        settled: Mapping[str, object],
        *,
        checkpoint_uri: str | None,
        progress: ProgressCallback,
    ) -> TrainingJob:
        """Starts a training job.

        Args:
            name: Its name.
            dataset: Its pictures; checked.
            settled: All its hyperparameters.
            checkpoint_uri: Where its checkpoints are; None for a new folder.
            progress: Called while features are computed and pictures are uploaded.
        """
        settings = self._settings(dataset)
        debugging = self._debugging(name, settings, progress)
        channels = self._channels(dataset, settled, progress)
        return self._create(
            name,
            _sized(settings, channels, name, progress),
            debugging,
            program=source.TRAIN_PROGRAM,
            hyperparameters=settled,
            channels=channels,
            checkpoint_uri=checkpoint_uri or self._new_checkpoints(name),
            metric_definitions=metrics.METRIC_DEFINITIONS,
        )

    def tune(
        self,
        name: str,
        dataset: BreedDataset,
        shared: Mapping[str, object],
        *,
        search: SearchSettings,
        ranges: Mapping[str, ParameterRange],
        progress: ProgressCallback,
    ) -> TuningJob:
        """Starts a tuning job.

        Args:
            name: Its name.
            dataset: Its pictures; checked.
            shared: The hyperparameters of all trials.
            search: Strategy, objective and limits.
            ranges: Hyperparameter name -> range.
            progress: Called while features are computed and pictures are uploaded.
        """
        settings = self._settings(dataset)
        channels = self._channels(dataset, shared, progress)
        request = tuning.tuning_job(
            name,
            settings=_sized(settings, channels, name, progress),
            search=search,
            program=source.TUNE_PROGRAM,
            ranges=ranges,
            hyperparameters=shared,
            channels=channels,
            checkpoint_uri=self._new_checkpoints(name) if settings.restarts else None,
            metric_definitions=metrics.METRIC_DEFINITIONS,
        )
        with translated(f"start tuning job {name}"):
            self.session.client("sagemaker").create_hyper_parameter_tuning_job(**request)
        return TuningJob(name, self.session)

    def stored_features(self, dataset: BreedDataset, settled: Mapping[str, object], progress: ProgressCallback) -> str:
        """The URI of a data set's stored features; a job computes them first if they are not stored yet.

        Args:
            dataset: The pictures; checked.
            settled: All hyperparameters of a job that trains on the features.
            progress: Called while they are computed.
        """
        weights = self._weights.digest if self._weights else ""
        uri = stored_features.features_uri(self.session, dataset.fingerprint, settled, weights=weights)
        if not self.session.storage.exists(join(uri, MANIFEST)) and not stored_features.taken_from_whole(
            self.session, dataset, settled, uri, weights=weights
        ):
            job = stored_features.computing_job(self.session, uri) or self._create(
                names.unique_name(f"{self._base_name}-{stored_features.JOB_NAME}"),
                self._settings(dataset),
                program=source.FEATURES_PROGRAM,
                hyperparameters=stored_features.features_hyperparameters(settled),
                channels=self._picture_channels(dataset, progress),
                checkpoint_uri=uri,
                metric_definitions=(),
            )
            job.wait(progress=progress)
        return uri

    def _settings(self, dataset: BreedDataset) -> JobSettings:
        """The settings of all jobs on a data set; stores the scripts unless they are stored already."""
        self.check()
        requirements = (*self._requirements, *dataset.requirements)
        source_uri = source.upload(self.session, packages=self._packages, requirements=requirements)
        return self.infrastructure.job_settings(self.session, source_uri=source_uri)

    def _new_checkpoints(self, name: str) -> str:
        return join(self.session.base_uri, "checkpoints", name)

    def _create(
        self,
        name: str,
        settings: JobSettings,
        debugging: DebuggingMembers | None = None,
        *,
        program: str,
        hyperparameters: Mapping[str, object],
        channels: Mapping[str, str],
        checkpoint_uri: str,
        metric_definitions: Sequence[Mapping[str, str]],
    ) -> TrainingJob:
        request = training.training_job(
            name,
            settings=settings,
            program=program,
            hyperparameters=hyperparameters,
            channels=channels,
            checkpoint_uri=checkpoint_uri,
            metric_definitions=metric_definitions,
            debugging=debugging,
        )
        with translated(f"start training job {name}"), refusal_explained(bool(debugging)):
            self.session.client("sagemaker").create_training_job(**request)
        return TrainingJob(name, self.session)

    def _debugging(self, name: str, settings: JobSettings, progress: ProgressCallback) -> DebuggingMembers | None:
        if self._debugger is None:
            return None
        return debugging_members(
            self._debugger,
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
        if self.features == "stored" and frozen:
            return {"features": self.stored_features(dataset, settled, progress)}
        return self._picture_channels(dataset, progress)

    def _picture_channels(self, dataset: BreedDataset, progress: ProgressCallback) -> dict[str, str]:
        channels = {training.PICTURES_CHANNEL: dataset.upload(self.session, transfer=upload_progress(progress))}
        if self._weights:
            channels["weights"] = self._weights.upload(self.session, transfer=upload_progress(progress, "weights"))
        return channels


def _sized(settings: JobSettings, channels: Mapping[str, str], name: str, progress: ProgressCallback) -> JobSettings:
    """The settings with one instance for a head on stored features, which several would not train faster."""
    if settings.instance_count == 1 or training.PICTURES_CHANNEL in channels:
        return settings
    message = (
        f"trains on 1 instance, not {settings.instance_count}: a head on stored features takes seconds. Several "
        "instances share the feature pass, and fine-tuning (unfreeze)"
    )
    progress(JobProgress(name, "Starting", message, 0.0))
    return settings.on_one_instance()
