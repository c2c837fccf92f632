"""The support tables of all operations, by service; applied to requests."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from dogbreed_sdk.local.support import (
    cloudwatch,
    endpoints,
    listing,
    logs,
    models,
    training_jobs,
    transform_jobs,
    tuning_jobs,
)
from dogbreed_sdk.local.support.rows import Row, Table

# botocore's name of the service -> operation -> table.
TABLES: Mapping[str, Table] = {
    "sagemaker": {
        **training_jobs.OPERATIONS,
        **tuning_jobs.OPERATIONS,
        **transform_jobs.OPERATIONS,
        **models.OPERATIONS,
        **endpoints.OPERATIONS,
        **listing.OPERATIONS,
    },
    "sagemaker-runtime": endpoints.RUNTIME_OPERATIONS,
    "logs": logs.OPERATIONS,
    "cloudwatch": cloudwatch.OPERATIONS,
}
_UNKNOWN = Row(
    "refused", "this version of local SageMaker does not know the member; leave it out, or update dogbreed-sdk"
)
_INDEX = re.compile(r"\[\d+\]")
_LONGEST_SHOWN_VALUE = 200


def refusals(service: str, operation: str, request: Mapping[str, object]) -> list[str]:
    """The members of a request that local SageMaker refuses, each with the reason and what to do."""
    found = []
    for path, value, row in _members(TABLES[service][operation], request, ""):
        if not row.accepts(value) and not _is_empty(value):
            shown = f" {str(value)[:_LONGEST_SHOWN_VALUE]!r}" if row.only else ""
            found.append(f"{path}{shown} ({row.explanation})")
    return found


def without_meaning(service: str, operation: str, request: Mapping[str, object]) -> dict[str, str]:
    """The members of a request that have no effect on local SageMaker, each with the reason; not the routine ones."""
    return {
        _INDEX.sub("", path): row.note
        for path, value, row in _members(TABLES[service][operation], request, "")
        if row.support == "no meaning" and not row.is_routine
        if value is not False and not _is_empty(value)
    }


def _members(node: Row | Table, value: object, path: str) -> Iterator[tuple[str, object, Row]]:
    """The members that a request sets, each with its path, its value and its row."""
    if value is None:
        return
    if isinstance(node, Row):
        yield path, value, node
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _members(node.get(name, _UNKNOWN), item, f"{path}.{name}" if path else name)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _members(node, item, f"{path}[{index}]")


def _is_empty(value: object) -> bool:
    """Whether a value asks for nothing."""
    return isinstance(value, (str, list, tuple, Mapping)) and not value
