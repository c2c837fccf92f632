"""Models and endpoint configurations that an endpoint does not use any more: found by their tags, and deleted.

An update that was killed leaves some behind; the next update, or the deletion of the endpoint, finds them here.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from functools import partial
from typing import TYPE_CHECKING

from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.aws.requests.tags import CREATED_BY, CREATED_BY_VALUE, ENDPOINT
from dogbreed_sdk.endpoints.deletion import Deletion, delete_endpoint_config
from dogbreed_sdk.endpoints.parts import remove_model
from dogbreed_sdk.endpoints.tags import resource_tags
from dogbreed_sdk.errors import EndpointError

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

# What `names.unique_name` appends.
_UNIQUE = r"-\d{6}-\d{6}-[0-9a-f]{4}"


def unused(
    session: Session, endpoint_name: str, *, configs_in_use: Collection[str] = (), models_in_use: Collection[str] = ()
) -> list[Deletion]:
    """The deletions of an endpoint's unused configurations and models, configurations first.

    Only what this project created for this endpoint is deleted: its tags say so.

    Args:
        session: The session that the endpoint belongs to.
        endpoint_name: Name of the endpoint.
        configs_in_use: Names of the configurations that it uses.
        models_in_use: Names of the models that it uses.

    Raises:
        EndpointError: SageMaker refused to list them.
        AccessError: Credentials or a permission (ListEndpointConfigs, ListModels, ListTags) are missing.
    """
    with translated(f"look for unused parts of endpoint {endpoint_name}", otherwise=EndpointError):
        configs = [name for name in _configs(session, endpoint_name) if name not in configs_in_use]
        models = [name for name in _models(session, endpoint_name) if name not in models_in_use]
    return [
        *(partial(delete_endpoint_config, session, name) for name in configs),
        *(partial(remove_model, session, name) for name in models),
    ]


def _configs(session: Session, endpoint_name: str) -> Iterator[str]:
    pages = session.client("sagemaker").get_paginator("list_endpoint_configs")
    for page in pages.paginate(NameContains=_base(endpoint_name), PaginationConfig={"PageSize": 100}):
        for entry in page["EndpointConfigs"]:
            if _is_made_for(session, endpoint_name, entry["EndpointConfigName"], entry["EndpointConfigArn"]):
                yield entry["EndpointConfigName"]


def _models(session: Session, endpoint_name: str) -> Iterator[str]:
    pages = session.client("sagemaker").get_paginator("list_models")
    for page in pages.paginate(NameContains=_base(endpoint_name), PaginationConfig={"PageSize": 100}):
        for entry in page["Models"]:
            if _is_made_for(session, endpoint_name, entry["ModelName"], entry["ModelArn"]):
                yield entry["ModelName"]


def _is_made_for(session: Session, endpoint_name: str, name: str, arn: str) -> bool:
    """Whether this project created a resource for the endpoint: `deploy` under its name, an update under a new one."""
    is_deployed = name == endpoint_name
    if not is_deployed and not re.fullmatch(re.escape(_base(endpoint_name)) + _UNIQUE, name):
        return False
    tags = resource_tags(session, arn)
    return tags.get(CREATED_BY) == CREATED_BY_VALUE and (is_deployed or tags.get(ENDPOINT) == endpoint_name)


def _base(endpoint_name: str) -> str:
    """What the names of all resources of an endpoint begin with."""
    return re.sub(_UNIQUE + "$", "", names.unique_name(endpoint_name))
