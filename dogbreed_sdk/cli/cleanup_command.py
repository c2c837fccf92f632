"""``dogbreed cleanup``: deletes what this project created, after showing it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator

from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk.aws.requests.tags import CREATED_BY
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.ls_command import print_resources
from dogbreed_sdk.cli.output import Outcome, confirm, note, show
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.store import is_root
from dogbreed_sdk.resources.cleanup import CleanupPlan, CleanupResult, plan_cleanup
from dogbreed_sdk.resources.resource import JOB_KINDS, Resource
from dogbreed_sdk.session import Session
from training_scripts._util.number_text import counted


def add(command: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    command.add_argument("--older-than", metavar="TIME", help="only what was created longer ago: 12h, 1d")
    command.add_argument("--expired", action="store_true", help="only what was deployed with --ttl and has expired")
    command.add_argument("--stop-jobs", action="store_true", help="also stop training, tuning and transform jobs")
    command.add_argument(
        "--objects", action="store_true", help="also delete the files: data sets, features, and results of jobs"
    )
    command.add_argument("--yes", action="store_true", help="delete without asking for confirmation")


def run(options: argparse.Namespace) -> Outcome:
    """Plans, shows, asks, deletes."""
    with read.sagemaker(options) as session:
        plan = _plan(options, session)
        for line in plan.notes:
            note(line)
        if not options.yes and not plan.is_empty:
            if not options.json:
                _print_plan(plan)
            try:
                confirm(_question(plan), otherwise="--yes")
            except ConfigurationError as error:
                if not options.json:
                    raise
                note(f"error: {error}")
                return Outcome(_unanswered(plan, error), lambda: None, exit_code=2)
        result = plan.run(progress=lambda resource: note(f"{_verb(resource)} {resource.kind} {resource.name}"))
    return Outcome(
        _document(plan, result), lambda: show(*_lines(options, plan, result)), exit_code=1 if result.failures else 0
    )


def _plan(options: argparse.Namespace, session: Session) -> CleanupPlan:
    if session.root is not None and not is_root(session.root):
        return CleanupPlan(session, (), ())
    return plan_cleanup(
        session,
        older_than=options.older_than,
        expired=options.expired,
        stop_jobs=options.stop_jobs,
        objects=options.objects,
    )


def _print_plan(plan: CleanupPlan) -> None:
    """Shows what will be deleted, before the question."""
    if plan.delete:
        print_resources(plan.delete)
    for folder, count, size in plan.folders():
        show(f"{folder}  {counted(count, 'file')}, {amount(size)}")


def _question(plan: CleanupPlan) -> str:
    jobs = _jobs(plan.delete)
    what = [
        f"delete {counted(len(plan.delete) - jobs, 'resource')}" if len(plan.delete) > jobs else "",
        f"stop {counted(jobs, 'job')}" if jobs else "",
        f"delete {counted(len(plan.objects), 'file')}" if plan.objects else "",
    ]
    text = ", ".join(part for part in what if part)
    return f"{_scope(plan.session)}{text[0].upper()}{text[1:]}?"


def _scope(session: Session) -> str:
    """Whose resources a clean-up covers: on AWS, an account is shared."""
    if session.is_local:
        return ""
    return (
        f"This covers everything in this account and region ({session.region}) with the tag {CREATED_BY}, also what "
        "colleagues created. "
    )


def _document(plan: CleanupPlan, result: CleanupResult) -> dict[str, object]:
    return {
        "deleted": _names(result.deleted),
        "failed": [{"kind": entry.kind, "name": entry.name, "error": str(entry.error)} for entry in result.failures],
        "kept": _names(plan.keep),
        "objects": {"uri": plan.objects_uri or None, "deleted": result.objects},
        "notes": list(plan.notes),
    }


def _unanswered(plan: CleanupPlan, error: ConfigurationError) -> dict[str, object]:
    """The document if nobody could answer the question: the error, and what would be deleted."""
    return {
        "error": str(error),
        "kind": type(error).__name__,
        "would_delete": _names(plan.delete),
        "would_keep": _names(plan.keep),
        "objects": {"uri": plan.objects_uri or None, "would_delete": len(plan.objects)},
        "notes": list(plan.notes),
    }


def _names(resources: Iterable[Resource]) -> list[dict[str, str]]:
    return [{"kind": resource.kind, "name": resource.name} for resource in resources]


def _lines(options: argparse.Namespace, plan: CleanupPlan, result: CleanupResult) -> Iterator[str]:
    if plan.is_empty:
        yield "nothing to delete"
    else:
        files = f" and {counted(result.objects, 'file')} below {plan.objects_uri}" if plan.objects else ""
        jobs = _jobs(result.deleted)
        yield f"deleted {counted(len(result.deleted) - jobs, 'resource')}{files}, stopped {counted(jobs, 'job')}"
    for failure in result.failures:
        yield f"failed: {failure.kind} {failure.name}: {failure.error}"
    if result.failures:
        yield "run the command again for what failed"
    running = [resource.name for resource in plan.keep if resource.kind in JOB_KINDS]
    if running:
        yield f"still running: {', '.join(running)}; --stop-jobs stops them"
    if len(plan.keep) > len(running):
        yield f"kept {counted(len(plan.keep) - len(running), 'resource')}; '{command_line(options, 'ls')}' lists them"


def _jobs(resources: Iterable[Resource]) -> int:
    return sum(resource.kind in JOB_KINDS for resource in resources)


def _verb(resource: Resource) -> str:
    return "stopped" if resource.kind in JOB_KINDS else "deleted"
