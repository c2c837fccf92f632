"""The options of ``tune``, ``train`` and ``plan``: the search, the trainer, instances, limits."""

from __future__ import annotations

import argparse
from typing import TypedDict

from dogbreed_sdk import defaults
from dogbreed_sdk.aws.requests.tuning import CompletionCriteria, Hyperband, WarmStart
from dogbreed_sdk.cli.argument_types import at_least_one, duration, non_negative, one_of
from dogbreed_sdk.cli.shared_options import add_environment, add_tags
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs import search_ranges
from dogbreed_sdk.jobs.job_options import JobOptions, Spot
from dogbreed_sdk.jobs.trainer_hyperparameters import OF_FEATURES
from training_scripts.data import resize_mode
from training_scripts.models import test_time
from training_scripts.models.engines.engine import PRECISIONS
from training_scripts.training import hyperparameters
from training_scripts.training.parameters import write

FEATURES = ("stored", "in-job", "off")
_INPUT_MODES = ("File", "FastFile")
# Hyperparameters that are arguments of `BreedTrainer`; each of the others is an option.
_TRAINER_OPTIONS = {*OF_FEATURES, "features", "hidden"}


def add_search(command: argparse.ArgumentParser) -> None:
    """Adds the options of ``tune`` and ``plan`` about the search."""
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
    add_search_end(group)


def add_trainer(command: argparse.ArgumentParser, entry_point: str) -> None:
    """Adds what `BreedTrainer` takes, and the hyperparameters of an entry point."""
    command.add_argument("--model", help=f"backbone (default: {defaults.BACKBONE})")
    command.add_argument("--hidden", metavar="WIDTHS", help="hidden layers of the head: 512,256 (default: none)")
    command.add_argument("--weights", help="pretrained (default), none, or the path of a state-dict file")
    command.add_argument("--views", help=f"views of each picture: plain,flip,crops:K (default: {defaults.VIEWS})")
    command.add_argument(
        "--resize-mode",
        type=one_of(resize_mode.CHOICES),
        choices=resize_mode.CHOICES,
        help="crop: resize the shorter side and crop the center; squash: resize the whole picture to the square, as "
        "torchvision's Resize((224, 224)) does (default: crop)",
    )
    command.add_argument(
        "--tta",
        type=one_of(test_time.CHOICES),
        choices=test_time.CHOICES,
        help="flip: average the features of a picture and its mirror image in evaluation and serving, at twice the "
        "cost (default: none)",
    )
    command.add_argument(
        "--precision",
        type=one_of(PRECISIONS),
        choices=PRECISIONS,
        help="of stored features: fp32, exact (default); bf16, faster on processors with instructions for it",
    )
    command.add_argument(
        "--features",
        type=one_of(FEATURES),
        choices=FEATURES,
        help="stored: computed once for all jobs (default); in-job: once for each job; off: in every epoch",
    )
    add_environment(command, "the training script")
    add_infrastructure(command)
    shared = "the same for every trial" if entry_point == "hpo" else None
    group = command.add_argument_group("hyperparameters", shared)
    for parameter in hyperparameters.table(entry_point):
        if parameter.name not in _TRAINER_OPTIONS:
            text = f"{parameter.help}: {parameter.allowed()} (default: {write(parameter.default) or 'none'})"
            text = text.replace("%", "%%")
            group.add_argument(f"--{parameter.name}", dest=f"hp:{parameter.name}", metavar="VALUE", help=text)


def add_infrastructure(command: argparse.ArgumentParser) -> None:
    """Adds the options that decide what jobs run on."""
    group = command.add_argument_group("instances on AWS", "local SageMaker uses this machine")
    group.add_argument(
        "--instance-type",
        metavar="TYPE",
        default=defaults.TRAINING_INSTANCE_TYPE,
        help="instance type (default: %(default)s)",
    )
    group.add_argument(
        "--instance-count",
        type=at_least_one,
        default=1,
        metavar="N",
        help="instances that share a feature pass, or fine-tune together (default: %(default)s)",
    )
    group.add_argument("--spot", action="store_true", help="use spot capacity: cheaper, and jobs can be interrupted")
    group.add_argument(
        "--max-wait",
        type=duration,
        metavar="TIME",
        help="with --spot: longest time for waiting and running together, such as 6h (default: twice --max-runtime)",
    )
    group.add_argument(
        "--max-runtime", type=duration, metavar="TIME", help="stop a job that runs longer, such as 90min (default: 1d)"
    )
    group.add_argument(
        "--keep-alive", type=duration, metavar="TIME", help="keep instances for the next training job, up to 1h"
    )
    group.add_argument(
        "--volume-size-gb",
        type=at_least_one,
        metavar="GB",
        help=f"size of the disk (default: {defaults.VOLUME_SIZE_GB})",
    )
    group.add_argument(
        "--framework-version",
        metavar="VERSION",
        help=f"PyTorch version of AWS's image (default: {defaults.FRAMEWORK_VERSION})",
    )
    group.add_argument("--image-uri", metavar="URI", help="your own training image (default: AWS's PyTorch image)")
    add_tags(group)
    _add_rare(group)


