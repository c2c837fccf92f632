"""``dogbreed report`` of a search, and of several runs."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli import terminal
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, say, waiting
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.session import Session

# Options of `dogbreed report` that concern one recorded run, by their attribute.
_OF_ONE_RUN = {"watch": "--watch", "numbers": "--numbers", "data": "--data", "compare_with": "--compare-with"}
_OF_RECORDINGS = {**_OF_ONE_RUN, "overrides": "--set", "rules": "--rule"}


class _Report(Protocol):
    def to_html(self, path: str | Path) -> Path: ...


def search(job: TuningJob, options: argparse.Namespace) -> Outcome:
    """Reports on a search.

    Raises:
        ConfigurationError: An option is given that only a recorded run has a use for.
    """
    _refuse(options, _OF_RECORDINGS, f"{job.name} is a tuning job, whose trials record nothing")
    with waiting("reading the trials"):
        report = job.report()
    document, text = report.to_dict(), report.to_text(width=terminal.report_width())
    proposal = document["next_search"]
    if (plain := proposal["command"]) is not None:  # the report does not know --root and --aws
        proposal["command"] = command_line(options, *shlex.split(plain)[1:])
        text = text.replace(plain, proposal["command"])
    return outcome(report, document, text, options, [job.name], shows="the charts")


def comparison(options: argparse.Namespace, overrides: Mapping[str, Mapping[str, Any]]) -> Outcome:
    """Compares several runs: jobs, folders and URIs, mixed.

    Args:
        options: Those of ``dogbreed report``; `source` is a list.
        overrides: What ``--set`` asks for.

    Raises:
        ConfigurationError: An option is given that only the report on one run has a use for.
    """
    from dogbreed_sdk.debugging.report import DebugReport  # noqa: PLC0415 - beside the command of one run

    _refuse(options, _OF_ONE_RUN, "several are compared")
    with ExitStack() as stack, waiting("reading the recordings"):
        sessions: dict[bool, Session] = {}
        reports = []
        for source in options.source:
            on_aws = options.aws or source.startswith("s3://")
            if on_aws not in sessions:
                sessions[on_aws] = stack.enter_context(read.session_of(source, options))
            reports.append(
                DebugReport.load(
                    source,
                    session=sessions[on_aws],
                    parameters=options.parameters,
                    overrides=overrides,
                    rules=options.rules,
                )
            )
        compared = DebugReport.compare(reports)
        text = compared.to_text(width=terminal.report_width())
        return outcome(compared, compared.to_dict(), text, options, options.source, shows="the charts")


def _refuse(options: argparse.Namespace, refused: dict[str, str], why: str) -> None:
    given = [option for name, option in refused.items() if getattr(options, name)]
    if given:
        raise ConfigurationError(f"{', '.join(given)} applies to the report on one recorded run: {why}.")


def outcome(
    report: _Report,
    document: dict[str, Any],
    text: str,
    options: argparse.Namespace,
    sources: list[str],
    *,
    shows: str,
    written: Mapping[str, str] | None = None,
) -> Outcome:
    """The outcome of ``dogbreed report``: the text, and where the page is or how to get it.

    Args:
        report: Writes the page if `--html` asks for it.
        document: What `--json` prints; the page's path is added.
        text: What the terminal shows.
        options: Those of the command.
        sources: What the report is about.
        shows: What the page has that the terminal lacks.
        written: Kind and path of files that were written before.
    """
    lines = [f"{kind}: {path}" for kind, path in (written or {}).items()]
    if options.html is None:
        lines.append(f"To see {shows}: {command_line(options, 'report', *sources, '--html', 'report.html')}")
    else:
        document["html"] = str(report.to_html(options.html))
        lines.append(f"report: {document['html']}")
    return Outcome(document, say(*text.split("\n"), "", *lines))
