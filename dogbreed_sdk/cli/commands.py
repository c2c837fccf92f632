"""Every command, with its line in the help and the function that loads it; `parser.py` makes the parser of them.

To add a command: write a module with a function that takes the options and returns an `output.Outcome`, and one that
adds the command's arguments; a function here that loads the two; and one `Command` in `COMMANDS`. Help, completion,
suggestions for misspelled names, and the options that all commands share (``--json``, ``--debug``, ``--root``,
``--aws`` …) follow from that. ``completion_command.py`` is a small example.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from dogbreed_sdk.cli.output import Outcome


def _no_arguments(_command: argparse.ArgumentParser) -> None:
    """For commands that have only the common options."""


class Work(NamedTuple):
    """What a command's modules hold.

    Attributes:
        run: Does the work.
        add_arguments: Adds the command's own arguments.
    """

    run: Callable[[argparse.Namespace], Outcome]
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: What people type.
        summary: One line for the help, beginning with a verb.
        load: Imports the command's modules, which takes time, and returns what they hold.
        example: A line to copy, for the help and the documentation.
        where: The options that it has for the place of SageMaker: ``--root`` of local SageMaker, those of AWS.
    """

    name: str
    summary: str
    load: Callable[[], Work]
    example: str
    where: Sequence[Literal["local", "aws"]] = ("local", "aws")


@dataclass(frozen=True)
class CommandGroup:
    """Commands below a common name, such as ``dogbreed data sample`` and ``dogbreed data check``.

    Attributes:
        name: The common name.
        summary: One line for the help, beginning with a verb.
        commands: The commands.
    """

    name: str
    summary: str
    commands: Sequence[Command]


def _quickstart() -> Work:
    from dogbreed_sdk.cli import quickstart

    return Work(quickstart.run, quickstart.add)


def _doctor() -> Work:
    from dogbreed_sdk.cli import doctor_command

    return Work(doctor_command.run, doctor_command.add)


def _data_sample() -> Work:
    from dogbreed_sdk.cli import data_commands

    return Work(data_commands.sample, data_commands.add_sample)


def _data_download() -> Work:
    from dogbreed_sdk.cli import data_commands

    return Work(data_commands.download, data_commands.add_download)


def _data_check() -> Work:
    from dogbreed_sdk.cli import data_commands

    return Work(data_commands.check, data_commands.add_check)


def _data_review() -> Work:
    from dogbreed_sdk.cli import review_command

    return Work(review_command.run, review_command.add)


def _data_split() -> Work:
    from dogbreed_sdk.cli import data_commands

    return Work(data_commands.split, data_commands.add_split)


def _data_pack() -> Work:
    from dogbreed_sdk.cli import data_commands

    return Work(data_commands.pack, data_commands.add_pack)


def _data_unpack() -> Work:
    from dogbreed_sdk.cli import data_commands

    return Work(data_commands.unpack, data_commands.add_unpack)


def _data_convert() -> Work:
    from dogbreed_sdk.cli import data_commands

    return Work(data_commands.convert, data_commands.add_convert)


def _tune() -> Work:
    from dogbreed_sdk.cli import training_commands

    return Work(training_commands.tune, training_commands.add_tune)


def _train() -> Work:
    from dogbreed_sdk.cli import training_commands

    return Work(training_commands.train, training_commands.add_train)


def _plan() -> Work:
    from dogbreed_sdk.cli import plan_command

    return Work(plan_command.run, plan_command.add)


def _jobs() -> Work:
    from dogbreed_sdk.cli import list_commands

    return Work(list_commands.jobs, list_commands.add_jobs)


def _logs() -> Work:
    from dogbreed_sdk.cli import job_commands

    return Work(job_commands.logs, job_commands.add_logs)


def _report() -> Work:
    from dogbreed_sdk.cli import report_command

    return Work(report_command.run, report_command.add)


def _stop() -> Work:
    from dogbreed_sdk.cli import job_commands

    return Work(job_commands.stop, job_commands.add_stop)


def _deploy() -> Work:
    from dogbreed_sdk.cli import deploy_command

    return Work(deploy_command.run, deploy_command.add)


def _transform() -> Work:
    from dogbreed_sdk.cli import transform_command

    return Work(transform_command.run, transform_command.add)


