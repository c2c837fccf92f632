"""Finds what exists in SageMaker and carries this project's tag.

SageMaker itself is asked for its lists and for each resource's tags: its answers are complete at once, and need no
permission beyond SageMaker's. The Resource Groups Tagging API would need fewer calls, but lags behind by minutes, also
after a deletion, and is a further permission.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dogbreed_sdk.aws.requests.tags import is_ours
from dogbreed_sdk.endpoints.tags import resource_tags
from dogbreed_sdk.resources.resource import Kind

if TYPE_CHECKING:
    from types_boto3_sagemaker import SageMakerClient

    from dogbreed_sdk.session import Session

# As many calls at a time as a client has connections; its configuration retries those that AWS throttles.
_CALLS_AT_ONCE = 10
_PAGE_SIZE = 100  # API reference, MaxResults of all these lists

T = TypeVar("T")
R = TypeVar("R")


class Found(NamedTuple):
    """A resource as its list describes it."""

    kind: Kind
    name: str
    arn: str
    status: str
    created: datetime


@dataclass(frozen=True)
class _Listing:
    """How one kind is listed.

    Attributes:
        kind: The kind.
        operation: The client's method.
        result: The member of the response that holds the entries.
        prefix: The beginning of the members of an entry: ``EndpointName``, ``EndpointArn``, ``EndpointStatus``.
        conditions: Members of the request.
    """

    kind: Kind
    operation: str
    result: str
    prefix: str
    conditions: Mapping[str, str]


def _listings() -> Iterator[_Listing]:
    yield _Listing("endpoint", "list_endpoints", "Endpoints", "Endpoint", {})
    yield _Listing("endpoint-config", "list_endpoint_configs", "EndpointConfigs", "EndpointConfig", {})
    yield _Listing("model", "list_models", "Models", "Model", {})
    # Jobs that have ended cost nothing and are kept as a record; there may be thousands.
    jobs: tuple[tuple[Kind, str, str], ...] = (
        ("training-job", "list_training_jobs", "TrainingJob"),
        ("tuning-job", "list_hyper_parameter_tuning_jobs", "HyperParameterTuningJob"),
        ("transform-job", "list_transform_jobs", "TransformJob"),
    )
    for kind, operation, prefix in jobs:
        for status in ("InProgress", "Stopping"):
            yield _Listing(kind, operation, f"{prefix}Summaries", prefix, {"StatusEquals": status})
    available = {"WarmPoolStatusEquals": "Available"}
    yield _Listing("warm-pool", "list_training_jobs", "TrainingJobSummaries", "TrainingJob", available)


def in_parallel(work: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """The results of calls that wait for the network, in the order of the items."""
    with ThreadPoolExecutor(_CALLS_AT_ONCE) as pool:
        return list(pool.map(work, items))


def find_ours(session: Session) -> list[tuple[Found, dict[str, str]]]:
    """What this project created in SageMaker, with all tags.

    Args:
        session: Where to look.
    """
    client = session.client("sagemaker")
    pages = in_parallel(lambda listing: list(_entries(client, listing)), _listings())
    # A job that stops while it is listed may be in two lists.
    found = list({(entry.kind, entry.name): entry for page in pages for entry in page}.values())
    tags = in_parallel(lambda entry: resource_tags(session, entry.arn), found)
    return [(entry, held) for entry, held in zip(found, tags, strict=True) if is_ours(held)]


def _entries(client: SageMakerClient, listing: _Listing) -> Iterator[Found]:
    # The stubs know paginators by literal names only.
    paginator: Any = client.get_paginator(listing.operation)  # type: ignore[call-overload]
    pages: Iterable[Mapping[str, Sequence[Mapping[str, Any]]]] = paginator.paginate(
        **listing.conditions, PaginationConfig={"PageSize": _PAGE_SIZE}
    )
    for page in pages:
        for entry in page[listing.result]:
            prefix = listing.prefix
            status = entry.get(f"{prefix}Status", "") if listing.kind != "warm-pool" else "Available"
            yield Found(listing.kind, entry[f"{prefix}Name"], entry[f"{prefix}Arn"], status, entry["CreationTime"])
