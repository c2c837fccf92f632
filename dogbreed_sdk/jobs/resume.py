"""Continuing a training job with another one: what its checkpoint belongs to, and what the new job may change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.errors import ConfigurationError, JobError
from dogbreed_sdk.jobs.training_job import FINAL_STATUSES, TrainingJob, computes_features
from training_scripts import ScriptError
from training_scripts.training.hyperparameters import validate
from training_scripts.training.resume import DESCRIPTION_NAME, RunIdentity, compare

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.dataset import BreedDataset


@dataclass(frozen=True)
class Continuation:
    """A job's checkpoint, to be continued by another job.

    Attributes:
        job: The job.
        checkpoint_uri: Folder of its checkpoint.
        run: What the checkpoint belongs to; None where the job has not saved any.
        epoch: How many epochs it has.
        saved_by: The job that saved it last; an empty string where that is not known.
    """

    job: TrainingJob
    checkpoint_uri: str
    run: RunIdentity | None
    epoch: int = 0
    saved_by: str = ""

    @classmethod
    def of(cls, job: TrainingJob) -> Continuation:
        """Reads what a job's checkpoint belongs to.

        Raises:
            JobError: There is no such job, it is still running, computed features, or keeps no checkpoints; or another
                job has continued its checkpoint with other settings.
        """
        status = job.status
        if status not in FINAL_STATUSES:
            raise JobError(f"Training job {job.name} is {status}; wait for its end, or stop it, before continuing it.")
        if computes_features(job.describe()):
            raise JobError(
                f"Training job {job.name} computed features, which further jobs find by themselves; it trained nothing "
                "that could be continued."
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
                f"Training job {job.name} cannot be continued: {uri} does not describe a checkpoint. Train from the "
                "beginning."
            ) from error
        own = _identity(job)
        if saved_by not in ("", job.name) and compare(own, run).changes:
            raise JobError(
                f"The checkpoint of training job {job.name} has been continued by {saved_by} since, with "
                f"{compare(own, run)}: continue {saved_by} instead."
            )
        return cls(job, found.checkpoint_uri, run, epoch, saved_by)

    def check(self, hyperparameters: Mapping[str, object], dataset: BreedDataset) -> str:
        """What to say about a job that continues this one.

        Args:
            hyperparameters: The new job's, all of them.
            dataset: Its data set.

        Raises:
            ConfigurationError: It has other data or another shape of model, or nothing is left to train.
        """
        name = self.job.name
        if self.run is None:
            return f"{name} has no checkpoint yet: training begins at epoch 1"
        values = {key: str(value) for key, value in hyperparameters.items()}
        comparison = compare(self.run, RunIdentity(values, dataset.fingerprint, dataset.classes))
        if comparison.conflicts:
            listed = "".join(f"\n  {conflict}" for conflict in comparison.conflicts)
            raise ConfigurationError(
                f"Training job {name} cannot be continued like this:{listed}\nGive what it had, or leave resume out to "
                "train from the beginning."
            )
        epochs = int(values["epochs"])
        if self.epoch > epochs or (self.epoch == epochs and comparison.changes):
            raise ConfigurationError(
                f"Training job {name} has trained {self.epoch} epochs already, and epochs is {epochs}: nothing is left "
                "to train. Give more epochs."
            )
        changed = f", with {comparison}" if comparison.changes else ""
        return f"continues {name} after epoch {self.epoch}{changed}"


def _identity(job: TrainingJob) -> RunIdentity:
    try:
        return RunIdentity(validate(job.hyperparameters).to_dict())
    except ScriptError as error:
        raise JobError(f"Training job {job.name} cannot be continued by this SDK's scripts: {error}") from error
