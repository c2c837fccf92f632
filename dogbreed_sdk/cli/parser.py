"""The grammar of the command line: every command, with its help, its arguments and the function that runs it.

To add a command: write a function that takes the options and returns an `output.Outcome`, a function that adds the
command's arguments, and one `Command` in `COMMANDS` at the end of this module. Help, completion, suggestions for
misspelled names, and the options that all commands share (``--json``, ``--debug``, ``--root``, ``--aws`` …) follow from
that. ``completion_command.py`` is a small example.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import dogbreed_sdk
from dogbreed_sdk import defaults
from dogbreed_sdk.cli import (
    classify_command,
    cleanup_command,
    commands,
    completion_command,
    data_commands,
    deploy_command,
    doctor_command,
    evaluate_command,
    explain_command,
    interrupt_command,
    local_commands,
    ls_command,
    metrics_command,
    models,
    monitor_command,
    plan_command,
    quickstart,
    report_command,
    review_command,
    serve_command,
    training_options,
    transform_command,
    update_command,
)
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one, data_place, one_of
from dogbreed_sdk.cli.output import Outcome
from dogbreed_sdk.cli.shared_options import add_environment
from dogbreed_sdk.cli.usage import Parser, refuse_unknown, respelled
from dogbreed_sdk.datasets.dataset import DOG_BREEDS_URL
from dogbreed_sdk.jobs import search_ranges
from dogbreed_sdk.jobs.managed_debugger import PROFILER_RULES, RULES
from training_scripts.data.split_folders import SPLITS
from training_scripts.training import hyperparameters
from training_scripts.training.parameters import write

FEATURES = ("stored", "in-job", "off")
# Hyperparameters that are arguments of `BreedTrainer`; each of the others is an option.
_TRAINER_OPTIONS = {"model", "weights", "views", "features", "hidden"}


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        name: What people type.
        summary: One line for the help, beginning with a verb.
        run: Does the work.
        add_arguments: Adds the command's own arguments.
        where: The options that it has for the place of SageMaker: ``--root`` of local SageMaker, those of AWS.
    """

    name: str
    summary: str
    run: Callable[[argparse.Namespace], Outcome]
    add_arguments: Callable[[argparse.ArgumentParser], None]
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


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; prints the help and ends the process if it is empty or asks for help.

    Raises:
        ConfigurationError: It is not valid; the message says why, and which help to read.
    """
    parser = make_parser()
    if not arguments:
        parser.print_help(sys.stderr)
        sys.exit(2)
    options, unknown = parser.parse_known_args(respelled(arguments, parser))
    if unknown:
        refuse_unknown(unknown, options.parser, parser)
    return options


def make_parser() -> Parser:
    """The whole grammar."""
    parser = Parser(
        prog="dogbreed",
        description="The whole life of an image classifier: check data, tune, train, deploy, classify, clean up.",
    )
    parser.add_argument("--version", action="version", version=f"dogbreed-sdk {dogbreed_sdk.__version__}")
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for entry in COMMANDS:
        if isinstance(entry, Command):
            _add_command(below, entry)
            continue
        group = below.add_parser(entry.name, help=entry.summary)
        below_group = group.add_subparsers(metavar="COMMAND", required=True)
        for command in entry.commands:
            _add_command(below_group, command)
    return parser


def _add_command(below: argparse._SubParsersAction[Parser], command: Command) -> None:
    """Adds a command, with the options that all commands share."""
    summary = command.summary
    parser = below.add_parser(command.name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.set_defaults(run=command.run, parser=parser, root=None, aws=False, **dict.fromkeys(read.OF_AWS))
    common = parser.add_argument_group("common options")
    common.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    common.add_argument("--debug", action="store_true", help="print the traceback of an error")
    if "local" in command.where:
        common.add_argument(
            "--root",
            type=Path,
            metavar="DIR",
            help="folder of local SageMaker (default: $DOGBREED_ROOT, or ~/.dogbreed)",
        )
    if "aws" in command.where:
        common.add_argument("--aws", action="store_true", help="use SageMaker on AWS instead of this machine")
        common.add_argument("--region", help="AWS region")
        common.add_argument("--profile", help="profile in the AWS configuration")
        common.add_argument("--role", help="IAM role that jobs and models assume (default: $DOGBREED_ROLE)")
        common.add_argument("--bucket", help="S3 bucket (default: $DOGBREED_BUCKET, or SageMaker's default bucket)")
        common.add_argument(
            "--kms-key", metavar="KEY", help="id, alias or ARN of the KMS key for uploads, results and disks"
        )
        common.add_argument(
            "--subnet",
            action="append",
            dest="subnets",
            metavar="ID",
            help="subnet in which jobs and models run; can be repeated",
        )
        common.add_argument(
            "--security-group",
            action="append",
            dest="security_groups",
            metavar="ID",
            help="with --subnet: its security group; can be repeated",
        )
    command.add_arguments(parser)


def _no_arguments(_command: argparse.ArgumentParser) -> None:
    """For commands that have only the common options."""


# ------------------------------------------------------------------ data sets


def _sample_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, metavar="DIR", help="the folder to create")
    command.add_argument("--breeds", type=int, default=8, metavar="N", help="number of classes (default: %(default)s)")
    command.add_argument(
        "--per-breed", type=int, default=36, metavar="N", help="pictures per class (default: %(default)s)"
    )
    command.add_argument(
        "--seed", type=int, default=0, help="the same seed draws the same pictures (default: %(default)s)"
    )


def _download_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "url",
        nargs="?",
        default=DOG_BREEDS_URL,
        metavar="URL",
        help="http:// or https:// URL of a zip or tar archive (default: 8,351 pictures of 133 dog breeds, 1.1 GB)",
    )
    command.add_argument(
        "dest", type=Path, metavar="DEST", help="the folder to create; an interrupted download is resumed"
    )
    command.add_argument("--sha256", metavar="HEX", help="expected SHA-256 of the archive, 64 hexadecimal digits")


def _check_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder",
        type=data_place,
        metavar="DIR",
        help="the data set: contains train, valid and test, or one folder per class; a path or an s3:// URI",
    )


def _split_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder",
        type=data_place,
        metavar="DIR",
        help="contains one folder per class, or some of the splits; a path or an s3:// URI",
    )
    _split_options(command)
    command.add_argument("--from-train", action="store_true", help="make the missing splits out of train")


def _convert_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", type=Path, metavar="DIR", help="the unpacked download; 'data check' recognizes its layout"
    )
    _split_options(command)
    command.add_argument("--labels", type=Path, metavar="CSV", help="the table that lists pictures and their classes")
    for name in SPLITS:
        command.add_argument(f"--{name}-folder", metavar="NAME", help=f"the folder in DIR that holds the {name} split")


def _split_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "dest", type=Path, metavar="DEST", help="the folder to create; files are linked where possible"
    )
    for name in ("valid", "test"):
        command.add_argument(
            f"--{name}",
            type=float,
            default=0.15,
            metavar="SHARE",
            help=f"share of the pictures for {name} if it is missing, 0 to 1 (default: %(default)s)",
        )
    command.add_argument(
        "--seed", type=int, default=0, help="the same seed makes the same split (default: %(default)s)"
    )


# ------------------------------------------------------------------ tuning and training


def _quickstart_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--data", type=Path, metavar="DIR", help="your data set (default: drawings of dogs)")


def _tune_arguments(command: argparse.ArgumentParser) -> None:
    _job_arguments(command)
    _search_options(command)
    _trainer_options(command, "hpo")


def _plan_arguments(command: argparse.ArgumentParser) -> None:
    plan_command.add(command)
    _search_options(command)
    _trainer_options(command, "hpo")


def _search_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("search")
    group.add_argument(
        "--search",
        action="append",
        metavar="NAME=RANGE",
        help="what to search: lr=1e-4:1e-1, dropout=0:0.5 or batch-size=32,64; ranges over two orders of magnitude or "
        "more are searched on a logarithmic scale; append :log, :linear or :reverse-log to choose; can be repeated",
    )
    group.add_argument(
        "--max-jobs", type=at_least_one, metavar="N", help="number of trials (default: 6; with Grid: every combination)"
    )
    group.add_argument(
        "--max-parallel-jobs",
        type=at_least_one,
        default=defaults.TUNING_MAX_PARALLEL_JOBS,
        metavar="N",
        help="trials that run at the same time (default: %(default)s)",
    )
    group.add_argument(
        "--strategy",
        default=defaults.TUNING_STRATEGY,
        type=one_of(search_ranges.STRATEGIES),
        choices=search_ranges.STRATEGIES,
        help="how the values to try are chosen (default: %(default)s)",
    )
    group.add_argument(
        "--objective",
        default=defaults.OBJECTIVE_METRIC,
        metavar="METRIC",
        help="the metric to optimize: valid:loss, valid:accuracy, … (default: %(default)s)",
    )
    training_options.add_search_end(group)


def _train_arguments(command: argparse.ArgumentParser) -> None:
    _job_arguments(command)
    _trainer_options(command, "train_model")
    start = command.add_mutually_exclusive_group()
    start.add_argument("--best-of", metavar="TUNING_JOB", help="start with the best hyperparameters of a tuning job")
    start.add_argument("--resume", metavar="JOB", help="continue from the last checkpoint of a stopped job")
    command.add_argument(
        "--managed-debugger",
        action="store_true",
        help="also turn on Amazon SageMaker Debugger, if the account still has it",
    )
    command.add_argument(
        "--managed-rule",
        action="append",
        dest="managed_rules",
        metavar="NAME",
        help="turn the Debugger on with this rule instead of the default ones; can be repeated. Debugging rules: "
        f"{', '.join(RULES)}; profiling rules: {', '.join(PROFILER_RULES)} (default: "
        f"{', '.join((*defaults.DEBUGGER_RULES, *defaults.DEBUGGER_PROFILER_RULES))})",
    )
    command.add_argument(
        "--managed-set",
        action="append",
        dest="managed_overrides",
        metavar="RULE.PARAMETER=VALUE",
        help="turn the Debugger on with this parameter, by AWS's name for it; can be repeated",
    )


def _job_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "data",
        type=data_place,
        metavar="DATA",
        help="a data set with train, valid and test folders: a path, or an s3:// URI, where jobs read it",
    )
    command.add_argument("--name", help="name of the job (default: generated)")
    command.add_argument(
        "--no-wait", action="store_true", help="return as soon as the features are computed and the job has started"
    )


def _trainer_options(command: argparse.ArgumentParser, entry_point: str) -> None:
    command.add_argument("--model", help=f"backbone (default: {defaults.BACKBONE})")
    command.add_argument("--hidden", metavar="WIDTHS", help="hidden layers of the head: 512,256 (default: none)")
    command.add_argument("--weights", help="pretrained (default), none, or the path of a state-dict file")
    command.add_argument("--views", help=f"views of each picture: plain,flip,crops:K (default: {defaults.VIEWS})")
    command.add_argument(
        "--features",
        type=one_of(FEATURES),
        choices=FEATURES,
        help="stored: computed once for all jobs (default); in-job: once for each job; off: in every epoch",
    )
    add_environment(command, "the training script")
    training_options.add_infrastructure(command)
    shared = "the same for every trial" if entry_point == "hpo" else None
    group = command.add_argument_group("hyperparameters", shared)
    for parameter in hyperparameters.table(entry_point):
        if parameter.name not in _TRAINER_OPTIONS:
            text = f"{parameter.help}: {parameter.allowed()} (default: {write(parameter.default) or 'none'})"
            text = text.replace("%", "%%")
            group.add_argument(f"--{parameter.name}", dest=f"hp:{parameter.name}", metavar="VALUE", help=text)


# ------------------------------------------------------------------ jobs


def _jobs_arguments(command: argparse.ArgumentParser) -> None:
    number = command.add_mutually_exclusive_group()
    number.add_argument(
        "--limit", type=at_least_one, default=100, metavar="N", help="jobs to list of each kind (default: %(default)s)"
    )
    number.add_argument("--all", action="store_true", help="list all jobs")


def _logs_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", metavar="JOB", help="a training job, or a trial of a tuning job")
    command.add_argument("-f", "--follow", action="store_true", help="keep printing until the job ends")


def _stop_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("job", metavar="JOB", help="a training or tuning job")


# ------------------------------------------------------------------ models and endpoints


def _classify_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help=models.HELP)
    command.add_argument("pictures", nargs="+", metavar="PICTURE", help="files or URLs")
    command.add_argument(
        "--top-k", type=at_least_one, default=5, metavar="N", help="number of classes to rank (default: %(default)s)"
    )
    models.add_labels(command)


def _delete_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", metavar="NAME", help="name of the endpoint or job")
    command.add_argument("--job", action="store_true", help="delete the job, even if an endpoint has the same name")
    command.add_argument("--yes", action="store_true", help="delete a job without asking for confirmation")


# Every command, in the order of the help.
COMMANDS: tuple[Command | CommandGroup, ...] = (
    Command(
        "quickstart",
        "go from data to a deployed model on this machine, step by step",
        quickstart.run,
        _quickstart_arguments,
        where=("local",),
    ),
    Command(
        "doctor", "check this machine, or an AWS account, before the first job", doctor_command.run, doctor_command.add
    ),
    CommandGroup(
        "data",
        "make, download, check, review, split and convert data sets",
        (
            Command("sample", "draw a small data set of dogs", data_commands.sample, _sample_arguments, where=()),
            Command(
                "download", "download a data set from the web", data_commands.download, _download_arguments, where=()
            ),
            Command(
                "check",
                "look for problems that would spoil training",
                data_commands.check,
                _check_arguments,
                where=("aws",),
            ),
            Command("review", "find wrong labels, near-copies and outliers", review_command.run, review_command.add),
            Command(
                "split",
                "split a folder of classes into train, valid and test",
                data_commands.split,
                _split_arguments,
                where=("aws",),
            ),
            Command(
                "convert",
                "convert a data set from a layout in which many are published",
                data_commands.convert,
                _convert_arguments,
                where=(),
            ),
        ),
    ),
    Command("tune", "search for the best hyperparameters", commands.tune, _tune_arguments),
    Command("train", "train one model", commands.train, _train_arguments),
    Command("plan", "show what a search and an endpoint cost on AWS", plan_command.run, _plan_arguments),
    Command("jobs", "list training, tuning and transform jobs, newest first", commands.jobs, _jobs_arguments),
    Command("logs", "print a job's log", commands.logs, _logs_arguments),
    Command("report", "explain what went wrong in a recorded run", report_command.run, report_command.add),
    Command("stop", "stop a job; what it has produced so far is kept", commands.stop, _stop_arguments),
    Command("deploy", "deploy a job's model to an endpoint", deploy_command.run, deploy_command.add),
    Command(
        "transform",
        "classify many pictures in a batch job, without an endpoint",
        transform_command.run,
        transform_command.add,
    ),
    Command("endpoints", "list endpoints", commands.endpoints, _no_arguments),
    Command(
        "ls",
        "list everything that dogbreed created and that still exists, with its price per hour",
        ls_command.run,
        _no_arguments,
    ),
    Command(
        "cleanup",
        "delete everything that dogbreed created, or what is old or has expired; nothing else",
        cleanup_command.run,
        cleanup_command.add,
    ),
    Command("update", "replace an endpoint's model, without downtime", update_command.run, update_command.add),
    Command("metrics", "show an endpoint's requests, errors and latencies", metrics_command.run, metrics_command.add),
    Command("monitor", "find out whether an endpoint's answers moved", monitor_command.run, monitor_command.add),
    Command("classify", "classify pictures", classify_command.run, _classify_arguments),
    Command("evaluate", "measure a model on labeled pictures", evaluate_command.run, evaluate_command.add),
    Command("explain", "show where in a picture an answer came from", explain_command.run, explain_command.add),
    Command("serve", "serve a model to apps and people over HTTP", serve_command.run, serve_command.add),
    Command(
        "delete",
        "delete an endpoint with its configuration and model, or a job with its files",
        commands.delete,
        _delete_arguments,
    ),
    CommandGroup(
        "local",
        "run local SageMaker for notebooks, scripts and other programs",
        (
            Command(
                "up",
                "serve SageMaker's API, S3, STS and IAM in the foreground until Ctrl-C",
                local_commands.up,
                local_commands.add_up,
                where=("local",),
            ),
            Command(
                "env",
                "print the lines with which a shell uses the server that is up",
                local_commands.env,
                local_commands.add_env,
                where=("local",),
            ),
            Command(
                "run",
                "run a notebook, script or command against local SageMaker, unchanged",
                local_commands.run,
                local_commands.add_run,
                where=("local",),
            ),
            Command(
                "interrupt",
                "interrupt a job's spot instance, to test how its script resumes",
                interrupt_command.run,
                interrupt_command.add,
                where=("local",),
            ),
            Command(
                "stop",
                "end the server that is up; jobs and endpoints continue",
                local_commands.stop,
                _no_arguments,
                where=("local",),
            ),
        ),
    ),
    Command(
        "completion",
        "print a script that enables completion with the Tab key",
        completion_command.run,
        completion_command.add,
        where=(),
    ),
)
