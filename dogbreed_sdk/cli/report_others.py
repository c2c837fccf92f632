"""``dogbreed report`` of a search."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, Protocol

from dogbreed_sdk.cli import terminal
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, say, waiting
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.tuning_job import TuningJob

# Options of `dogbreed report` that concern one recorded run, by their attribute.
_OF_ONE_RUN = {"watch": "--watch", "numbers": "--numbers", "compare_with": "--compare-with"}
_OF_RECORDINGS = {**_OF_ONE_RUN, "overrides": "--set", "rules": "--rule"}


class _Report(Protocol):
    def to_dict(self) -> dict[str, Any]: ...
    def to_html(self, path: str | Path) -> Path: ...
    def summary(self, *, width: int) -> str: ...


def search(job: TuningJob, options: argparse.Namespace) -> Outcome:
    """Reports on a search.

    Raises:
        ConfigurationError: An option is given that only a recorded run has a use for.
    """
    _refuse(options, _OF_RECORDINGS, f"{job.name} is a tuning job, whose trials record nothing")
    with waiting("reading the trials"):
        report = job.report()
    return _outcome(report, options, [job.name])


def _refuse(options: argparse.Namespace, refused: dict[str, str], why: str) -> None:
    given = [option for name, option in refused.items() if getattr(options, name)]
    if given:
        raise ConfigurationError(f"{', '.join(given)} applies to the report on one recorded run: {why}.")


def _outcome(report: _Report, options: argparse.Namespace, sources: list[str]) -> Outcome:
    document = report.to_dict()
    if options.html is None:
        page = f"To see the charts: {command_line(options, 'report', *sources, '--html', 'report.html')}"
    else:
        document["html"] = str(report.to_html(options.html))
        page = f"report: {document['html']}"
    shown = report.summary(width=terminal.report_width())
    return Outcome(document, say(*shown.split("\n"), "", page))
