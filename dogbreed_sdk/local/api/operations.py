"""Every operation of local SageMaker's JSON protocol, by the target a client names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dogbreed_sdk.local.api import endpoints, logs, models, tags, training_jobs, tuning_jobs
from dogbreed_sdk.local.api.common import Context, Operation
from dogbreed_sdk.local.api.validation import validate
from dogbreed_sdk.local.api.wire import ApiError

_SAGEMAKER: dict[str, Operation] = {
    **training_jobs.OPERATIONS,
    **tuning_jobs.OPERATIONS,
    **models.OPERATIONS,
    **endpoints.OPERATIONS,
    **tags.OPERATIONS,
}


@dataclass(frozen=True)
class Service:
    """One AWS service as it is offered here: botocore's name of it, and its operations."""

    model: str
    operations: dict[str, Operation]


# By the prefix of the X-Amz-Target header.
SERVICES = {"SageMaker": Service("sagemaker", _SAGEMAKER), "Logs_20140328": Service("logs", logs.OPERATIONS)}


def perform(context: Context, target: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Validate a request and do what it asks.

    Args:
        context: Where it acts.
        target: Its X-Amz-Target header, for instance "SageMaker.CreateTrainingJob".
        parameters: Its body.

    Returns:
        The answer's members; None stands for a member that is left out.

    Raises:
        ApiError: It is refused.
    """
    prefix, _, name = target.partition(".")
    service = SERVICES.get(prefix)
    operation = service.operations.get(name) if service else None
    if service is None or operation is None:
        offered = ", ".join(sorted(service.operations)) if service else ", ".join(SERVICES)
        raise ApiError(
            "UnknownOperationException", f"Local SageMaker has no operation {target!r}. It offers: {offered}."
        )
    given = {key: value for key, value in parameters.items() if value is not None}
    validate(service.model, name, given)
    return operation(context, given)
