"""The command ``deploy``: a job's model becomes an endpoint of any kind."""

from __future__ import annotations

import argparse

from dogbreed_sdk import defaults
from dogbreed_sdk.aws.requests.autoscaling import Autoscaling
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, job_progress, note, say
from dogbreed_sdk.cli.shared_options import add_capture, add_own_code, add_serving, data_capture, refuse_stray
from dogbreed_sdk.endpoints import left_behind
from dogbreed_sdk.endpoints.kinds import Asynchronous, Serverless
from dogbreed_sdk.jobs.attaching import attach_with_model
from dogbreed_sdk.jobs.tuning_job import TuningJob

_SERVERLESS = ("serverless_memory_mb", "max_concurrency", "provisioned_concurrency")
_ASYNCHRONOUS = ("output_uri", "failure_uri", "max_concurrent_invocations", "success_topic", "error_topic")

# The targets of autoscaling, and what they are.
_TARGETS = {
    "invocations_per_instance": "target: requests per instance and minute",
    "concurrent_requests": "target: requests that an instance works on at the same time",
    "backlog_per_instance": "target: waiting requests per instance of an asynchronous endpoint",
    "provisioned_utilization": "target: used share of a serverless endpoint's provisioned concurrency, 0.1 to 0.9",
}


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed deploy``."""
    command.add_argument("job", metavar="JOB", help="a training job, or a tuning job for its best model")
    command.add_argument("--name", help="name of the endpoint (default: generated)")
    command.add_argument("--no-wait", action="store_true", help="return as soon as SageMaker creates the endpoint")
    add_serving(command)
    add_own_code(command)
    command.add_argument(
        "--ttl",
        metavar="TIME",
        help="delete the endpoint after this time: 90min, 2h, 1d; on AWS at least 15min, and that needs a scheduler "
        "role, otherwise 'dogbreed cleanup --expired' does it",
    )
    command.add_argument(
        "--scheduler-role",
        metavar="ARN",
        help="role that EventBridge Scheduler may assume to delete the endpoint (default: $DOGBREED_SCHEDULER_ROLE)",
    )
    _add_instances(command.add_argument_group("on instances, which cost money every hour"))
    _add_serverless(command.add_argument_group("serverless, which costs nothing while it is idle"))
    _add_asynchronous(command.add_argument_group("asynchronous, with requests and responses on S3"))
    _add_autoscaling(command.add_argument_group("autoscaling, by one of four targets"))
    add_capture(command.add_argument_group("data capture, for a look at requests later"))


def _add_instances(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--instance-type",
        metavar="TYPE",
        help=f"instance type on AWS (default: {defaults.SERVING_INSTANCE_TYPE})",
    )
    group.add_argument("--instance-count", type=at_least_one, default=1, metavar="N", help="(default: %(default)s)")
    group.add_argument("--volume-size-gb", type=at_least_one, metavar="GB", help="size of each instance's volume")
    group.add_argument(
        "--download-timeout", type=at_least_one, metavar="SECONDS", help="for downloading and unpacking the model"
    )
    group.add_argument(
        "--startup-timeout", type=at_least_one, metavar="SECONDS", help="until the container must be healthy"
    )


def _add_autoscaling(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--max-instances", type=at_least_one, metavar="N", help="scale, to this number at most")
    group.add_argument("--min-instances", type=int, metavar="N", help="number that always runs (default: 1)")
    for name, meaning in _TARGETS.items():
        group.add_argument(f"--{name.replace('_', '-')}", type=float, metavar="X", help=meaning)


def _add_serverless(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--serverless-memory-mb", type=int, metavar="MB", help="make the endpoint serverless, with this memory"
    )
    group.add_argument(
        "--max-concurrency",
        type=at_least_one,
        metavar="N",
        help=f"requests processed at the same time (default: {defaults.SERVERLESS_CONCURRENCY})",
    )
    group.add_argument(
        "--provisioned-concurrency", type=at_least_one, metavar="N", help="of them kept warm, and paid for by the hour"
    )


def _add_asynchronous(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--asynchronous", action="store_true", help="make the endpoint asynchronous")
    group.add_argument("--output-uri", metavar="URI", help="folder for responses (default: in the session's bucket)")
    group.add_argument("--failure-uri", metavar="URI", help="folder for failures (default: below that for responses)")
    group.add_argument(
        "--max-concurrent-invocations", type=at_least_one, metavar="N", help="requests an instance processes at a time"
    )
    group.add_argument("--success-topic", metavar="ARN", help="SNS topic that is notified of responses")
    group.add_argument("--error-topic", metavar="ARN", help="SNS topic that is notified of failures")


def run(options: argparse.Namespace) -> Outcome:
    """Deploys a job's model."""
    serverless, asynchronous, capture = _serverless(options), _asynchronous(options), data_capture(options)
    note(f"Deploying the model of {options.job} …")
    with read.sagemaker(options) as session, job_progress("endpoint") as progress:
        job = attach_with_model(options.job, session)
        model = job.best.job if isinstance(job, TuningJob) else job
        made = model.deploy(
            endpoint_name=options.name,
            instance_type=options.instance_type,
            instance_count=options.instance_count,
            serverless=serverless,
            asynchronous=asynchronous,
            data_capture=capture,
            autoscaling=_autoscaling(options),
            image_uri=options.image_uri,
            framework_version=options.framework_version,
            environment=dict(options.environment),
            entry_point=options.entry_point,
            source_dir=options.source_dir,
            network_isolation=options.network_isolation,
            volume_size_gb=options.volume_size_gb,
            download_timeout=options.download_timeout,
            startup_timeout=options.startup_timeout,
            tags=dict(options.tags),
            ttl=options.ttl,
            scheduler_role=options.scheduler_role,
            wait=not options.no_wait,
            progress=progress,
        )
        name, status = made.endpoint_name, made.status
        price = left_behind.usd_per_hour(session, name)
        expires_at, is_scheduled = left_behind.expiry(session, name)
        left_behind.forget(session, name)  # it is meant to outlive this program
        document = {
            "name": name,
            "endpoint": name,
            "kind": _kind(options),
            "status": status,
            "job": model.name,
            "model_uri": model.model_uri,
            "usd_per_hour": price,
            "expires_at": expires_at,
        }
    serves = "serves" if status == "InService" else f"is {status}; it will serve"
    lines = [f"endpoint {name} {serves} the model of {model.name}"]
    if options.aws and price != 0.0:
        cost = "money" if price is None else f"{price:.3f} USD"
        lines.append(f"it costs {cost} every hour until it is deleted")
    if expires_at is not None:
        lines.append(_expiry(options, expires_at, is_scheduled))
    return Outcome(document, say(*lines, f"to delete it: {command_line(options, 'delete', name)}"))