def _add_rare(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--input-mode",
        type=one_of(_INPUT_MODES),
        choices=_INPUT_MODES,
        default="File",
        help="File copies pictures before a job starts; FastFile streams them (default: %(default)s)",
    )
    group.add_argument("--max-pending", type=duration, metavar="TIME", help="longest wait for on-demand capacity")
    group.add_argument(
        "--retries",
        type=non_negative,
        default=0,
        metavar="N",
        help="start a job again after an internal error of SageMaker (default: %(default)s)",
    )
    group.add_argument("--network-isolation", action="store_true", help="cut jobs off from all networks")
    group.add_argument("--encrypt-traffic", action="store_true", help="encrypt the traffic between instances")


def add_search_end(group: argparse._ArgumentGroup) -> None:
    """Adds the options of ``tune`` about earlier searches and the end of this one."""
    group.add_argument("--early-stopping", action="store_true", help="stop trials that fall behind")
    group.add_argument(
        "--min-epochs", type=at_least_one, metavar="N", help="with Hyperband: epochs before a trial may be stopped"
    )
    group.add_argument(
        "--search-seed", type=non_negative, default=1, metavar="N", help="seed of the proposals (default: %(default)s)"
    )
    group.add_argument(
        "--max-search-time", type=duration, metavar="TIME", help="stop the search after this time, such as 2h"
    )
    group.add_argument("--target", type=float, metavar="VALUE", help="end when the objective reaches this value")
    group.add_argument(
        "--trials-without-improvement",
        type=at_least_one,
        metavar="N",
        help="end when this many trials, 3 or more, improve the objective by 1%% or less",
    )
    group.add_argument("--until-convergence", action="store_true", help="end when the search has converged")
    group.add_argument(
        "--warm-start",
        action="append",
        metavar="TUNING_JOB",
        help="learn from an ended search with the same data; can be repeated, up to 5 times",
    )
    group.add_argument(
        "--transfer-from",
        action="append",
        metavar="TUNING_JOB",
        help="learn from an ended search with other data; can be repeated, up to 5 times",
    )


def spot(options: argparse.Namespace) -> bool | Spot:
    """Whether jobs use spot capacity.

    Raises:
        ConfigurationError: ``--max-wait`` was given without ``--spot``.
    """
    if options.max_wait is None:
        return bool(options.spot)
    if not options.spot:
        raise ConfigurationError("--max-wait is for spot capacity: add --spot, or omit it.")
    return Spot(max_wait=options.max_wait)


def of_instances(options: argparse.Namespace) -> list[str]:
    """The words that make a further training job use the same instances; empty for the default."""
    words = []
    if options.instance_type != defaults.TRAINING_INSTANCE_TYPE:
        words += ["--instance-type", options.instance_type]
    if options.spot:
        words.append("--spot")
    if options.max_wait is not None:
        words += ["--max-wait", f"{options.max_wait}s"]
    return words


def job_options(options: argparse.Namespace) -> JobOptions:
    """The settings that few jobs need."""
    return JobOptions(
        input_mode=options.input_mode,
        max_pending=options.max_pending,
        retries=options.retries,
        network_isolation=options.network_isolation,
        encrypt_traffic=options.encrypt_traffic,
    )


class SearchArguments(TypedDict):
    """The arguments that `BreedTrainer.tune` and `BreedTrainer.plan` share, beside the ranges."""

    max_jobs: int | None
    max_parallel_jobs: int
    max_search_time: float | None
    strategy: str
    hyperband: Hyperband | None
    objective: str
    early_stopping: bool
    completion: CompletionCriteria | None


def search_arguments(options: argparse.Namespace) -> SearchArguments:
    """How the options of ``tune`` and ``plan`` limit and direct a search, so that a plan is of the same search."""
    return SearchArguments(
        max_jobs=options.max_jobs,
        max_parallel_jobs=options.max_parallel_jobs,
        max_search_time=options.max_search_time,
        strategy=options.strategy,
        hyperband=hyperband(options),
        objective=options.objective,
        early_stopping=options.early_stopping,
        completion=completion(options),
    )


def hyperband(options: argparse.Namespace) -> Hyperband | None:
    """The limits of the Hyperband strategy, if given."""
    return None if options.min_epochs is None else Hyperband(min_epochs=options.min_epochs)


def completion(options: argparse.Namespace) -> CompletionCriteria | None:
    """What ends a search early, if anything."""
    if options.target is None and options.trials_without_improvement is None and not options.until_convergence:
        return None
    return CompletionCriteria(
        target=options.target,
        trials_without_improvement=options.trials_without_improvement,
        convergence=options.until_convergence,
    )


def warm_start(options: argparse.Namespace) -> WarmStart | None:
    """The searches to learn from, if any.

    Raises:
        ConfigurationError: Both kinds were given.
    """
    if options.warm_start and options.transfer_from:
        raise ConfigurationError("--warm-start and --transfer-from exclude each other: SageMaker takes one kind.")
    if options.warm_start:
        return WarmStart(options.warm_start)
    return WarmStart(options.transfer_from, kind="transfer") if options.transfer_from else None
