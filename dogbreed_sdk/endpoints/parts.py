"""The configuration and the models of an endpoint, and whether they may be deleted: others may use what is not ours."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests.tags import CREATED_BY, SCHEDULED, is_ours
from dogbreed_sdk.endpoints.deletion import Deletion, delete_endpoint_config, delete_model, missing_ignored
from dogbreed_sdk.endpoints.expiry import delete_schedule
from dogbreed_sdk.endpoints.own_code import is_repacked
from dogbreed_sdk.endpoints.tags import resource_tags
from dogbreed_sdk.errors import DogBreedError, EndpointError

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

logger = logging.getLogger("dogbreed_sdk")


@dataclass(frozen=True)
class Part:
    """An endpoint configuration or a model.

    Attributes:
        kind: "endpoint configuration" or "model", for messages.
        name: Its name.
        tags: Its tags; None if they cannot be read.
        delete: Deletes it.
    """

    kind: str
    name: str
    tags: Mapping[str, str] | None
    delete: Deletion


def existing(session: Session, config_name: str, models: Iterable[str]) -> list[Part]:
    """The configuration and the models of these names, as far as they exist, the configuration first."""
    client = session.client("sagemaker")

    def config_arn() -> str:
        return client.describe_endpoint_config(EndpointConfigName=config_name)["EndpointConfigArn"]

    def model_arn(name: str) -> str:
        return client.describe_model(ModelName=name)["ModelArn"]

    delete_config = partial(delete_endpoint_config, session, config_name)
    return [
        *_part(session, "endpoint configuration", config_name, config_arn, delete_config),
        *(
            part
            for name in models
            for part in _part(session, "model", name, partial(model_arn, name), partial(remove_model, session, name))
        ),
    ]


def remove_model(session: Session, name: str) -> None:
    """Deletes a model, and its artifact if that was repacked for it."""
    uri = ""
    try:
        with translated(f"read model {name}", otherwise=EndpointError), missing_ignored():
            described = session.client("sagemaker").describe_model(ModelName=name)
            uri = described.get("PrimaryContainer", {}).get("ModelDataUrl", "")
    except DogBreedError as error:
        logger.info("Whether the model %s has an artifact of its own was not looked up: %s", name, error)
    delete_model(session, name)
    if not is_repacked(session, name, uri):
        return
    try:
        session.storage.delete_file(uri)
    except DogBreedError as error:
        logger.warning("The model %s was deleted, but not its artifact %s: %s", name, uri, error)


def _part(session: Session, kind: str, name: str, arn: Callable[[], str], delete: Deletion) -> Iterator[Part]:
    """The part, or nothing if it does not exist."""
    try:
        with translated(f"read the tags of {kind} {name}", otherwise=EndpointError), missing_ignored():
            yield Part(kind, name, resource_tags(session, arn()), delete)
    except DogBreedError as error:
        logger.info("Whether this project created %s %s was not looked up: %s", kind, name, error)
        yield Part(kind, name, None, delete)


def are_scheduled(parts: Iterable[Part]) -> bool:
    """Whether a schedule was asked for that deletes the endpoint."""
    return any(SCHEDULED in (part.tags or {}) for part in parts)


def own_deletions(parts: Iterable[Part], endpoint_name: str) -> Iterator[Deletion]:
    """The deletions of the parts that this project created; what is kept is logged.

    If the tags cannot be read the name decides: `deploy` gives both the endpoint's.
    """
    for part in parts:
        if part.name == endpoint_name if part.tags is None else is_ours(part.tags):
            yield part.delete
        else:
            why = "its tags could not be read" if part.tags is None else f"it does not carry the tag {CREATED_BY}"
            logger.warning("The %s %s was kept: %s, so others may use it.", part.kind, part.name, why)


def make_way(session: Session, name: str) -> None:
    """Deletes what an endpoint that is gone has left under its name, so that the name can be used again.

    EventBridge Scheduler, for example, deletes only the endpoint. What cannot be read stays: creation then says that
    the name is taken.

    Raises:
        EndpointError: Somebody else's configuration or model has the name, or SageMaker refused a deletion.
        AccessError: A permission to delete is missing.
    """
    found = [part for part in existing(session, name, [name]) if part.tags is not None]
    for part in found:
        if not is_ours(part.tags or {}):
            raise EndpointError(
                f"The {part.kind} {name} already exists, and does not carry this project's tag {CREATED_BY}. Choose "
                f"another name for the endpoint, or delete the {part.kind} if nobody needs it."
            )
    if are_scheduled(found):
        try:
            delete_schedule(session, name)
        except DogBreedError as error:
            logger.warning("The schedule of an earlier endpoint %s may exist, and delete the new one: %s", name, error)
    for part in found:
        logger.info("Deleting the %s %s, which an earlier endpoint of this name has left.", part.kind, name)
        part.delete()
