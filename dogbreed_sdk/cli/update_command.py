"""The command ``update``: a job's model replaces that of an endpoint, without downtime."""

from __future__ import annotations

import argparse

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import assignment, at_least_one
from dogbreed_sdk.cli.output import Outcome, job_progress, say
from dogbreed_sdk.cli.shared_options import add_capture, add_own_code, data_capture
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.jobs.attaching import attach_with_model
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.session import Session


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed update``."""
    command.add_argument("endpoint", metavar="ENDPOINT", help="name of the endpoint")
    command.add_argument(
        "job", metavar="JOB", help="a training job, a tuning job for its best model, or the URI of a model.tar.gz"
    )
    command.add_argument("--instance-type", metavar="TYPE", help="another instance type (default: unchanged)")
    command.add_argument(
        "--instance-count", type=at_least_one, metavar="N", help="another number of instances (default: unchanged)"
    )
    command.add_argument("--image-uri", metavar="URI", help="another serving image (default: unchanged)")
    command.add_argument(
        "--environment",
        type=assignment,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an environment variable of the model server to add or replace; can be repeated",
    )
    add_own_code(command)
    add_capture(command.add_argument_group("data capture, for a look at requests later"))


def run(options: argparse.Namespace) -> Outcome:
    """Replaces an endpoint's model."""
    capture = data_capture(options)
    with read.sagemaker(options) as session, job_progress("endpoint") as progress:
        model_uri = options.job if "://" in options.job else _job(options.job, session).model_uri
        Deployment(options.endpoint, session).update(
            model_uri,
            instance_type=options.instance_type,
            instance_count=options.instance_count,
            image_uri=options.image_uri,
            environment=dict(options.environment),
            entry_point=options.entry_point,
            source_dir=options.source_dir,
            data_capture=capture,
            progress=progress,
        )
    document = {"name": options.endpoint, "endpoint": options.endpoint, "model_uri": model_uri}
    return Outcome(document, say(f"endpoint {options.endpoint} serves {model_uri}"))


def _job(name: str, session: Session) -> TrainingJob:
    job = attach_with_model(name, session)
    return job.best.job if isinstance(job, TuningJob) else job
