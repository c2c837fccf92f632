"""The commands ``logs``, ``stop`` and ``delete``: what is done with a job or endpoint that exists."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.output import ENDED, Outcome, confirm, say
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.errors import ConfigurationError, EndpointNotFoundError, JobError
from dogbreed_sdk.jobs.attaching import attach
from dogbreed_sdk.jobs.job import Job
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.transform_job import TransformJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.session import Session
from training_scripts._util.number_text import counted
from training_scripts._util.safe_text import safe_lines, without_secrets

_KINDS: Mapping[type[Job], str] = {TrainingJob: "training", TuningJob: "tuning", TransformJob: "transform"}


def add_logs(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed logs``."""
    command.add_argument("job", metavar="JOB", help="a training job, a trial of a tuning job, or a transform job")
    command.add_argument("-f", "--follow", action="store_true", help="keep printing until the job ends")


def logs(options: argparse.Namespace) -> Outcome:
    """Prints a job's log."""
    with read.sagemaker(options) as session:
        job = attach(options.job, session=session)
        if isinstance(job, TuningJob):
            names = ", ".join(trial.name for trial in job.trials()[-3:])
            raise ConfigurationError(f"{job.name} is a tuning job; print the log of a trial. The latest are {names}.")
        lines = job.logs(follow=options.follow)
        if options.json:
            return Outcome({"name": job.name, "lines": [without_secrets(line) for line in lines]}, say())
        for line in lines:
            print(safe_lines(line), flush=options.follow)
        return Outcome(None, say(), quiet=True)


def add_stop(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed stop``."""
    command.add_argument("job", metavar="JOB", help="a training, tuning or transform job")


def stop(options: argparse.Namespace) -> Outcome:
    """Stops a job, if it has not ended."""
    with read.sagemaker(options) as session:
        job = attach(options.job, session=session)
        status = job.status
        if status in ENDED:
            text = f"{job.name} has ended ({status}): there is nothing to stop"
            return Outcome({"name": job.name, "status": status}, say(text))
        job.stop()
        status = job.status
    return Outcome({"name": job.name, "status": status}, say(f"{job.name}: {status}"))


def add_delete(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed delete``."""
    command.add_argument("name", metavar="NAME", help="name of the endpoint or job")
    command.add_argument("--job", action="store_true", help="delete the job, even if an endpoint has the same name")
    command.add_argument("--yes", action="store_true", help="delete a job without asking for confirmation")


def delete(options: argparse.Namespace) -> Outcome:
    """Deletes an endpoint with its configuration and model, or a job with its files."""
    with read.sagemaker(options) as session:
        if options.job:
            return _delete_job(options, attach(options.name, session=session))
        found = Deployment(options.name, session)
        try:
            status = found.status
        except EndpointNotFoundError as error:
            job = _job_or_none(options.name, session)
            if job is None:
                found.delete()  # configuration and model may be left of an endpoint that is gone
                raise EndpointNotFoundError(f"{error} There is no job of that name either.") from error
            return _delete_job(options, job)
        found.delete()
    return Outcome({"deleted": options.name, "was": status}, say(f"deleted endpoint {options.name}; it was {status}"))


def _job_or_none(name: str, session: Session) -> TrainingJob | TuningJob | TransformJob | None:
    try:
        return attach(name, session=session)
    except JobError:
        return None


def _delete_job(options: argparse.Namespace, job: TrainingJob | TuningJob | TransformJob) -> Outcome:
    status, sizes = job.status, job.stored_sizes()
    trials = f" and its {counted(len(job.trials()), 'training job')}" if isinstance(job, TuningJob) else ""
    what = f"{_KINDS[type(job)]} job {job.name}{trials} with {counted(len(sizes), 'file')} ({amount(sum(sizes))})"
    if not options.yes:
        confirm(f"Delete {what}?", otherwise="--yes")
    job.delete()
    document = {"deleted": job.name, "was": status, "files": len(sizes), "bytes": sum(sizes)}
    return Outcome(document, say(f"deleted {what}; it was {status}"))
