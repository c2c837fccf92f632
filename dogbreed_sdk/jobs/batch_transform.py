"""Starts batch transform jobs: classifies thousands of pictures without an endpoint."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, TypeAlias, TypedDict, cast

from dogbreed_sdk import defaults
from dogbreed_sdk._util.interruptions import EndsByException
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import instances, names
from dogbreed_sdk.aws.requests.tags import project_tags
from dogbreed_sdk.aws.requests.transform import MAX_MEGABYTES, transform_job
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.client import responses
from dogbreed_sdk.client.argument_checks import check_number
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.endpoints import settings as endpoint_settings
from dogbreed_sdk.endpoints.deletion import Deletion, delete_model, noted, undone_after_an_error
from dogbreed_sdk.endpoints.settings import EndpointSettings
from dogbreed_sdk.endpoints.status import once_visible
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.transform_inputs import TransformInput, stored_input
from dogbreed_sdk.jobs.transform_job import TransformJob
from training_scripts.data import formats

if TYPE_CHECKING:
    from botocore.model import StringShape
    from types_boto3_sagemaker.type_defs import CreateModelInputTypeDef, CreateTransformJobRequestTypeDef

    from dogbreed_sdk.session import Session

Pictures: TypeAlias = "BreedDataset | str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

_MEGABYTE = 1 << 20


class TransformOptions(TypedDict, total=False):
    """The keyword arguments of everything that starts a batch transform job; `transform` explains them."""

    split: str | None
    name: str | None
    output_uri: str | None
    instance_type: str
    instance_count: int
    max_concurrency: int | None
    max_payload_mb: int | None
    image_uri: str | None
    framework_version: str | None
    environment: Mapping[str, str] | None
    network_isolation: bool
    tags: Mapping[str, str] | None


def transform(
    model_uri: str,
    pictures: Pictures,
    *,
    session: Session,
    split: str | None = None,
    name: str | None = None,
    output_uri: str | None = None,
    instance_type: str = defaults.TRANSFORM_INSTANCE_TYPE,
    instance_count: int = 1,
    max_concurrency: int | None = None,
    max_payload_mb: int | None = None,
    image_uri: str | None = None,
    framework_version: str | None = None,
    environment: Mapping[str, str] | None = None,
    network_isolation: bool = False,
    tags: Mapping[str, str] | None = None,
) -> TransformJob:
    """Classifies many pictures in a batch transform job: no endpoint, and instances only as long as the job runs.

    Pictures of any formats may be mixed. The model runs in the session's VPC if it has one, and the session's KMS key
    encrypts outputs and volumes.

    Args:
        model_uri: URI of a ``model.tar.gz``, such as a bundle.
        pictures: A data set, a folder or paths of pictures, which are uploaded; or the s3:// URI of a folder, whose
            files must all be pictures.
        session: The session that the job belongs to.
        split: The split of the data set to transform; None for all of it.
        name: Name of the job. Default: a new unique name.
        output_uri: Folder for the outputs. Default: one of the job's own in the session's bucket.
        instance_type: For example ``ml.m5.xlarge``.
        instance_count: Number of instances, which share the pictures.
        max_concurrency: Requests that are sent to an instance at the same time. Default: 8, or as many as fit.
        max_payload_mb: Size of the largest picture in MB; larger ones fail. Default: that of the largest picture, up to
            the 25 MiB that endpoints accept. Its product with ``max_concurrency`` may be 100 at most.
        image_uri: Your own serving image. Default: AWS's PyTorch image for the region and the instance type.
        framework_version: PyTorch version of AWS's image. Default: 2.6, the newest with which AWS serves models.
        environment: Environment variables of the model server.
        network_isolation: Whether the container is cut off from all networks.
        tags: Tags for cost reports and clean-up.

    Returns:
        The job, which is running: ``job.wait()``, then ``job.predictions()``.

    Raises:
        ConfigurationError: There are no pictures, or a value is out of range.
        DatasetError: A file or split does not exist.
        JobError: SageMaker refused.
        QuotaError: The account's quota for this instance type is exhausted.

    Examples:
        >>> batch = transform(job.model_uri, dataset, split="test", session=session).wait()
        >>> for picture, prediction in batch.predictions():
        ...     print(picture, "->", prediction.label)
        test/002.Basset_hound/Basset_hound_020.jpg -> Basset hound
        ...
        >>> batch.delete()
    """
    is_unique = not name
    name = names.check_name(name or names.unique_name("dogbreed-transform"), what="transform job")
    settings = EndpointSettings(
        instance_type=instance_type,
        image_uri=image_uri,
        framework_version=framework_version,
        environment=environment or {},
        network_isolation=network_isolation,
        tags=tags or {},
    )
    endpoint_settings.check_image(settings)
    _check_instances(session, instance_type, instance_count)
    _check_limits(max_payload_mb, max_concurrency)
    if output_uri is not None and not session.is_local and not output_uri.startswith("s3://"):
        raise ConfigurationError(f"output_uri must be an s3:// URI for a job on AWS, got {output_uri!r}.")
    folder = join(session.base_uri, "transform", name)
    uploads = join(folder, "input")

    def delete_uploads() -> None:
        session.storage.delete_folder(uploads)

    with EndsByException(), undone_after_an_error(f"the pictures and the model of {name}") as undo:
        undo.append(delete_uploads)
        found = stored_input(pictures, split, folder=uploads, session=session)
        payload, concurrency = _limits(found, max_payload_mb, max_concurrency)
        request = transform_job(
            name,
            model_name=name,
            input_uri=found.uri,
            output_uri=output_uri or join(folder, "output"),
            content_type=formats.ANY_PICTURE,
            accept=responses.ACCEPT,
            instance_type=instance_type,
            instance_count=instance_count,
            max_concurrency=concurrency,
            max_payload_mb=payload,
            output_key=session.kms_key,
            # Disks inside a host are encrypted by its hardware (API reference, TransformResources, VolumeKmsKeyId).
            volume_key=None if instances.has_local_disks(instance_type) else session.kms_key,
            tags=project_tags(tags),
        )
        model = endpoint_settings.model_request(name, model_uri, settings, session)
        _create(session, undo, model, request, is_unique=is_unique)
    return TransformJob(name, session)


def _create(
    session: Session,
    undo: list[Deletion],
    model: CreateModelInputTypeDef,
    request: CreateTransformJobRequestTypeDef,
    *,
    is_unique: bool,
) -> None:
    """Creates the model and the job; notes how to delete the model."""
    client = session.client("sagemaker")
    name = request["TransformJobName"]
    with translated(f"start transform job {name}"):
        with noted(undo, partial(delete_model, session, name), is_unique=is_unique):
            client.create_model(**model)
        once_visible(lambda: client.create_transform_job(**request))


def _check_instances(session: Session, instance_type: str, instance_count: int) -> None:
    shape = session.client("sagemaker").meta.service_model.shape_for("TransformInstanceType")
    instances.check_instance_type(instance_type, known=cast("StringShape", shape).enum, what="a transform job")
    check_number("instance_count", instance_count, least=1, whole=True)


def _check_limits(payload: int | None, concurrency: int | None) -> None:
    """Refuses what SageMaker would refuse, before pictures are uploaded."""
    for name, value in (("max_concurrency", concurrency), ("max_payload_mb", payload)):
        if value is not None:
            check_number(name, value, least=1, whole=True)
    if (concurrency or 1) * (payload or 1) > MAX_MEGABYTES:
        raise ConfigurationError(
            f"max_concurrency times max_payload_mb may be {MAX_MEGABYTES} at most, got {concurrency or 1} times "
            f"{payload or 1}."
        )


def _limits(found: TransformInput, payload: int | None, concurrency: int | None) -> tuple[int, int]:
    """MaxPayloadInMB and MaxConcurrentTransforms: what is not given fits the largest picture."""
    if payload is None:
        largest = min(max(found.sizes.values()), defaults.REALTIME_PAYLOAD_BYTES)
        payload = max(1, math.ceil(largest / _MEGABYTE))
        if concurrency is not None:
            payload = min(payload, MAX_MEGABYTES // concurrency)
    return payload, concurrency or min(defaults.MANY_CONCURRENCY, MAX_MEGABYTES // payload)
