"""The command ``report``: shows a recorded run on a terminal, as JSON or as an HTML file, also while the job runs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.polling import FINAL_STATUSES
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli import report_others, terminal
from dogbreed_sdk.cli.argument_types import one_of, port
from dogbreed_sdk.cli.output import Outcome, note, waiting
from dogbreed_sdk.debugging.report import DebugReport
from dogbreed_sdk.debugging.sources.layout import find
from dogbreed_sdk.debugging.sources.locate import job_behind
from dogbreed_sdk.errors import ConfigurationError, DogBreedError, RecordingError
from dogbreed_sdk.jobs.training_job import TrainingJob
from dogbreed_sdk.jobs.tuning_job import TuningJob
from dogbreed_sdk.session import Session

# Often enough to show each epoch of most runs; reading a recording takes a fraction of that.
WATCH_SECONDS = 2.0
NOTHING_YET = "nothing has been recorded yet"


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed report``."""
    command.add_argument(
        "source",
        nargs="+",
        metavar="JOB_OR_PATH",
        help="a training or tuning job, a folder, or an s3:// or file:// URI; several runs are compared",
    )
    command.add_argument("--html", type=Path, metavar="FILE", help="write the whole report as one HTML page")
    command.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the data set, whose validation pictures the page shows (default: where the job read it)",
    )
    command.add_argument(
        "--numbers", type=Path, metavar="FILE", help="write every recorded number to this file, .csv or .json"
    )
    command.add_argument(
        "--watch",
        action="store_true",
        help="keep the report up to date until the job ends, here and as a page on 127.0.0.1",
    )
    command.add_argument("--port", type=port, default=0, help="port of the page of --watch (default: a free one)")
    command.add_argument(
        "--parameters",
        type=one_of(["default", "aws"]),
        choices=["default", "aws"],
        default="default",
        help="parameters of the rules: this SDK's, or exactly those of AWS (default: %(default)s)",
    )
    command.add_argument(
        "--set",
        action="append",
        metavar="RULE.PARAMETER=VALUE",
        dest="overrides",
        help="set one parameter of one rule; can be repeated",
    )
    command.add_argument(
        "--rule", action="append", metavar="NAME", dest="rules", help="evaluate only this rule; can be repeated"
    )
    command.add_argument(
        "--compare-with",
        action="append",
        metavar="JOB_OR_PATH",
        default=[],
        help="another run to compare with, for the rule SimilarAcrossRuns; can be repeated",
    )


def run(options: argparse.Namespace) -> Outcome:
    """Reports on a recorded run, a search, or several runs; the command succeeds whatever the rules find."""
    overrides = read.rule_parameters(options.overrides or (), option="--set")
    optional.require({"local": ["numpy"]}, purpose="read a recording")
    if len(options.source) > 1:
        return report_others.comparison(options, overrides)
    options = argparse.Namespace(**{**vars(options), "source": options.source[0]})
    with read.session_of(options.source, options) as session:
        if options.watch and _is_awaited(options, session):
            _await_folder(options.source)
        job = job_behind(options.source, session)
        if isinstance(job, TuningJob):
            return report_others.search(job, options)

        def load() -> DebugReport:
            return DebugReport.load(
                job or options.source,
                session=session,
                parameters=options.parameters,
                overrides=overrides,
                rules=options.rules,
                compare_with=options.compare_with,
                data=options.data,
            )

        report = _watched(load, options, session) if options.watch else _read(load)
        return _outcome(report, options)


def _is_awaited(options: argparse.Namespace, session: Session) -> bool:
    """Whether the source is a folder that a loop has yet to make: a path, or a name that no job has.

    With --root or --aws, a name is that of a job.
    """
    source = options.source
    if source.startswith(("s3://", "file:")) or Path(source).expanduser().exists():
        return False
    try:
        return job_behind(source, session) is None
    except (RecordingError, ConfigurationError):  # the latter if local SageMaker does not run
        return not (options.root or options.aws)


def _await_folder(source: str) -> None:
    """Waits until something has been recorded into a folder; Ctrl-C ends it."""
    folder = Path(source).expanduser()
    note(f"{source} does not exist yet; waiting until a loop records into it (Ctrl-C ends)")
    while not (folder.is_dir() and find(folder)):
        time.sleep(WATCH_SECONDS)


def _read(load: Callable[[], DebugReport]) -> DebugReport:
    with waiting("reading the recording"):
        return load()


def _outcome(report: DebugReport, options: argparse.Namespace) -> Outcome:
    document = report.to_dict()
    shown = report.to_text(width=terminal.report_width())
    text = shown.rpartition("\n")[0].rstrip("\n")  # the last line does not know --root and --aws
    written = {}
    if options.numbers is not None:
        document["numbers"] = written["numbers"] = str(report.save_numbers(options.numbers))
    shows = "the curves, the tensors and the machine"
    return report_others.outcome(report, document, text, options, [options.source], shows=shows, written=written)


def _watched(load: Callable[[], DebugReport], options: argparse.Namespace, session: Session) -> DebugReport:
    """Shows the report until the run has ended, and returns the last one."""
    report = _loaded(load, options, session)
    if report is not None and not report.is_running:
        return report
    from dogbreed_sdk.debugging.live import LivePage  # noqa: PLC0415 - needs NumPy

    with LivePage(options.source, port=options.port) as page, _display(options) as show:
        note(f"live page: {page.url}")
        while True:
            page.show(report)
            if report is not None and not report.is_running:
                return report
            show(report)
            time.sleep(WATCH_SECONDS)
            report = _loaded(load, options, session)


def _loaded(load: Callable[[], DebugReport], options: argparse.Namespace, session: Session) -> DebugReport | None:
    """The current report; None for a running job that has recorded nothing yet."""
    try:
        return load()
    except RecordingError:
        if not _runs(options.source, session):
            raise
        return None


def _runs(name: str, session: Session) -> bool:
    try:
        return TrainingJob(name, session).status not in FINAL_STATUSES
    except DogBreedError:
        return False


@contextmanager
def _display(options: argparse.Namespace) -> Iterator[Callable[[DebugReport | None], object]]:
    """Shows the newest report: on a terminal the whole summary in place of the last one, elsewhere one line."""
    if options.json or not sys.stdout.isatty():
        shown = ""

        def line(report: DebugReport | None) -> None:
            nonlocal shown
            text = NOTHING_YET if report is None else report.headline()
            if text != shown:
                note(text)
            shown = text

        yield line
        return
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    with Live(console=terminal.console(sys.stdout), auto_refresh=False, transient=True) as live:
        yield lambda report: live.update(
            Text(NOTHING_YET if report is None else report.to_text(width=terminal.report_width())), refresh=True
        )
