"""Finds a job of any kind by its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dogbreed_sdk.errors import JobError
from dogbreed_sdk.jobs.job import is_unknown
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.transform_job import TransformJob
from dogbreed_sdk.jobs.tuning_job import TuningJob

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session


def attach(name: str, session: Session) -> TrainingJob | TuningJob | TransformJob:
    """Finds a training, tuning or transform job; if several have the name, the first of these kinds.

    Raises:
        JobError: The job does not exist.
    """
    for kind in (TrainingJob, TuningJob, TransformJob):
        job = kind(name, session)
        try:
            job.describe()
        except JobError as error:
            if not is_unknown(error):
                raise
        else:
            return job
    raise JobError(f"The job {name} does not exist in {session!r}. 'dogbreed jobs' lists the jobs.")
