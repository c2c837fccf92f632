"""Checks what a training job is to run, before it is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dogbreed_sdk import container
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.container_view import OPT_ML

_SCRIPT = (container.PROGRAM_HYPERPARAMETER, container.SUBMIT_DIRECTORY_HYPERPARAMETER)


def check_program(algorithm: Mapping[str, Any], hyperparameters: Mapping[str, str]) -> None:
    """Refuse a job that has nothing to run: no image is run, so the request itself must name a program.

    Args:
        algorithm: AlgorithmSpecification.
        hyperparameters: HyperParameters, or a tuning job's StaticHyperParameters.

    Raises:
        ApiError: ValidationException.
    """
    if algorithm.get("ContainerEntrypoint"):
        return
    if algorithm.get("ContainerArguments"):
        raise validation_error(
            "ContainerArguments are arguments of the image's own entry point, and local SageMaker runs no image: "
            "pass a ContainerEntrypoint too."
        )
    values = [container.decode_hyperparameter(hyperparameters.get(name, "")) for name in _SCRIPT]
    if not all(isinstance(value, str) and value for value in values):
        raise validation_error(
            "The job has nothing to run: local SageMaker runs no image. Pass the hyperparameters sagemaker_program (a "
            "script's file name) and sagemaker_submit_directory (the URI of a sourcedir.tar.gz), as SageMaker's SDKs "
            "do for an entry_point, or pass AlgorithmSpecification.ContainerEntrypoint."
        )
    _check_folder(*map(str, values))


def _check_folder(program: str, source: str) -> None:
    """Refuse a program that is not in its source, where that can be seen without unpacking anything."""
    if source.startswith(f"{OPT_ML}/"):
        return  # in a channel
    try:
        place = Path(source) if source.startswith("/") else container.uri_to_path(source)
    except ValueError:
        return  # on S3, or unusable, which the job's FailureReason explains
    if not place.exists():
        raise validation_error(f"sagemaker_submit_directory: {place} does not exist. Correct the URI.")
    if place.is_dir() and not (place / program).is_file():
        present = ", ".join(sorted(path.name for path in place.iterdir())[:12]) or "nothing"
        raise validation_error(f"sagemaker_program: {program!r} is not in {place}, which holds {present}.")
