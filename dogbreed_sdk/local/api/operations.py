"""All operations of local SageMaker's JSON protocol, by the target that a client names."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from dogbreed_sdk.local.api import (
    cloudwatch,
    debugger,
    endpoints,
    log_filters,
    logs,
    models,
    tags,
    training_jobs,
    transform_jobs,
    tuning_jobs,
)
from dogbreed_sdk.local.api.common import Context, Members, Operation
from dogbreed_sdk.local.api.protocols import CLOUDWATCH
from dogbreed_sdk.local.api.validation import invalid_request, validate
from dogbreed_sdk.local.api.wire import ApiError
from dogbreed_sdk.local.support import tables
from dogbreed_sdk.local.support.not_offered import why_not_offered

logger = logging.getLogger(__name__)

# Of an operation that does not exist here, this many of those that do are named, if their names are similar enough.
_NEAREST_OPERATIONS = 5
_SIMILARITY = 0.4

_SAGEMAKER: dict[str, Operation] = {
    **training_jobs.OPERATIONS,
    **debugger.OPERATIONS,
    **tuning_jobs.OPERATIONS,
    **transform_jobs.OPERATIONS,
    **models.OPERATIONS,
    **endpoints.OPERATIONS,
    **tags.OPERATIONS,
}


@dataclass(frozen=True)
class Service:
    """One AWS service: botocore's name of its model, and the operations that local SageMaker offers."""

    model: str
    operations: dict[str, Operation]


# By the prefix of the X-Amz-Target header.
SERVICES = {
    "SageMaker": Service("sagemaker", _SAGEMAKER),
    "Logs_20140328": Service("logs", {**logs.OPERATIONS, **log_filters.OPERATIONS}),
    CLOUDWATCH: Service("cloudwatch", cloudwatch.OPERATIONS),
}


def perform(context: Context, target: str, parameters: Mapping[str, object]) -> Members:
    """Validate a request and perform its operation.

    Args:
        context: The request's context.
        target: Its X-Amz-Target header, for instance "SageMaker.CreateTrainingJob".
        parameters: Its body.

    Returns:
        The response's members; those that are None are left out.

    Raises:
        ApiError: The request is refused.
    """
    prefix, _, name = target.partition(".")
    service = SERVICES.get(prefix)
    operation = service.operations.get(name) if service else None
    if service is None or operation is None:
        raise ApiError("UnknownOperationException", _unknown(target, service, name))
    given = {key: value for key, value in parameters.items() if value is not None}
    validate(service.model, name, given)
    _check_support(service.model, name, given)
    return operation(context, given)


def _unknown(target: str, service: Service | None, name: str) -> str:
    """The message about an operation that local SageMaker does not have."""
    if service is None:
        return f"Local SageMaker has no operation {target!r}. It offers those of: {', '.join(SERVICES)}."
    why = why_not_offered(name)
    if service.model == "sagemaker" and why:
        return f"Local SageMaker has no operation {name!r}: {why}."
    nearest = get_close_matches(name, service.operations, n=_NEAREST_OPERATIONS, cutoff=_SIMILARITY)
    if nearest:
        close = ", ".join(nearest)
        return f"Local SageMaker has no operation {name!r}. The nearest that it offers: {close}."
    return f"Local SageMaker has no operation {name!r}. It offers: {', '.join(sorted(service.operations))}."


def _check_support(service: str, operation: str, request: Mapping[str, object]) -> None:
    """Refuse members that local SageMaker does not support, and log those that have no effect.

    Raises:
        ApiError: ValidationException, or what the service calls it, that names all of them.
    """
    found = tables.refusals(service, operation, request)
    if found:
        raise invalid_request(service, f"Local SageMaker does not support {'; '.join(found)}.")
    for member, reason in tables.without_meaning(service, operation, request).items():
        _log_once(operation, member, reason)


@cache
def _log_once(operation: str, member: str, reason: str) -> None:
    logger.info("%s: %s has no effect here: %s", operation, member, reason)
