"""``dogbreed plan``: what a search, a training job and an endpoint would cost on AWS, before anything is created."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from dogbreed_sdk import defaults
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli import trainer_options, training_options
from dogbreed_sdk.cli.argument_types import at_least_one, data_place
from dogbreed_sdk.cli.output import Outcome, note, say
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.planning.dataset_size import DatasetSize
from dogbreed_sdk.session import Session

# Longer lines are hard to read.
_MAX_WIDTH = 110


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed plan``."""
    _add_own(command)
    training_options.add_search(command)
    training_options.add_trainer(command, "hpo")


def _add_own(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "data",
        type=data_place,
        nargs="?",
        metavar="DATA",
        help="a data set with train, valid and test folders: a path, or an s3:// URI, which needs credentials",
    )
    command.add_argument("--pictures", type=at_least_one, metavar="N", help="instead of DATA: number of pictures")
    command.add_argument("--classes", type=at_least_one, metavar="N", help="with --pictures: number of classes")
    command.add_argument(
        "--endpoint-instance-type",
        metavar="TYPE",
        default=defaults.SERVING_INSTANCE_TYPE,
        help="instance type of the endpoint (default: %(default)s)",
    )
    command.add_argument(
        "--endpoint-instance-count",
        type=at_least_one,
        default=1,
        metavar="N",
        help="its instances (default: %(default)s)",
    )
    command.add_argument(
        "--endpoint-hours",
        type=float,
        default=defaults.HOURS_PER_MONTH,
        metavar="HOURS",
        help="how long it runs, and files are stored (default: %(default)g, a month)",
    )
    command.add_argument(
        "--prices", type=Path, metavar="CSV", help="prices to use first: columns region, item, usd, as_of, and uses"
    )
    command.add_argument(
        "--live-prices",
        action="store_true",
        help="ask AWS for current prices; needs credentials and the permission pricing:GetProducts",
    )
    command.add_argument(
        "--measure",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="measure the backbone's speed on this machine with pictures of DATA (default: use a table)",
    )
    command.add_argument(
        "--earlier-jobs",
        action="store_true",
        help="take its speed from the newest feature job here, or with --aws from one in your account",
    )


def run(options: argparse.Namespace) -> Outcome:
    """Plans; creates and sends nothing."""
    if training_options.warm_start(options) is not None:
        raise ConfigurationError("A plan does not look up earlier searches, which do not change the price: omit them.")
    note("Planning …")
    session = read.aws_session(options)
    if options.earlier_jobs and not options.aws:
        session = Session.existing(read.root(options))
    with session:
        trainer, shared = trainer_options.trainer(options, session)
        if options.measure:
            note("Measuring the backbone with some of the pictures …")
        plan = trainer.plan(
            _dataset(options, session),
            trainer_options.search(options.search),
            hyperparameters=shared,
            **training_options.search_arguments(options),
            endpoint={
                "instance_type": options.endpoint_instance_type,
                "instance_count": options.endpoint_instance_count,
            },
            endpoint_hours=options.endpoint_hours,
            region=options.region,
            prices=options.prices,
            live_prices=options.live_prices,
            measure=options.measure,
            earlier_jobs=options.earlier_jobs,
        )
    width = min(shutil.get_terminal_size().columns, _MAX_WIDTH) if sys.stdout.isatty() else _MAX_WIDTH
    return Outcome(plan.to_dict(), say(*plan.to_text(width=width).split("\n")))


def _dataset(options: argparse.Namespace, session: Session) -> BreedDataset | DatasetSize:
    """The data set, or its size.

    Raises:
        ConfigurationError: Neither is given, or both.
    """
    if options.data is not None:
        if options.pictures is not None or options.classes is not None:
            raise ConfigurationError(
                "--pictures and --classes stand for a data set that is not here; omit them or DATA."
            )
        return BreedDataset.open(options.data, session=session)
    if options.pictures is None or options.classes is None:
        raise ConfigurationError("Pass DATA, or --pictures and --classes for a data set that is not here yet.")
    return DatasetSize.of(pictures=options.pictures, classes=options.classes)
