"""The grammar of the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import dogbreed_sdk
from dogbreed_sdk import defaults
from dogbreed_sdk.cli import (
    classify_command,
    commands,
    data_commands,
    models,
    quickstart,
    report_command,
    serve_command,
)
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one, port
from dogbreed_sdk.cli.output import Outcome
from dogbreed_sdk.cli.usage import Parser, assignment, one_of, refuse_unknown, respelled
from dogbreed_sdk.jobs import search_ranges
from dogbreed_sdk.jobs.managed_debugger import PROFILER_RULES, RULES
from training_scripts.data.split_folders import SPLITS
from training_scripts.training import hyperparameters
from training_scripts.training.parameters import write

SHELLS = ("bash", "zsh", "fish")
FEATURES = ("stored", "in-job", "off")
Run = Callable[[argparse.Namespace], Outcome]

# What the trainer's own options set; the rest of the table becomes one option each.
_TRAINER_OPTIONS = {"model", "weights", "views", "features", "hidden"}


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a command line; prints the help and ends the process where it is empty or asks for help.

    Raises:
        ConfigurationError: It makes no sense; the message says why, and which help to read.
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
        description="The whole life of an image classifier: check, tune, train, deploy, classify, clean up.",
    )
    parser.add_argument("--version", action="version", version=f"dogbreed-sdk {dogbreed_sdk.__version__}")
    groups = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_quickstart(groups)
    _add_data(groups)
    _add_search(groups)
    _add_jobs(groups)
    _add_endpoints(groups)
    local = groups.add_parser("local", help="local SageMaker as a server")
    inner = local.add_subparsers(metavar="COMMAND", required=True)
    up = _command(
        inner, "up", "serve SageMaker's API in the foreground, until Ctrl-C", commands.local_up, where=("local",)
    )
    up.add_argument("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    up.add_argument("--port", type=port, default=8765, help="port; 0 takes a free one (default: %(default)s)")
    shell = _command(groups, "completion", "print a script for completion with the Tab key", _completion, where=())
    shell.add_argument("shell", type=one_of(SHELLS), choices=SHELLS, help="the shell that shall complete")
    return parser


def _completion(options: argparse.Namespace) -> Outcome:
    from dogbreed_sdk.cli import completion  # noqa: PLC0415 - costs time, and needs the grammar itself

    return completion.run(options)


def _add_quickstart(groups: argparse._SubParsersAction[Parser]) -> None:
    command = _command(
        groups,
        "quickstart",
        "the main job from data to answers, on this machine",
        quickstart.run,
        where=("local",),
    )
    command.add_argument("--data", type=Path, metavar="DIR", help="your data set (default: pictures it draws)")


def _add_data(groups: argparse._SubParsersAction[Parser]) -> None:
    data = groups.add_parser("data", help="make, download, check and split data sets")
    inner = data.add_subparsers(metavar="COMMAND", required=True)
    sample = _command(inner, "sample", "draw a small data set of dogs", data_commands.sample, where=())
    sample.add_argument("folder", type=Path, metavar="DIR", help="the folder to make")
    sample.add_argument("--breeds", type=int, default=8, metavar="N", help="classes (default: %(default)s)")
    sample.add_argument(
        "--per-breed", type=int, default=36, metavar="N", help="pictures per class (default: %(default)s)"
    )
    sample.add_argument("--seed", type=int, default=0, help="same seed, same pictures (default: %(default)s)")
    download = _command(inner, "download", "fetch a data set from the web", data_commands.download, where=())
    download.add_argument("url", metavar="URL", help="of a zip or tar archive, http:// or https://")
    download.add_argument("dest", type=Path, metavar="DEST", help="the folder to make; a broken download is continued")
    download.add_argument("--sha256", metavar="HEX", help="what the archive must hash to, 64 hexadecimal digits")
    check = _command(inner, "check", "look for what would spoil training", data_commands.check, where=())
    check.add_argument("folder", type=Path, metavar="DIR", help="the data set: train, valid and test, or class folders")
    split = _command(inner, "split", "make train, valid and test of class folders", data_commands.split, where=())
    split.add_argument("folder", type=Path, metavar="DIR", help="contains one folder per class, or some of the splits")
    _dividing_options(split)
    split.add_argument("--from-train", action="store_true", help="make the missing splits out of train")
    convert = _command(
        inner, "convert", "make a data set of a layout that is often downloaded", data_commands.convert, where=()
    )
    convert.add_argument("folder", type=Path, metavar="DIR", help="as it was unpacked; 'data check' recognises layouts")
    _dividing_options(convert)
    convert.add_argument("--labels", type=Path, metavar="CSV", help="the table that names pictures and their classes")
    for name in SPLITS:
        convert.add_argument(f"--{name}-folder", metavar="NAME", help=f"the folder below DIR that is the {name} split")


def _dividing_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("dest", type=Path, metavar="DEST", help="the folder to make; files are linked where possible")
    for name in ("valid", "test"):
        command.add_argument(
            f"--{name}",
            type=float,
            default=0.15,
            metavar="SHARE",
            help=f"of the pictures for {name} where it is missing, 0 to 1 (default: %(default)s)",
        )
    command.add_argument("--seed", type=int, default=0, help="same seed, same split (default: %(default)s)")


def _add_search(groups: argparse._SubParsersAction[Parser]) -> None:
    tune = _command(groups, "tune", "search hyperparameters", commands.tune)
    _trainer_options(tune, "hpo")
    tune.add_argument(
        "--search",
        action="append",
        metavar="NAME=RANGE",
        help="what to search: lr=1e-4:1e-1 (by magnitude from two orders of magnitude on; append :log or :linear to "
        "choose), dropout=0:0.5 or batch-size=32,64; may be given several times",
    )
    tune.add_argument(
        "--max-jobs", type=at_least_one, metavar="N", help="trials in all (default: 6; Grid: every combination)"
    )
    tune.add_argument(
        "--max-parallel-jobs",
        type=at_least_one,
        default=defaults.TUNING_MAX_PARALLEL_JOBS,
        metavar="N",
        help="trials at a time (default: %(default)s)",
    )
    tune.add_argument(
        "--strategy",
        default=defaults.TUNING_STRATEGY,
        type=one_of(search_ranges.STRATEGIES),
        choices=search_ranges.STRATEGIES,
        help="default: %(default)s",
    )
    tune.add_argument(
        "--objective",
        default=defaults.OBJECTIVE_METRIC,
        metavar="METRIC",
        help="valid:loss, valid:accuracy, … (default: %(default)s)",
    )
    tune.add_argument("--early-stopping", action="store_true", help="stop trials that fall behind")


def _add_jobs(groups: argparse._SubParsersAction[Parser]) -> None:
    train = _command(groups, "train", "train one model", commands.train)
    _trainer_options(train, "train_model")
    before = train.add_mutually_exclusive_group()
    before.add_argument("--best-of", metavar="TUNING_JOB", help="begin with the best hyperparameters of a search")
    before.add_argument("--resume", metavar="JOB", help="go on from the last checkpoint of a job that was stopped")
    train.add_argument(
        "--managed-debugger",
        action="store_true",
        help="switch SageMaker's own Debugger on too, where the account has it",
    )
    train.add_argument(
        "--managed-rule",
        action="append",
        dest="managed_rules",
        metavar="NAME",
        help="switch it on with this rule instead of the usual ones; may be given several times. Debugging rules: "
        f"{', '.join(RULES)}; profiling rules: {', '.join(PROFILER_RULES)} (usual: "
        f"{', '.join((*defaults.DEBUGGER_RULES, *defaults.DEBUGGER_PROFILER_RULES))})",
    )
    train.add_argument(
        "--managed-set",
        action="append",
        dest="managed_overrides",
        metavar="RULE.PARAMETER=VALUE",
        help="switch it on with this parameter, by AWS's name; may be given several times",
    )
    jobs = _command(groups, "jobs", "list training and tuning jobs, the newest first", commands.jobs)
    how_many = jobs.add_mutually_exclusive_group()
    how_many.add_argument(
        "--limit", type=at_least_one, default=100, metavar="N", help="jobs of each kind (default: %(default)s)"
    )
    how_many.add_argument("--all", action="store_true", help="list all of them")
    logs = _command(groups, "logs", "print a job's log", commands.logs)
    logs.add_argument("job", metavar="JOB", help="a training job, or a trial of a search")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    report = _command(groups, "report", "say what went wrong in a recorded run, and why", report_command.run)
    report_command.add(report)
    stop = _command(groups, "stop", "stop a job; what it has so far is kept", commands.stop)
    stop.add_argument("job", metavar="JOB", help="a training or tuning job")


def _add_endpoints(groups: argparse._SubParsersAction[Parser]) -> None:
    deploy = _command(groups, "deploy", "serve a job's model behind an endpoint", commands.deploy)
    deploy.add_argument("job", metavar="JOB", help="a training job, or a tuning job for its best")
    deploy.add_argument("--name", help="name of the endpoint (default: a fresh one)")
    deploy.add_argument(
        "--instance-type", metavar="TYPE", default=defaults.SERVING_INSTANCE_TYPE, help="on AWS (default: %(default)s)"
    )
    deploy.add_argument("--serverless-memory-mb", type=int, metavar="MB", help="make it serverless")
    _add_environment(deploy, "the model server")
    _command(groups, "endpoints", "list endpoints", commands.endpoints)
    classify = _command(groups, "classify", "say what is in pictures", classify_command.run)
    classify.add_argument("model", metavar="MODEL", help=models.HELP)
    classify.add_argument("pictures", nargs="+", metavar="PICTURE", help="files or URLs")
    classify.add_argument(
        "--top-k", type=at_least_one, default=5, metavar="N", help="classes to rank (default: %(default)s)"
    )
    models.add_labels(classify)
    evaluate = _command(groups, "evaluate", "measure a model on labelled pictures", commands.evaluate)
    evaluate.add_argument("model", metavar="MODEL", help=models.HELP)
    evaluate.add_argument("folder", type=Path, metavar="DIR", help="a folder of classes, or a data set")
    models.add_labels(evaluate)
    serve_command.add(_command(groups, "serve", "serve a model to apps and people over HTTP", serve_command.run))
    delete = _command(
        groups,
        "delete",
        "delete an endpoint with its configuration and model, or a job with its files",
        commands.delete,
    )
    delete.add_argument("name", metavar="NAME", help="name of the endpoint or job")
    delete.add_argument("--job", action="store_true", help="delete the job, where an endpoint has the same name")
    delete.add_argument("--yes", action="store_true", help="delete a job without asking")


def _command(
    groups: argparse._SubParsersAction[Parser],
    name: str,
    summary: str,
    run: Run,
    *,
    where: Sequence[Literal["local", "aws"]] = ("local", "aws"),
) -> argparse.ArgumentParser:
    command = groups.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    command.set_defaults(run=run, parser=command, root=None, aws=False, **dict.fromkeys(read.OF_AWS))
    common = command.add_argument_group("where and how")
    common.add_argument("--json", action="store_true", help="one JSON document on standard output")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    if "local" in where:
        common.add_argument("--root", type=Path, metavar="DIR", help="folder of local SageMaker (default: ~/.dogbreed)")
    if "aws" in where:
        common.add_argument("--aws", action="store_true", help="use SageMaker on AWS instead of this machine")
        common.add_argument("--region", help="AWS region")
        common.add_argument("--profile", help="profile of the AWS configuration")
        common.add_argument("--role", help="role that jobs and models assume (default: $DOGBREED_ROLE)")
        common.add_argument("--bucket", help="S3 bucket (default: $DOGBREED_BUCKET, else SageMaker's own)")
    return command


def _add_environment(command: argparse.ArgumentParser, whom: str) -> None:
    command.add_argument(
        "--environment",
        type=assignment,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help=f"an environment variable for {whom}; may be given several times",
    )


def _trainer_options(command: argparse.ArgumentParser, entry_point: str) -> None:
    command.add_argument("data", type=Path, metavar="DATA", help="a data set with train, valid and test folders")
    command.add_argument("--name", help="name of the job (default: a fresh one)")
    command.add_argument(
        "--no-wait", action="store_true", help="return once the job has started, after the feature pass"
    )
    command.add_argument("--model", help=f"backbone (default: {defaults.BACKBONE})")
    command.add_argument("--hidden", metavar="WIDTHS", help="hidden layers of the head: 512,256 (default: none)")
    command.add_argument("--weights", help="pretrained (default), none, or a state-dict file")
    command.add_argument("--views", help=f"plain,flip,crops:K (default: {defaults.VIEWS})")
    command.add_argument(
        "--features",
        type=one_of(FEATURES),
        choices=FEATURES,
        help="shared by jobs (default), in this job, or none",
    )
    command.add_argument(
        "--instance-type", metavar="TYPE", default=defaults.TRAINING_INSTANCE_TYPE, help="on AWS (default: %(default)s)"
    )
    _add_environment(command, "the script")
    shared = "the same for every trial" if entry_point == "hpo" else None
    group = command.add_argument_group("hyperparameters", shared)
    for parameter in hyperparameters.table(entry_point):
        if parameter.name not in _TRAINER_OPTIONS:
            text = f"{parameter.help}: {parameter.allowed()} (default: {write(parameter.default) or 'none'})"
            text = text.replace("%", "%%")
            group.add_argument(f"--{parameter.name}", dest=f"hp:{parameter.name}", metavar="VALUE", help=text)
