"""Finds a job by its name, whatever its kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from dogbreed_sdk.errors import JobError
from dogbreed_sdk.jobs.job import Job, is_unknown
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.transform_job import TransformJob
from dogbreed_sdk.jobs.tuning_job import TuningJob

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session


class OtherKindError(JobError):
    """The job exists, but is of a kind that does not fit."""


def attach(name: str, session: Session) -> TrainingJob | TuningJob | TransformJob:
    """Finds a training, tuning or transform job; if several have the name, the first of these kinds.

    Raises:
        JobError: The job does not exist.
    """
    found = _found(name, session, (TrainingJob, TuningJob, TransformJob))
    return cast("TrainingJob | TuningJob | TransformJob", found)


def attach_with_model(name: str, session: Session) -> TrainingJob | TuningJob:
    """Finds a training or tuning job; if both have the name, the training job.

    Raises:
        JobError: The job does not exist, or is a transform job.
    """
    found = _found(name, session, (TrainingJob, TuningJob, TransformJob))
    if isinstance(found, TransformJob):
        raise OtherKindError(
            f"{name} is a transform job, which has neither a model nor a report: pass the training job whose "
            f"model it used. 'dogbreed logs {name}' shows its log, TransformJob({name!r}, session).predictions() its "
            "predictions."
        )
    return cast("TrainingJob | TuningJob", found)


def _found(name: str, session: Session, kinds: Sequence[type[Job]]) -> Job:
    for kind in kinds:
        job = kind(name, session)
        try:
            job.describe()
        except JobError as error:
            if not is_unknown(error):
                raise
        else:
            return job
    raise JobError(f"The job {name} does not exist in {session!r}. 'dogbreed jobs' lists the jobs.")
