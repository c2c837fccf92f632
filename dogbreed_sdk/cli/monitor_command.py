"""The command ``monitor``: reports whether an endpoint's answers have shifted from those on the validation split."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util import optional
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import data_place
from dogbreed_sdk.cli.output import Outcome, counter, say
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.monitoring.answers import Baseline


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed monitor``."""
    command.add_argument("endpoint", metavar="ENDPOINT", help="name of the endpoint; it must capture data")
    command.add_argument(
        "--data", type=data_place, metavar="DIR", help="data set whose valid split is classified to compare with"
    )
    command.add_argument("--baseline", type=Path, metavar="FILE", help="compare with what --save-baseline wrote")
    command.add_argument("--save-baseline", type=Path, metavar="FILE", help="keep the answers on the valid split")
    command.add_argument("--since", default="7d", metavar="TIME", help="how far back: 12h, 7d (default: 7d)")
    command.add_argument("--alpha", type=float, metavar="SHARE", help="share of false alarms (default: 0.01)")
    command.add_argument("--html", type=Path, metavar="FILE", help="write the report as one HTML page")


def run(options: argparse.Namespace) -> Outcome:
    """Reports whether the answers have moved; the command succeeds whatever the report says."""
    if (options.data is None) == (options.baseline is None):
        raise ConfigurationError("Pass --data DIR, or --baseline FILE that --save-baseline has written.")
    optional.require({"local": ["numpy"]}, purpose="compare answers")
    from dogbreed_sdk.monitoring import report as monitoring  # noqa: PLC0415 - needs numpy

    with read.sagemaker(options) as session:
        deployment = Deployment(options.endpoint, session)
        baseline = _baseline(options, deployment)
        if options.save_baseline is not None:
            baseline.save(options.save_baseline)
        alpha = monitoring.ALPHA if options.alpha is None else options.alpha
        report = monitoring.monitor(deployment, baseline, since=options.since, alpha=alpha)
    written = None if options.html is None else report.to_html(options.html)
    document = {"name": options.endpoint, **report.to_dict(), "html": None if written is None else str(written)}
    return Outcome(document, say(*report.to_text().split("\n"), *([] if written is None else [f"wrote {written}"])))


def _baseline(options: argparse.Namespace, deployment: Deployment) -> Baseline:
    from dogbreed_sdk.monitoring.answers import Baseline  # noqa: PLC0415 - as above

    if options.baseline is not None:
        return Baseline.load(options.baseline)
    dataset = BreedDataset.open(options.data, session=deployment.session)
    with deployment.classifier() as classifier, counter("pictures classified") as progress:
        return Baseline.classify(classifier, dataset, progress=progress)
