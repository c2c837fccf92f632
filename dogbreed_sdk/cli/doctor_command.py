"""``dogbreed doctor``: checks this machine and installation, or an AWS account, before the first job."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from dogbreed_sdk import defaults
from dogbreed_sdk.aws import policy
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one, one_of
from dogbreed_sdk.cli.command_line import in_terms_of_commands
from dogbreed_sdk.cli.output import Outcome, note, say, show
from dogbreed_sdk.doctor.check import Check

# AWS's documentation writes account numbers like this.
_PLACEHOLDER_ACCOUNT, _PLACEHOLDER_REGION = "111122223333", "us-east-1"

_GRANTS = {"yours": policy.caller_grants, "role": policy.role_grants, "scheduler": policy.scheduler_grants}
_TRUSTED = {"trust": policy.SAGEMAKER_PRINCIPAL, "scheduler-trust": policy.SCHEDULER_PRINCIPAL}
_POLICIES = (*_GRANTS, *_TRUSTED)


def add(command: argparse.ArgumentParser) -> None:
    """Adds the command's own options."""
    command.add_argument(
        "--policy",
        type=one_of(_POLICIES),
        choices=_POLICIES,
        help="print a minimal IAM policy and check nothing: yours, the one of the role of jobs and models, that role's "
        "trust policy, and both of the role with which EventBridge Scheduler deletes endpoints (deploy --ttl); with "
        "--aws for your account, otherwise with placeholders",
    )
    wanted = command.add_argument_group("what the quotas must allow, with --aws")
    wanted.add_argument(
        "--instance-type",
        metavar="TYPE",
        default=defaults.TRAINING_INSTANCE_TYPE,
        help="instance type of training jobs (default: %(default)s)",
    )
    wanted.add_argument(
        "--instance-count", type=at_least_one, default=1, metavar="N", help="training instances at a time (default: 1)"
    )
    wanted.add_argument("--spot", action="store_true", help="training on spot instances too")
    wanted.add_argument("--keep-alive", action="store_true", help="warm pools too")
    wanted.add_argument(
        "--endpoint-instance-type",
        metavar="TYPE",
        default=defaults.SERVING_INSTANCE_TYPE,
        help="instance type of endpoints (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """Examines, printing each line when it is known."""
    if options.policy:
        return _policy(options)
    note("Checking the AWS account …" if options.aws else "Checking this machine (--aws checks an AWS account) …")
    found: list[Check] = []
    for check in _examination(options):
        found.append(replace(check, message=in_terms_of_commands(check.message, options)))
        if not options.json:
            _print(found[-1])
    counts = {status: sum(check.status == status for check in found) for status in ("pass", "warn", "fail")}
    if not options.json:
        show("", f"{counts['pass']} passed, {counts['warn']} warnings, {counts['fail']} failed")
    document = {
        "checks": [asdict(check) for check in found],
        "passed": counts["pass"],
        "warnings": counts["warn"],
        "failed": counts["fail"],
    }
    return Outcome(document, lambda: None, exit_code=1 if counts["fail"] else 0)


def _examination(options: argparse.Namespace) -> Iterator[Check]:
    from dogbreed_sdk.doctor.packages import check_packages  # noqa: PLC0415

    if options.aws:
        from dogbreed_sdk.doctor.account import check_account  # noqa: PLC0415

        session = read.session(options)
        yield from check_packages("aws")
        yield from check_account(session, _demands(options))
        return
    from dogbreed_sdk.doctor.machine import check_machine  # noqa: PLC0415

    read.refuse_aws(options, "checks this machine")
    yield from check_packages("local")
    yield from check_machine(read.root(options))


def _demands(options: argparse.Namespace) -> list[Any]:
    from dogbreed_sdk.doctor.quotas import Demand  # noqa: PLC0415

    demands = [Demand(options.instance_type, "training", options.instance_count)]
    if options.spot:
        demands.append(Demand(options.instance_type, "spot", options.instance_count))
    if options.keep_alive:
        demands.append(Demand(options.instance_type, "warm pool", options.instance_count))
    return [*demands, Demand(options.endpoint_instance_type, "endpoint")]


def _print(check: Check) -> None:
    show(f"{check.status}  {check.name}: {check.message}")
    if check.remedy and check.status != "pass":
        show(f"      {check.remedy}")


def _policy(options: argparse.Namespace) -> Outcome:
    if options.policy in _TRUSTED:
        document = policy.trust_document(_TRUSTED[options.policy])
    else:
        document = policy.document(_GRANTS[options.policy](_scope(options)))
    return Outcome(document, say(*json.dumps(document, indent=2).splitlines()))


def _scope(options: argparse.Namespace) -> policy.Scope:
    if options.aws:
        from dogbreed_sdk.doctor.account import caller_scope  # noqa: PLC0415

        return caller_scope(read.session(options))
    region = options.region or _PLACEHOLDER_REGION
    return policy.Scope(
        account=_PLACEHOLDER_ACCOUNT,
        region=region,
        bucket=options.bucket or f"sagemaker-{region}-{_PLACEHOLDER_ACCOUNT}",
        role_arn=options.role or f"arn:aws:iam::{_PLACEHOLDER_ACCOUNT}:role/dogbreed",
    )