def _endpoints() -> Work:
    from dogbreed_sdk.cli import list_commands

    return Work(list_commands.endpoints)


def _ls() -> Work:
    from dogbreed_sdk.cli import ls_command

    return Work(ls_command.run)


def _cleanup() -> Work:
    from dogbreed_sdk.cli import cleanup_command

    return Work(cleanup_command.run, cleanup_command.add)


def _update() -> Work:
    from dogbreed_sdk.cli import update_command

    return Work(update_command.run, update_command.add)


def _metrics() -> Work:
    from dogbreed_sdk.cli import metrics_command

    return Work(metrics_command.run, metrics_command.add)


def _monitor() -> Work:
    from dogbreed_sdk.cli import monitor_command

    return Work(monitor_command.run, monitor_command.add)


def _classify() -> Work:
    from dogbreed_sdk.cli import classify_command

    return Work(classify_command.run, classify_command.add)


def _evaluate() -> Work:
    from dogbreed_sdk.cli import evaluate_command

    return Work(evaluate_command.run, evaluate_command.add)


def _card() -> Work:
    from dogbreed_sdk.cli import card_command

    return Work(card_command.run, card_command.add)


def _explain() -> Work:
    from dogbreed_sdk.cli import explain_command

    return Work(explain_command.run, explain_command.add)


def _serve() -> Work:
    from dogbreed_sdk.cli import serve_command

    return Work(serve_command.run, serve_command.add)


def _delete() -> Work:
    from dogbreed_sdk.cli import job_commands

    return Work(job_commands.delete, job_commands.add_delete)


def _local_up() -> Work:
    from dogbreed_sdk.cli import local_commands

    return Work(local_commands.up, local_commands.add_up)


def _local_env() -> Work:
    from dogbreed_sdk.cli import local_commands

    return Work(local_commands.env, local_commands.add_env)


def _local_run() -> Work:
    from dogbreed_sdk.cli import local_commands

    return Work(local_commands.run, local_commands.add_run)


def _local_interrupt() -> Work:
    from dogbreed_sdk.cli import interrupt_command

    return Work(interrupt_command.run, interrupt_command.add)


def _local_stop() -> Work:
    from dogbreed_sdk.cli import local_commands

    return Work(local_commands.stop)


def _completion() -> Work:
    from dogbreed_sdk.cli import completion_command

    return Work(completion_command.run, completion_command.add)


