"""Endpoints: creates one that serves a model, finds it again, and deletes everything it created."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk import defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk._util.interruptions import EndsByException
from dogbreed_sdk._util.progress import ProgressCallback, print_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.aws.requests.tags import project_tags
from dogbreed_sdk.endpoints.deletion import (
    Deletion,
    attempt_all,
    cleaning_up,
    delete_endpoint,
    delete_endpoint_config,
    delete_model,
    missing_ignored,
)
from dogbreed_sdk.endpoints.status import describe, wait_in_service
from dogbreed_sdk.errors import DogBreedError, EndpointError, EndpointNotFoundError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        CreateEndpointConfigInputTypeDef,
        DescribeEndpointConfigOutputTypeDef,
        DescribeEndpointOutputTypeDef,
        EndpointSummaryTypeDef,
    )
    from typing_extensions import Unpack

    from dogbreed_sdk.client.classifier import BreedClassifier
    from dogbreed_sdk.client.options import Options
    from dogbreed_sdk.session import Session

logger = logging.getLogger("dogbreed_sdk")


class Deployment:
    """An endpoint with its endpoint configuration and model.

    As a context manager it deletes all three at the end of the block, also after an error, Ctrl-C, SIGTERM or SIGHUP: a
    forgotten endpoint costs money every hour. If another Ctrl-C interrupts the deletion, it is completed first; one
    more leaves the rest behind.

    Args:
        endpoint_name: Name of the endpoint.
        session: The session that it belongs to.
    """

    def __init__(self, endpoint_name: str, session: Session) -> None:
        self.endpoint_name = endpoint_name
        self.session = session
        self._ends_by_exception = EndsByException()

    def __repr__(self) -> str:
        return f"Deployment({self.endpoint_name!r}, {self.session!r})"

    @property
    def status(self) -> str:
        """Creating, InService, Updating, Failed and so on.

        Raises:
            EndpointNotFoundError: The endpoint does not exist.
        """
        return str(self._describe()["EndpointStatus"])

    def classifier(self, **options: Unpack[Options]) -> BreedClassifier:
        """A client of the endpoint.

        Args:
            options: `BreedClassifier`'s options; the default of ``max_payload_bytes`` is smaller for a serverless
                endpoint.
        """
        from dogbreed_sdk.client.classifier import BreedClassifier  # noqa: PLC0415

        if "max_payload_bytes" not in options and self._is_serverless():
            options["max_payload_bytes"] = defaults.SERVERLESS_PAYLOAD_BYTES
        return BreedClassifier(self.endpoint_name, session=self.session, **options)

    def _is_serverless(self) -> bool:
        """Whether the endpoint is serverless; False if the caller may not read its configuration."""
        try:
            config = self.session.client("sagemaker").describe_endpoint_config(
                EndpointConfigName=self._describe()["EndpointConfigName"]
            )
        except (DogBreedError, ClientError, BotoCoreError):
            return False
        return any("ServerlessConfig" in variant for variant in config["ProductionVariants"])

    def wait(
        self,
        *,
        timeout: float = defaults.ENDPOINT_READY_TIMEOUT_SECONDS,
        progress: ProgressCallback = print_progress,
    ) -> Deployment:
        """Waits until the endpoint is in service.

        Raises:
            EndpointError: Its creation failed; with SageMaker's reason and the last lines of its log.
            EndpointNotReadyError: The timeout expired.
        """
        wait_in_service(self.session, self.endpoint_name, timeout=timeout, progress=progress)
        return self

    def delete(self) -> None:
        """Deletes endpoint, endpoint configuration and models. It is not an error if one does not exist.

        All deletions are attempted, also after an error: call it again to delete what remains.

        Raises:
            EndpointError: SageMaker refused one of them; the first error is raised.
            AccessError: Credentials or a permission are missing.
        """
        errors: list[DogBreedError] = []
        config_name = self._config_name(errors)
        models = self._model_names(config_name, errors)
        errors += attempt_all(
            [
                partial(delete_endpoint, self.session, self.endpoint_name),
                partial(delete_endpoint_config, self.session, config_name),
                *(partial(delete_model, self.session, model) for model in models),
            ]
        )
        if errors:
            raise errors[0]

    def __enter__(self) -> Deployment:
        self._ends_by_exception.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            with cleaning_up(f"endpoint {self.endpoint_name}"):
                self.delete()
        except DogBreedError as left:
            if value is None:
                raise
            _warn_of_something_left(left)
        finally:
            self._ends_by_exception.__exit__(kind, value, trace)

    def _describe(self) -> DescribeEndpointOutputTypeDef:
        return describe(self.session, self.endpoint_name)

    def _config_name(self, errors: list[DogBreedError]) -> str:
        """Name of the endpoint's configuration; the endpoint's own if it is gone, as `deploy` names both alike."""
        try:
            return str(self._describe()["EndpointConfigName"])
        except EndpointNotFoundError:
            pass
        except DogBreedError as error:
            errors.append(error)
        return self.endpoint_name

    def _model_names(self, config_name: str, errors: list[DogBreedError]) -> list[str]:
        """Names of the configuration's models; the endpoint's own if it is gone, as `deploy` names both alike."""
        config: DescribeEndpointConfigOutputTypeDef | None = None
        try:
            with translated(f"read endpoint configuration {config_name}", otherwise=EndpointError), missing_ignored():
                config = self.session.client("sagemaker").describe_endpoint_config(EndpointConfigName=config_name)
        except DogBreedError as error:
            errors.append(error)
        if config is None:
            return [self.endpoint_name]
        return [str(variant["ModelName"]) for variant in config["ProductionVariants"]]


def deploy(
    model_uri: str,
    *,
    session: Session,
    endpoint_name: str | None = None,
    instance_type: str = defaults.SERVING_INSTANCE_TYPE,
    instance_count: int = 1,
    serverless_memory_mb: int | None = None,
    image_uri: str | None = None,
    environment: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    wait: bool = True,
    progress: ProgressCallback = print_progress,
) -> Deployment:
    """Deploys a model artifact to a new endpoint.

    Args:
        model_uri: URI of a ``model.tar.gz``, such as a bundle.
        session: The session that the endpoint belongs to.
        endpoint_name: Default: a new unique name.
        instance_type: For example ``ml.m5.large``.
        instance_count: Number of instances.
        serverless_memory_mb: Memory of a serverless endpoint in MB (1024 to 6144); None for instances.
        image_uri: Your own serving image. Default: AWS's PyTorch image.
        environment: Environment variables of the model server.
        tags: Tags for cost reports and clean-up.
        wait: Whether to return only when the endpoint is in service.
        progress: Called while waiting.

    Returns:
        The deployment; as a context manager it deletes itself.

    Raises:
        EndpointError: SageMaker refused, or the endpoint failed; whatever was created has been deleted again.
        QuotaError: The account's quota for this instance type is exhausted.
    """
    with optional.needed(extra="aws", purpose="deploy a model"):
        from dogbreed_sdk.aws.requests import hosting  # noqa: PLC0415
    name = names.check_name(endpoint_name or names.unique_name("dogbreed"), what="endpoint")
    all_tags = project_tags(tags)
    model = hosting.model(
        name,
        image_uri=image_uri or session.image_uri("inference", instance_type),
        model_uri=model_uri,
        role_arn=session.role_arn,
        environment=environment or {},
        tags=all_tags,
    )
    config = hosting.endpoint_config(
        name,
        model_name=name,
        instance_type=instance_type,
        instance_count=instance_count,
        serverless_memory_mb=serverless_memory_mb,
        tags=all_tags,
    )
    endpoint = hosting.endpoint(name, config_name=name, tags=all_tags)
    if endpoint_name is not None:
        _refuse_taken(name, session)
    with EndsByException(), _undone_after_an_error(f"endpoint {name}") as undo:
        _create(session, undo, model, config, endpoint)
        deployment = Deployment(name, session)
        return deployment.wait(progress=progress) if wait else deployment


def _create(
    session: Session,
    undo: list[Deletion],
    model: Mapping[str, object],
    config: CreateEndpointConfigInputTypeDef,
    endpoint: Mapping[str, object],
) -> None:
    """Creates model, configuration and endpoint; notes how to delete each of them."""
    with optional.needed(extra="aws", purpose="deploy a model"):
        from sagemaker.core import resources  # noqa: PLC0415
    client = session.client("sagemaker")
    name = config["EndpointConfigName"]
    where = {"session": session.boto3_session, "region": session.region}
    with translated(f"create endpoint {name}", otherwise=EndpointError):
        with _noted(undo, partial(delete_model, session, name)):
            resources.Model.create(**model, **where)
        with _noted(undo, partial(delete_endpoint_config, session, name)):
            client.create_endpoint_config(**config)
        with _noted(undo, partial(delete_endpoint, session, name)):
            resources.Endpoint.create(**endpoint, **where)


@contextmanager
def _noted(undo: list[Deletion], deletion: Deletion) -> Iterator[None]:
    """Notes how to delete what the block creates, unless SageMaker refused to create it.

    If the response was lost, or reading the resource failed afterwards, the resource may exist; after a refusal, a
    resource of this name belongs to somebody else.
    """
    undo.append(deletion)
    try:
        yield
    except ClientError as error:
        if error.operation_name.startswith("Create"):
            undo.remove(deletion)
        raise


@contextmanager
def _undone_after_an_error(what: str) -> Iterator[list[Deletion]]:
    """Runs the noted deletions, last first, if the block fails or is interrupted; the block's own error is raised."""
    undo: list[Deletion] = []
    try:
        yield undo
    except BaseException:
        with cleaning_up(what):
            for left in attempt_all(reversed(undo)):
                _warn_of_something_left(left)
        raise


def _warn_of_something_left(error: DogBreedError) -> None:
    logger.warning("Cleaning up after an error failed; a resource that costs money may remain: %s", error)


def _refuse_taken(name: str, session: Session) -> None:
    try:
        status = Deployment(name, session).status
    except EndpointNotFoundError:
        return
    raise EndpointError(f"The endpoint {name} already exists ({status}). Delete it, or choose another name.")


def list_endpoints(session: Session) -> list[EndpointSummaryTypeDef]:
    """All endpoints of the session, newest first: name, status and creation time."""
    with translated("list endpoints", otherwise=EndpointError):
        pages = session.client("sagemaker").get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 100})
        return [entry for page in pages for entry in page["Endpoints"]]
