"""``dogbreed ls``: what this project created and what still exists, with its price per hour."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timezone

from dogbreed_sdk._util.durations import rounded
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, note, print_table, show
from dogbreed_sdk.local.store import is_root
from dogbreed_sdk.resources.listing import list_resources
from dogbreed_sdk.resources.resource import Kind, Resource, ResourceList
from dogbreed_sdk.session import Session

_WITHOUT_PRICE: tuple[Kind, ...] = ("model", "endpoint-config", "scalable-target", "schedule")


def run(options: argparse.Namespace) -> Outcome:
    """Lists the resources."""
    with read.sagemaker(options) as session:
        found = existing(session)
    for line in found.notes:
        note(line)

    def text() -> None:
        if not found:
            show(_nothing(options))
            return
        print_resources(found.resources)
        show("", _total(found, is_local=session.is_local), f"to delete all of it: {command_line(options, 'cleanup')}")

    return Outcome(found.to_dict(), text)


def existing(session: Session) -> ResourceList:
    """`list_resources`; where there is no local SageMaker yet, nothing has been created."""
    if session.root is not None and not is_root(session.root):
        return ResourceList(())
    return list_resources(session)


def print_resources(resources: Sequence[Resource]) -> None:
    """Prints a table of resources."""
    print_table(
        ["name", "kind", "status", "age", "USD/hour", "expires"],
        [
            [
                resource.name,
                resource.kind,
                resource.status,
                rounded(resource.age.total_seconds()),
                _price(resource),
                _expiry(resource),
            ]
            for resource in resources
        ],
    )


def _nothing(options: argparse.Namespace) -> str:
    jobs, cleanup = command_line(options, "jobs"), command_line(options, "cleanup", "--objects")
    return (
        f"no endpoints, models or running jobs are left; jobs that have ended ('{jobs}') and files "
        f"('{cleanup}') are not listed here"
    )


def _price(resource: Resource) -> str:
    """The price per hour; a dash for what never has one."""
    if resource.usd_per_hour is None:
        return "unknown"
    return "-" if resource.kind in _WITHOUT_PRICE else f"{resource.usd_per_hour:.3f}"


def _expiry(resource: Resource) -> str:
    if resource.expires_at is None:
        return ""
    if resource.is_expired:
        return "expired"
    return f"in {rounded((resource.expires_at - datetime.now(timezone.utc)).total_seconds())}"


def _total(found: ResourceList, *, is_local: bool) -> str:
    if is_local:
        return "all of it is on this machine and costs no money; endpoints need memory while they are used"
    unknown = sum(resource.usd_per_hour is None for resource in found)
    more = f" and {unknown} whose price is not known" if unknown else ""
    prices = f"the packaged prices, the newest of {found.prices_as_of}"
    return f"in total {found.usd_per_hour:.3f} USD per hour{more}, by {prices}"
