"""Endpoints: create one that serves a model, find it again, and leave nothing behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from dogbreed_sdk import _optional, container, defaults
from dogbreed_sdk.aws_errors import is_missing, translate, translated
from dogbreed_sdk.aws_requests import names
from dogbreed_sdk.errors import EndpointError, EndpointNotFoundError, EndpointNotReadyError
from dogbreed_sdk.logs import LogReader
from dogbreed_sdk.progress import JobProgress, ProgressCallback, print_progress

if TYPE_CHECKING:
    from dogbreed_sdk.classifier import BreedClassifier
    from dogbreed_sdk.labels import LabelMap
    from dogbreed_sdk.session import Session

_LAST_LOG_LINES = 15

logger = logging.getLogger("dogbreed_sdk")


class Deployment:
    """An endpoint with the endpoint configuration and the model behind it.

    As a context manager it deletes all three at the end of the block, also after an error: a forgotten endpoint
    costs money by the hour.

    Attributes:
        endpoint_name: Name of the endpoint.
        session: Where it lives.
    """

    def __init__(self, endpoint_name: str, session: Session) -> None:
        self.endpoint_name = endpoint_name
        self.session = session

    def __repr__(self) -> str:
        return f"Deployment({self.endpoint_name!r}, {self.session!r})"

    @property
    def status(self) -> str:
        """Creating, InService, Updating, Failed and so on.

        Raises:
            EndpointNotFoundError: The endpoint is gone.
        """
        return str(self._describe()["EndpointStatus"])

    def classifier(
        self, *, labels: LabelMap | None = None, max_payload_bytes: int = defaults.REALTIME_PAYLOAD_BYTES
    ) -> BreedClassifier:
        """A client of the endpoint; arguments are `BreedClassifier`'s."""
        from dogbreed_sdk.classifier import BreedClassifier  # noqa: PLC0415

        return BreedClassifier(
            self.endpoint_name, session=self.session, labels=labels, max_payload_bytes=max_payload_bytes
        )

    def wait(
        self,
        *,
        timeout: float = defaults.ENDPOINT_READY_TIMEOUT_SECONDS,
        progress: ProgressCallback = print_progress,
    ) -> Deployment:
        """Waits until the endpoint is in service.

        Raises:
            EndpointError: Its creation failed; with SageMaker's reason and the last lines of its log.
            EndpointNotReadyError: The time is over.
        """
        start = time.monotonic()
        shown = ""
        while True:
            described = self._describe()
            status = str(described["EndpointStatus"])
            elapsed = time.monotonic() - start
            if status != shown:
                shown = status
                progress(JobProgress(self.endpoint_name, status, f"endpoint {self.endpoint_name}", elapsed))
            if status == "InService":
                return self
            if status == "Failed":
                raise EndpointError(self._failure(str(described.get("FailureReason", ""))))
            if elapsed > timeout:
                raise EndpointNotReadyError(
                    f"Endpoint {self.endpoint_name} is still {status} after {timeout:.0f} s. It goes on; wait again, "
                    "or delete it with delete()."
                )
            time.sleep(defaults.LOCAL_POLL_SECONDS if self.session.is_local else defaults.AWS_POLL_SECONDS)

    def delete(self) -> None:
        """Deletes endpoint, endpoint configuration and models. What is already gone is no error."""
        client = self.session.client("sagemaker")
        config_name = self._config_name()
        models = self._model_names(config_name)
        _delete(client.delete_endpoint, EndpointName=self.endpoint_name)
        if config_name is not None:
            _delete(client.delete_endpoint_config, EndpointConfigName=config_name)
        for model_name in models:
            _delete(client.delete_model, ModelName=model_name)

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.delete()

    def _describe(self) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = self.session.client("sagemaker").describe_endpoint(EndpointName=self.endpoint_name)
        except ClientError as error:
            if is_missing(error):
                raise EndpointNotFoundError(
                    f"There is no endpoint {self.endpoint_name} in {self.session!r}. See 'dogbreed endpoints'."
                ) from error
            raise translate(error, f"read endpoint {self.endpoint_name}", otherwise=EndpointError) from error
        return answer

    def _config_name(self) -> str | None:
        try:
            return str(self._describe()["EndpointConfigName"])
        except EndpointNotFoundError:
            return None

    def _model_names(self, config_name: str | None) -> list[str]:
        if config_name is None:
            return []
        try:
            config = self.session.client("sagemaker").describe_endpoint_config(EndpointConfigName=config_name)
        except ClientError as error:
            if is_missing(error):
                return []
            raise translate(error, f"read endpoint configuration {config_name}", otherwise=EndpointError) from error
        return [str(variant["ModelName"]) for variant in config["ProductionVariants"]]

    def _failure(self, reason: str) -> str:
        group = container.ENDPOINT_LOG_GROUP_PREFIX + self.endpoint_name
        lines = list(LogReader(self.session.client("logs"), group, "").new_lines())[-_LAST_LOG_LINES:]
        log = "\n".join(["", "The end of its log:", *lines]) if lines else ""
        return f"Endpoint {self.endpoint_name} failed: {reason}{log}"


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
    """Serves a model artifact behind a new endpoint.

    Args:
        model_uri: URI of a ``model.tar.gz``; a bundle is complete in itself.
        session: Where the endpoint shall live.
        endpoint_name: Default: a fresh name.
        instance_type: For example ``ml.m5.large``.
        instance_count: How many instances.
        serverless_memory_mb: Makes the endpoint serverless, with so much memory (1024 to 6144).
        image_uri: A serving image of your own; default AWS's PyTorch image.
        environment: Variables for the model server.
        tags: Tags for cost reports and clean-up.
        wait: Whether to return only when the endpoint is in service.
        progress: Called while waiting.

    Returns:
        The deployment; use it as a context manager to have it deleted.

    Raises:
        EndpointError: SageMaker refused, or the endpoint failed; whatever was created is deleted again.
        QuotaError: The account may not have such an instance.
    """
    hosting = _optional.load("dogbreed_sdk.aws_requests.hosting", extra="aws", purpose="deploy a model")
    resources = _optional.load("sagemaker.core.resources", extra="aws", purpose="deploy a model")
    name = names.check_name(endpoint_name or names.unique_name("dogbreed"), what="endpoint")
    marks = {"dogbreed:created-by": "dogbreed-sdk", **(tags or {})}
    model = hosting.model(
        name,
        image_uri=image_uri or session.image_uri("inference", instance_type),
        model_uri=model_uri,
        role_arn=session.role_arn,
        environment=environment or {},
        tags=marks,
    )
    config = hosting.endpoint_config(
        name,
        model_name=name,
        instance_type=instance_type,
        instance_count=instance_count,
        serverless_memory_mb=serverless_memory_mb,
        tags=marks,
    )
    endpoint = hosting.endpoint(name, config_name=name, tags=marks)
    client = session.client("sagemaker")
    if endpoint_name is not None:
        _refuse_taken(name, session)
    where = {"session": session.boto3_session, "region": session.region}
    undo: list[tuple[Any, dict[str, str]]] = []
    try:
        with translated(f"create endpoint {name}", otherwise=EndpointError):
            resources.Model.create(**model, **where)
            undo.append((client.delete_model, {"ModelName": name}))
            client.create_endpoint_config(**config)
            undo.append((client.delete_endpoint_config, {"EndpointConfigName": name}))
            resources.Endpoint.create(**endpoint, **where)
            undo.append((client.delete_endpoint, {"EndpointName": name}))
        deployment = Deployment(name, session)
        return deployment.wait(progress=progress) if wait else deployment
    except BaseException:
        for call, argument in reversed(undo):
            try:
                _delete(call, **argument)
            except EndpointError as left:
                logger.warning("After a failed deployment something is left: %s", left)
        raise


def _refuse_taken(name: str, session: Session) -> None:
    try:
        status = Deployment(name, session).status
    except EndpointNotFoundError:
        return
    raise EndpointError(f"There is an endpoint {name} already ({status}). Delete it, or choose another name.")


def list_endpoints(session: Session) -> list[dict[str, Any]]:
    """Every endpoint of the session, newest first: name, status and creation time."""
    with translated("list endpoints", otherwise=EndpointError):
        pages = session.client("sagemaker").get_paginator("list_endpoints").paginate()
        return [entry for page in pages for entry in page["Endpoints"]]


def _delete(call: Any, **name: str) -> None:
    try:
        call(**name)
    except ClientError as error:
        if not is_missing(error):
            what = " ".join(name.values())
            raise translate(error, f"delete {what}", otherwise=EndpointError) from error
