"""Resumes a training job as another one: what its checkpoint belongs to, and what the new job may change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk._util.polling import FINAL_STATUSES
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.errors import ConfigurationError, JobError
from dogbreed_sdk.jobs.training_job import TrainingJob, computes_features
from training_scripts import ScriptError
from training_scripts._util.number_text import counted
from training_scripts.training.hyperparameters import validate
from training_scripts.training.resume import DESCRIPTION_NAME, RunIdentity, compare

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.dataset import BreedDataset


@dataclass(frozen=True)
class Continuation:
    """A job's checkpoint, to be resumed by another job.

    Attributes:
        job: The job.
        checkpoint_uri: Folder of its checkpoint.
        run: The run that the checkpoint belongs to; None if the job has not saved one.
        epoch: Number of completed epochs.
        saved_by: The job that saved it last; an empty string if unknown.
    """

    job: TrainingJob
    checkpoint_uri: str
    run: RunIdentity | None
    epoch: int = 0
    saved_by: str = ""

    @classmethod
    def of(cls, job: TrainingJob) -> Continuation:
        """Reads the description of a job's checkpoint.

        Raises:
            JobError: The job does not exist, is still running, computed features, or stores no checkpoints; or another
                job has resumed its checkpoint with other settings.
        """
        status = job.status
        if status not in FINAL_STATUSES:
            raise JobError(f"Training job {job.name} is {status}; wait until it ends, or stop it, before resuming it.")
        if computes_features(job.describe()):
            raise JobError(
                f"Training job {job.name} computed features, which later jobs reuse automatically; it trained no model "
                "that could be resumed."
            )
        found = cls(job, job.checkpoint_uri, None)
        uri = join(found.checkpoint_uri, DESCRIPTION_NAME)
        if not job.session.storage.exists(uri):
            return found
        with scratch_folder("dogbreed-checkpoint") as folder:
            path = folder / DESCRIPTION_NAME
            job.session.storage.download_file(uri, path)
            text = path.read_text(encoding="utf-8", errors="replace")
        try:
            described = json.loads(text)
            run, saved_by, epoch = RunIdentity.from_dict(described), str(described["job"]), int(described["epoch"])
        except (ValueError, KeyError, TypeError) as error:
            raise JobError(
                f"Training job {job.name} cannot be resumed: {uri} does not describe a checkpoint. Start a new "
                "training job."
            ) from error
        own = _identity(job)
        if saved_by not in ("", job.name) and compare(own, run).changes:
            raise JobError(
                f"Training job {saved_by} has since resumed the checkpoint of {job.name}, with {compare(own, run)}: "
                f"resume {saved_by} instead."
            )
        return cls(job, found.checkpoint_uri, run, epoch, saved_by)

    def check(self, hyperparameters: Mapping[str, object], dataset: BreedDataset) -> str:
        """Checks that a new job may resume this one.

        Args:
            hyperparameters: All hyperparameters of the new job.
            dataset: Its data set.

        Returns:
            A message that says where the new job resumes and what it changes.

        Raises:
            ConfigurationError: Its data or the shape of its model differ, or nothing is left to train.
        """
        name = self.job.name
        if self.run is None:
            return f"{name} has no checkpoint yet: training begins at epoch 1"
        values = {key: str(value) for key, value in hyperparameters.items()}
        comparison = compare(self.run, RunIdentity(values, dataset.fingerprint, dataset.classes))
        if comparison.conflicts:
            listed = "".join(f"\n  {conflict}" for conflict in comparison.conflicts)
            raise ConfigurationError(
                f"Training job {name} cannot be resumed with these settings:{listed}\nUse its settings, or omit resume "
                "to train from the beginning."
            )
        epochs = int(values["epochs"])
        if self.epoch > epochs or (self.epoch == epochs and comparison.changes):
            raise ConfigurationError(
                f"Training job {name} has already trained {counted(self.epoch, 'epoch')}, and epochs is {epochs}: "
                "nothing is left to train. Increase epochs."
            )
        changed = f", with {comparison}" if comparison.changes else ""
        return f"continues {name} after epoch {self.epoch}{changed}"


def _identity(job: TrainingJob) -> RunIdentity:
    try:
        return RunIdentity(validate(job.hyperparameters).to_dict())
    except ScriptError as error:
        raise JobError(f"Training job {job.name} cannot be resumed by this SDK's scripts: {error}") from error
