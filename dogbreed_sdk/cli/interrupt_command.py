"""The command ``local interrupt``: interrupts the spot instance of a training job on local SageMaker."""

from __future__ import annotations

import argparse

from dogbreed_sdk._util import optional
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.output import Outcome, say


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed local interrupt``."""
    command.add_argument("job", metavar="JOB", help="a training job with managed spot training, or such a trial")


def run(options: argparse.Namespace) -> Outcome:
    """Interrupts the spot instance of a running job, as AWS may at any time; the job starts again elsewhere."""
    optional.require({"local": read.LOCAL_PACKAGES}, purpose="run local SageMaker")
    from dogbreed_sdk.local.jobs import runner  # noqa: PLC0415 - an optional dependency
    from dogbreed_sdk.local.store import Store  # noqa: PLC0415 - likewise

    runner.interrupt(Store(read.root(options)), options.job)
    return Outcome(
        {"interrupted": options.job},
        say(f"interrupting the spot instance of {options.job}; the job starts again with its checkpoints only"),
    )
