"""Lists everything that this project created and that still exists, with its price per hour."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests.expiry import read_expiry
from dogbreed_sdk.aws.requests.tags import EXPIRES_AT
from dogbreed_sdk.errors import DogBreedError
from dogbreed_sdk.resources.details import Details, details
from dogbreed_sdk.resources.discovery import Found, find_ours, in_parallel
from dogbreed_sdk.resources.other_services import find_beside
from dogbreed_sdk.resources.resource import Resource, ResourceList

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session


def list_resources(session: Session) -> ResourceList:
    """Everything that this project created in SageMaker and that still exists, with its price per hour.

    Endpoints, endpoint configurations, models, jobs that run, warm pools, scalable targets and schedules, recognized
    by this project's tag alone: what others created is never listed. Jobs that have ended cost nothing and are not
    listed; `list_jobs` has them. Files are not listed either.

    Args:
        session: Where to look.

    Raises:
        AccessError: Credentials, or a permission of SageMaker's, are missing. Without permission for the other
            services the list has a note.

    Examples:
        >>> sorted(resource.kind for resource in list_resources(session))
        ['endpoint', 'endpoint-config', 'model']
    """
    with translated("list what this project created", otherwise=DogBreedError):
        ours = find_ours(session)
        client = session.client("sagemaker")
        described = in_parallel(lambda entry: details(client, entry[0]), ours)
        beside, notes = find_beside(session)
    made = [
        _resource(session, found, facts, tags)
        for (found, tags), facts in zip(ours, described, strict=True)
        if facts is not None
    ]
    # A schedule has the name of the endpoint that it deletes, and its expiry.
    expiries = {("schedule", entry.name): entry.expires_at for entry in made if entry.kind == "endpoint"}
    made += [replace(entry, expires_at=expiries.get((entry.kind, entry.name))) for entry in beside]
    made.sort(key=lambda resource: (resource.kind != "endpoint", resource.created, resource.name))
    return ResourceList(tuple(made), tuple(notes))


def _resource(session: Session, found: Found, facts: Details, tags: dict[str, str]) -> Resource:
    return Resource(
        kind=found.kind,
        name=found.name,
        status=found.status,
        created=found.created,
        usd_per_hour=0.0 if session.is_local else facts.usd_per_hour(session.region),
        expires_at=facts.expires_at or read_expiry(tags.get(EXPIRES_AT)),
        uses=facts.uses,
    )