def _kind(options: argparse.Namespace) -> str:
    if options.serverless_memory_mb is not None:
        return "serverless"
    return "asynchronous" if options.asynchronous else "real-time"


def _expiry(options: argparse.Namespace, expires_at: str, is_scheduled: bool) -> str:
    """What happens when the endpoint expires."""
    if is_scheduled:
        return f"it expires at {expires_at}; {'AWS' if options.aws else 'local SageMaker'} deletes it then"
    command = command_line(options, "cleanup", "--expired")
    return f"it expires at {expires_at}, but nothing deletes it then by itself; run this later: {command}"


def _serverless(options: argparse.Namespace) -> Serverless | None:
    if options.serverless_memory_mb is None:
        refuse_stray(options, _SERVERLESS, "--serverless-memory-mb")
        return None
    return Serverless(
        options.serverless_memory_mb,
        max_concurrency=options.max_concurrency or defaults.SERVERLESS_CONCURRENCY,
        provisioned_concurrency=options.provisioned_concurrency,
    )


def _asynchronous(options: argparse.Namespace) -> Asynchronous | None:
    if not options.asynchronous:
        refuse_stray(options, _ASYNCHRONOUS, "--asynchronous")
        return None
    return Asynchronous(**{name: getattr(options, name) for name in _ASYNCHRONOUS})


def _autoscaling(options: argparse.Namespace) -> Autoscaling | None:
    if options.max_instances is None:
        refuse_stray(options, ("min_instances", *_TARGETS), "--max-instances")
        return None
    least = 1 if options.min_instances is None else options.min_instances
    return Autoscaling(least, options.max_instances, **{name: getattr(options, name) for name in _TARGETS})