# Every command, in the order of the help.
COMMANDS: tuple[Command | CommandGroup, ...] = (
    Command(
        "quickstart",
        "go from data to a deployed model on this machine, step by step",
        _quickstart,
        where=("local",),
        example="dogbreed quickstart --data ./flowers",
    ),
    Command(
        "doctor",
        "check this machine, or an AWS account, before the first job",
        _doctor,
        example="dogbreed doctor --aws --instance-type ml.g5.xlarge",
    ),
    CommandGroup(
        "data",
        "make, download, check, review, split, convert and pack data sets",
        (
            Command(
                "sample",
                "draw a small data set of dogs",
                _data_sample,
                where=(),
                example="dogbreed data sample dogs --breeds 4",
            ),
            Command(
                "download",
                "download a data set from the web",
                _data_download,
                where=(),
                example="dogbreed data download dogImages",
            ),
            Command(
                "check",
                "look for problems that would spoil training",
                _data_check,
                where=("aws",),
                example="dogbreed data check dogs",
            ),
            Command(
                "review",
                "find wrong labels, near-copies and outliers",
                _data_review,
                example="dogbreed data review dogs --html review.html",
            ),
            Command(
                "split",
                "split a folder of classes into train, valid and test",
                _data_split,
                where=("aws",),
                example="dogbreed data split pictures dogs --valid 0.2",
            ),
            Command(
                "convert",
                "convert a data set from a layout in which many are published",
                _data_convert,
                where=(),
                example="dogbreed data convert stanford dogs",
            ),
            Command(
                "pack",
                "pack a data set into tar shards or parquet files",
                _data_pack,
                where=(),
                example="dogbreed data pack dogs shards --format parquet",
            ),
            Command(
                "unpack",
                "write the pictures of shards as files",
                _data_unpack,
                where=(),
                example="dogbreed data unpack shards dogs",
            ),
        ),
    ),
    Command(
        "tune",
        "search for the best hyperparameters",
        _tune,
        example="dogbreed tune dogs --max-jobs 6 --max-parallel-jobs 2",
    ),
    Command("train", "train one model", _train, example="dogbreed train dogs --epochs 10 --lr 0.003"),
    Command(
        "plan",
        "show what a search and an endpoint cost on AWS",
        _plan,
        example="dogbreed plan --pictures 100000 --classes 1000",
    ),
    Command(
        "jobs", "list training, tuning and transform jobs, newest first", _jobs, example="dogbreed jobs --limit 10"
    ),
    Command("logs", "print a job's log", _logs, example="dogbreed logs JOB --follow"),
    Command(
        "report", "explain what went wrong in a recorded run", _report, example="dogbreed report JOB --html report.html"
    ),
    Command("stop", "stop a job; what it has produced so far is kept", _stop, example="dogbreed stop JOB"),
    Command("deploy", "deploy a job's model to an endpoint", _deploy, example="dogbreed deploy JOB --name dog-breeds"),
    Command(
        "transform",
        "classify many pictures in a batch job, without an endpoint",
        _transform,
        example="dogbreed transform JOB pictures",
    ),
    Command("endpoints", "list endpoints", _endpoints, example="dogbreed endpoints"),
    Command(
        "ls",
        "list everything that dogbreed created and that still exists, with its price per hour",
        _ls,
        example="dogbreed ls --aws",
    ),
    Command(
        "cleanup",
        "delete everything that dogbreed created, or what is old or has expired; nothing else",
        _cleanup,
        example="dogbreed cleanup --older-than 7d",
    ),
    Command(
        "update", "replace an endpoint's model, without downtime", _update, example="dogbreed update dog-breeds JOB"
    ),
    Command(
        "metrics",
        "show an endpoint's requests, errors and latencies",
        _metrics,
        example="dogbreed metrics dog-breeds --since 6h",
    ),
    Command(
        "monitor",
        "find out whether an endpoint's answers moved",
        _monitor,
        example="dogbreed monitor dog-breeds --data dogs",
    ),
    Command("classify", "classify pictures", _classify, example="dogbreed classify dog-breeds rex.jpg"),
    Command(
        "evaluate", "measure a model on labeled pictures", _evaluate, example="dogbreed evaluate dog-breeds dogs/test"
    ),
    Command(
        "card",
        "write the model card of a bundle: data, metrics by class, terms and limits",
        _card,
        example="dogbreed card JOB --html card.html --data-license 'CC BY 4.0'",
    ),
    Command(
        "explain",
        "show where in a picture an answer came from",
        _explain,
        example="dogbreed explain dog-breeds rex.jpg --output why.png",
    ),
    Command(
        "serve", "serve a model to apps and people over HTTP", _serve, example="dogbreed serve dog-breeds --port 8000"
    ),
    Command(
        "delete",
        "delete an endpoint with its configuration and model, or a job with its files",
        _delete,
        example="dogbreed delete dog-breeds",
    ),
    CommandGroup(
        "local",
        "run local SageMaker for notebooks, scripts and other programs",
        (
            Command(
                "up",
                "serve SageMaker's API, S3, STS and IAM in the foreground until Ctrl-C",
                _local_up,
                where=("local",),
                example="dogbreed local up --port 5000",
            ),
            Command(
                "env",
                "print the lines with which a shell uses the server that is up",
                _local_env,
                where=("local",),
                example="dogbreed local env --shell bash",
            ),
            Command(
                "run",
                "run a notebook, script or command against local SageMaker, unchanged",
                _local_run,
                where=("local",),
                example="dogbreed local run notebook.ipynb",
            ),
            Command(
                "interrupt",
                "interrupt a job's spot instance, to test how its script resumes",
                _local_interrupt,
                where=("local",),
                example="dogbreed local interrupt JOB",
            ),
            Command(
                "stop",
                "end the server that is up; jobs and endpoints continue",
                _local_stop,
                where=("local",),
                example="dogbreed local stop",
            ),
        ),
    ),
    Command(
        "completion",
        "print a script that enables completion with the Tab key",
        _completion,
        where=(),
        example="dogbreed completion bash",
    ),
)
