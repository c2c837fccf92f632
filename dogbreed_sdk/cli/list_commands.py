"""The commands ``jobs`` and ``endpoints``: tables of all of them, newest first."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, note, print_table, show


def add_jobs(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed jobs``."""
    number = command.add_mutually_exclusive_group()
    number.add_argument(
        "--limit", type=at_least_one, default=100, metavar="N", help="jobs to list of each kind (default: %(default)s)"
    )
    number.add_argument("--all", action="store_true", help="list all jobs")


def jobs(options: argparse.Namespace) -> Outcome:
    """Lists the newest jobs of each kind."""
    from dogbreed_sdk.jobs.listing import newest_jobs  # noqa: PLC0415 - `endpoints` does without

    with read.sagemaker(options) as session:
        found = newest_jobs(session, None if options.all else options.limit)
    for kind, count in found.left_out.items():
        shown = sum(job["kind"] == kind for job in found.jobs)
        what = f"the newest {shown:,}" if count is None else f"{shown:,} of {shown + count:,}"
        note(f"{what} {kind} jobs are listed; to list all: {command_line(options, 'jobs', '--all')}")
    empty = f"no jobs yet; to start one: {command_line(options, 'train')} DATA"
    return _listing(found.jobs, empty=empty)


def endpoints(options: argparse.Namespace) -> Outcome:
    """Lists endpoints."""
    from dogbreed_sdk.endpoints.deployment import list_endpoints  # noqa: PLC0415 - `jobs` does without, and is quick

    with read.sagemaker(options) as session:
        found = list_endpoints(session)
    rows = [
        {
            "name": entry["EndpointName"],
            "status": entry["EndpointStatus"],
            "created": entry["CreationTime"].isoformat(timespec="seconds"),
        }
        for entry in found
    ]
    return _listing(rows, empty="no endpoints")


def _listing(rows: Sequence[Mapping[str, object]], *, empty: str) -> Outcome:
    def text() -> None:
        if rows:
            print_table(list(rows[0]), [[_moment(key, value) for key, value in row.items()] for row in rows])
        else:
            show(empty)

    return Outcome(rows, text)


def _moment(key: str, value: object) -> object:
    """A cell of a listing: times are cut to the minute, to leave room for names."""
    return str(value)[:16].replace("T", " ") if key == "created" else value
