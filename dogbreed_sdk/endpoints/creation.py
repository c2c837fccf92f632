"""Deploys a model: creates model, endpoint configuration and endpoint, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from dogbreed_sdk._util.interruptions import EndsByException
from dogbreed_sdk._util.progress import ProgressCallback, show_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.endpoints import autoscaling as scaling
from dogbreed_sdk.endpoints import left_behind, parts
from dogbreed_sdk.endpoints import settings as endpoint_settings
from dogbreed_sdk.endpoints.deletion import (
    Deletion,
    delete_endpoint,
    delete_endpoint_config,
    delete_model,
    noted,
    undone_after_an_error,
)
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.endpoints.expiry import Expiry, delete_schedule
from dogbreed_sdk.endpoints.model_archive import check_code
from dogbreed_sdk.endpoints.own_code import OwnCode, repacked_uri
from dogbreed_sdk.endpoints.settings import EndpointRequests, EndpointSettings
from dogbreed_sdk.endpoints.status import once_visible
from dogbreed_sdk.errors import ConfigurationError, EndpointError, EndpointNotFoundError

if TYPE_CHECKING:
    from dogbreed_sdk._util.durations import Duration
    from dogbreed_sdk.aws.requests.autoscaling import Autoscaling
    from dogbreed_sdk.endpoints.kinds import Asynchronous, DataCapture, Serverless
    from dogbreed_sdk.session import Session


class DeployOptions(TypedDict, total=False):
    """The keyword arguments of everything that deploys a model; `deploy` explains them."""

    endpoint_name: str | None
    instance_type: str | None
    instance_count: int
    serverless: Serverless | None
    asynchronous: Asynchronous | None
    data_capture: DataCapture | None
    autoscaling: Autoscaling | None
    image_uri: str | None
    framework_version: str | None
    environment: Mapping[str, str] | None
    entry_point: str | Path | None
    source_dir: str | Path | None
    network_isolation: bool
    volume_size_gb: int | None
    download_timeout: int | None
    startup_timeout: int | None
    tags: Mapping[str, str] | None
    ttl: Duration | None
    scheduler_role: str | None
    wait: bool
    progress: ProgressCallback | None


def deploy(
    model_uri: str,
    *,
    session: Session,
    endpoint_name: str | None = None,
    instance_type: str | None = None,
    instance_count: int = 1,
    serverless: Serverless | None = None,
    asynchronous: Asynchronous | None = None,
    data_capture: DataCapture | None = None,
    autoscaling: Autoscaling | None = None,
    image_uri: str | None = None,
    framework_version: str | None = None,
    environment: Mapping[str, str] | None = None,
    entry_point: str | Path | None = None,
    source_dir: str | Path | None = None,
    network_isolation: bool = False,
    volume_size_gb: int | None = None,
    download_timeout: int | None = None,
    startup_timeout: int | None = None,
    tags: Mapping[str, str] | None = None,
    ttl: Duration | None = None,
    scheduler_role: str | None = None,
    wait: bool = True,
    progress: ProgressCallback | None = show_progress,
) -> Deployment:
    """Deploys a model artifact to a new endpoint.

    The model runs in the session's VPC if it has one. The session's KMS key encrypts the volumes of the instances
    (instances with disks inside their hosts, such as ml.g5 and ml.m5d, encrypt those by themselves), captured data and
    asynchronous responses.

    Args:
        model_uri: URI of a ``model.tar.gz``, such as a bundle.
        session: The session that the endpoint belongs to.
        endpoint_name: Default: a new unique name. A configuration and a model that this project created under this
            name, for an endpoint that is gone, are deleted first.
        instance_type: For example ``ml.m5.large``, which is the default.
        instance_count: Number of instances.
        serverless: Makes the endpoint serverless; None for instances.
        asynchronous: Makes the endpoint asynchronous: requests and responses go through S3.
        data_capture: Stores requests and responses for later; None for neither.
        autoscaling: Limits and target by which AWS adds and removes instances; None for a fixed number.
        image_uri: Your own serving image. Default: AWS's PyTorch image for the region and the instance type.
        framework_version: PyTorch version of AWS's image. Default: 2.6, the newest with which AWS serves models.
        environment: Environment variables of the model server.
        entry_point: Your own inference.py, with ``model_fn(model_dir)`` and, if AWS's defaults are not what you want,
            ``input_fn``, ``predict_fn`` and ``output_fn``. The artifact is repacked with it, stored below the
            session's ``base_uri``, and deleted with the endpoint; `Deployment.update` uses the new model's own code,
            or an entry point that it is given.
            Modules of a bundle, such as ``training_scripts.models.model``, can be imported. Default: the code in the
            artifact.
        source_dir: The directory with the entry point, for further modules and a requirements.txt; ``entry_point`` is
            then relative to it.
        network_isolation: Whether the container is cut off from all networks. Pictures can then not be passed as URLs
            for the endpoint to download.
        volume_size_gb: Size of each instance's volume in GB, 1 to 512. Default: SageMaker's.
        download_timeout: Seconds for downloading and unpacking the model, 60 to 3600. Default: SageMaker's.
        startup_timeout: Seconds until the container must answer its health check, 60 to 3600. Default: SageMaker's.
        tags: Tags for cost reports and clean-up.
        ttl: Time to live, counted from this call: ``90min``, ``2h``, ``1d``, or a timedelta; on AWS at least 15
            minutes. Then the endpoint is deleted: by local SageMaker itself, on AWS by EventBridge Scheduler if there
            is a role for that. Without one the expiry is a tag only, which ``dogbreed ls`` shows and ``dogbreed
            cleanup --expired`` acts on.
        scheduler_role: ARN of a role that EventBridge Scheduler may assume, and that may delete the endpoint. Default:
            ``$DOGBREED_SCHEDULER_ROLE``.
        wait: Whether to return only when the endpoint is in service.
        progress: Called while waiting; None for no output. Default: prints on standard error.

    Returns:
        The deployment; as a context manager it deletes itself.

    Raises:
        ConfigurationError: A value is out of range, values exclude each other, or the artifact has neither code nor a
            TorchScript model; nothing was created.
        EndpointError: SageMaker refused, or the endpoint failed; whatever was created has been deleted again.
        QuotaError: The account's quota for this instance type is exhausted.

    Examples:
        >>> with deploy(job.model_uri, session=session, instance_type="ml.m5.large", ttl="2h") as spare:
        ...     spare.classifier().classify("rex.jpg").label
        'Basset hound'
    """
    name = names.check_name(endpoint_name or names.unique_name("dogbreed"), what="endpoint")
    code = OwnCode.given(entry_point, source_dir)
    expiry = None if ttl is None else Expiry.after(ttl, scheduler_role, session)
    settings = EndpointSettings(
        instance_type=instance_type,
        instance_count=instance_count,
        serverless=serverless,
        asynchronous=asynchronous,
        data_capture=data_capture,
        image_uri=image_uri,
        framework_version=framework_version,
        environment={**(code.environment if code else {}), **(environment or {})},
        network_isolation=network_isolation,
        volume_size_gb=volume_size_gb,
        download_timeout=download_timeout,
        startup_timeout=startup_timeout,
        tags={**(tags or {}), **({} if expiry is None else expiry.tags)},
    )
    if autoscaling is not None and not wait:
        raise ConfigurationError("Autoscaling can be set up only once the endpoint is in service: omit wait=False.")
    endpoint_settings.check(settings, session)
    if autoscaling is not None:
        scaling.check(autoscaling, name, serverless=settings.serverless, is_asynchronous=asynchronous is not None)
    served_uri = model_uri if code is None else repacked_uri(session, name)
    requests = endpoint_settings.requests(name, served_uri, settings, session)
    if code is None:
        check_code(requests.model, session)
    if endpoint_name is not None:
        _take_name(name, session)
    with EndsByException(), undone_after_an_error(f"endpoint {name}") as undo:
        if code is not None:
            undo.append(partial(session.storage.delete_file, served_uri))
            code.add_to(model_uri, repacked=served_uri, session=session)
        _create(session, undo, requests, is_unique=not endpoint_name)
        left_behind.note(session, name, requests.config, expiry="" if expiry is None else expiry.text)
        if expiry is not None and expiry.schedule(session, name):
            undo.append(partial(delete_schedule, session, name))
            left_behind.note_schedule(session, name)
        deployment = Deployment(name, session)
        if not wait:
            return deployment
        deployment.wait(progress=progress)
        return deployment if autoscaling is None else deployment.autoscale(autoscaling)


def _create(session: Session, undo: list[Deletion], requests: EndpointRequests, *, is_unique: bool) -> None:
    """Creates model, configuration and endpoint; notes how to delete each of them."""
    client = session.client("sagemaker")
    name = requests.endpoint["EndpointName"]
    with translated(f"create endpoint {name}", otherwise=EndpointError):
        with noted(undo, partial(delete_model, session, requests.model["ModelName"]), is_unique=is_unique):
            client.create_model(**requests.model)
        with noted(
            undo, partial(delete_endpoint_config, session, requests.config["EndpointConfigName"]), is_unique=is_unique
        ):
            once_visible(lambda: client.create_endpoint_config(**requests.config))
        with noted(undo, partial(delete_endpoint, session, name), is_unique=is_unique):
            once_visible(lambda: client.create_endpoint(**requests.endpoint))


def _take_name(name: str, session: Session) -> None:
    """Deletes what an endpoint of this name that is gone has left; refuses a name that is taken."""
    try:
        status = Deployment(name, session).status
    except EndpointNotFoundError:
        parts.make_way(session, name)
        return
    raise EndpointError(f"The endpoint {name} already exists ({status}). Delete it, or choose another name.")
