"""The command ``transform``: classifies many pictures in a batch transform job, without an endpoint."""

from __future__ import annotations

import argparse

from dogbreed_sdk import defaults
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.models import add_labels
from dogbreed_sdk.cli.output import Outcome, job_progress, say
from dogbreed_sdk.cli.shared_options import add_serving
from dogbreed_sdk.errors import ConfigurationError, JobError, JobFailedError, JobStoppedError
from dogbreed_sdk.jobs.attaching import attach, attach_with_model
from dogbreed_sdk.jobs.job import is_unknown
from dogbreed_sdk.jobs.transform_job import TransformJob
from dogbreed_sdk.predictions import Prediction
from dogbreed_sdk.session import Session
from training_scripts._util.number_text import counted

_SHOWN_FAILURES = 10


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed transform``."""
    command.add_argument(
        "job",
        metavar="JOB",
        help="a training job, or a tuning job for its best model; without PICTURES an earlier transform job, whose "
        "predictions are printed once it has ended",
    )
    command.add_argument(
        "pictures",
        nargs="*",
        metavar="PICTURES",
        help="a folder, a data set, or pictures, which are uploaded; or the s3:// URI of a folder with pictures",
    )
    command.add_argument("--split", metavar="NAME", help="the split of the data set: train, valid or test")
    command.add_argument("--name", help="name of the transform job (default: generated)")
    command.add_argument("--no-wait", action="store_true", help="return as soon as the job has started")
    command.add_argument("--output-uri", metavar="URI", help="folder for outputs (default: in the session's bucket)")
    command.add_argument(
        "--instance-type",
        metavar="TYPE",
        default=defaults.TRANSFORM_INSTANCE_TYPE,
        help="instance type on AWS (default: %(default)s)",
    )
    command.add_argument("--instance-count", type=at_least_one, default=1, metavar="N", help="(default: %(default)s)")
    command.add_argument(
        "--max-concurrency", type=at_least_one, metavar="N", help="requests sent to an instance at the same time"
    )
    command.add_argument(
        "--max-payload-mb", type=at_least_one, metavar="MB", help="size of the largest picture (default: measured)"
    )
    add_serving(command)
    command.add_argument(
        "--top-k", type=at_least_one, default=5, metavar="N", help="number of classes to rank (default: %(default)s)"
    )
    add_labels(command)


def run(options: argparse.Namespace) -> Outcome:
    """Classifies pictures; a picture that fails does not stop the others."""
    labels = read.labels(options.labels)
    with read.sagemaker(options) as session, job_progress("transform") as progress:
        job = _start(options, session) if options.pictures else _earlier(options, session)
        if options.no_wait:
            return _started(options, job)
        try:
            job.wait(progress=progress)
        except (JobFailedError, JobStoppedError):
            if not job.has_outputs:
                raise
        return _ended(options, job, list(job.predictions(labels=labels, top_k=options.top_k, on_error="return")))


def _start(options: argparse.Namespace, session: Session) -> TransformJob:
    return attach_with_model(options.job, session).transform(
        options.pictures[0] if len(options.pictures) == 1 else options.pictures,
        split=options.split,
        name=options.name,
        output_uri=options.output_uri,
        instance_type=options.instance_type,
        instance_count=options.instance_count,
        max_concurrency=options.max_concurrency,
        max_payload_mb=options.max_payload_mb,
        image_uri=options.image_uri,
        framework_version=options.framework_version,
        environment=dict(options.environment),
        network_isolation=options.network_isolation,
        tags=dict(options.tags),
    )


def _earlier(options: argparse.Namespace, session: Session) -> TransformJob:
    """The transform job to print the predictions of.

    Raises:
        ConfigurationError: It is a job that has a model, or an option would be ignored.
    """
    stray = next((name for name in ("split", "name", "output_uri") if getattr(options, name) is not None), None)
    if stray is not None:
        raise ConfigurationError(f"--{stray.replace('_', '-')} is for a new transform job: pass PICTURES to classify.")
    job = TransformJob(options.job, session)
    try:
        job.describe()
    except JobError as error:
        if not is_unknown(error):
            raise
        attach(options.job, session=session)  # raises the error that fits if the job does not exist
        raise ConfigurationError(
            f"{options.job} is not a transform job. Pass PICTURES to classify with its model."
        ) from error
    return job


def _started(options: argparse.Namespace, job: TransformJob) -> Outcome:
    further = [command_line(options, "logs", "-f", job.name), command_line(options, "transform", job.name)]
    document = {"name": job.name, "status": job.status, "output_uri": job.output_uri, "next": further}
    return Outcome(
        document,
        say(
            f"{job.name} is running; to follow it: {further[0]}",
            f"its predictions once it has ended: {further[1]}",
            f"outputs: {job.output_uri}",
        ),
    )


def _ended(options: argparse.Namespace, job: TransformJob, results: list[tuple[str, object]]) -> Outcome:
    rows = [
        {"picture": name, **(result.to_dict() if isinstance(result, Prediction) else {"error": str(result)})}
        for name, result in results
    ]
    failed = [str(result) for _, result in results if not isinstance(result, Prediction)]
    document = {
        "name": job.name,
        "status": job.status,
        "output_uri": job.output_uri,
        "failed": len(failed),
        "predictions": rows,
    }
    lines = [f"{name}  {result}" for name, result in results if isinstance(result, Prediction)]
    lines += failed[:_SHOWN_FAILURES]
    if len(failed) > _SHOWN_FAILURES:
        lines.append(f"and {len(failed) - _SHOWN_FAILURES:,} more without a prediction; --json prints all of them")
    classified = f"{len(rows) - len(failed):,} of {counted(len(rows), 'picture')} classified"
    lines += [
        f"{job.name}: {classified}; outputs: {job.output_uri}",
        f"to delete its files: {command_line(options, 'delete', job.name)}",
    ]
    return Outcome(document, say(*lines), exit_code=1 if failed else 0)
