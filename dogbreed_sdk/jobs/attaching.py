"""Finds a job by its name, whatever its kind."""

from __future__ import annotations

from dogbreed_sdk.errors import JobError
from dogbreed_sdk.jobs.job import is_unknown
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.transform_job import TransformJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.session import Session

_Kind = type[TrainingJob] | type[TuningJob] | type[TransformJob]


class OtherKindError(JobError):
    """The job exists, but is of a kind that does not fit."""


def attach(name: str, *, session: Session | None = None) -> TrainingJob | TuningJob | TransformJob:
    """Finds a training, tuning or batch transform job by its name, from any process.

    Jobs of different kinds may share a name: the first found of a training, a tuning and a transform job is returned.

    Args:
        name: Name of the job.
        session: The session that the job belongs to. Default: `Session.default()`.

    Raises:
        JobError: No job of these kinds has the name, or SageMaker refused.

    Examples:
        >>> attach(job.name, session=session).status
        'Completed'
    """
    session = session or Session.default()
    kinds: tuple[_Kind, ...] = (TrainingJob, TuningJob, TransformJob)
    for kind in kinds:
        job = kind(name, session)
        try:
            job.describe()
        except JobError as error:
            if not is_unknown(error):
                raise
        else:
            return job
    raise JobError(
        f"No training, tuning or transform job named {name} exists in {session!r}. 'dogbreed jobs' lists the jobs."
    )


def attach_with_model(name: str, session: Session | None) -> TrainingJob | TuningJob:
    """Finds a training or tuning job, as `attach` does.

    Raises:
        JobError: The job does not exist, or is a transform job.
    """
    job = attach(name, session=session)
    if isinstance(job, TransformJob):
        raise OtherKindError(
            f"{name} is a transform job, which has neither a model nor a report: pass the training job whose "
            f"model it used. 'dogbreed logs {name}' shows its log, TransformJob({name!r}, session).predictions() its "
            "predictions."
        )
    return job
