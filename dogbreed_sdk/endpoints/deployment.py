"""Endpoints: create one that serves a model, find it again, and leave nothing behind."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk import container, defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, print_progress
from dogbreed_sdk.aws.errors import is_missing, translated
from dogbreed_sdk.aws.logs import LogReader
from dogbreed_sdk.aws.requests import names
from dogbreed_sdk.errors import DogBreedError, EndpointError, EndpointNotFoundError, EndpointNotReadyError
from dogbreed_sdk.jobs.training_job import poll_seconds

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dogbreed_sdk.client.classifier import BreedClassifier
    from dogbreed_sdk.client.options import Options
    from dogbreed_sdk.session import Session

_LAST_LOG_LINES = 15

logger = logging.getLogger("dogbreed_sdk")


class Deployment:
    """An endpoint with the endpoint configuration and the model behind it.

    As a context manager it deletes all three at the end of the block, also after an error: a forgotten endpoint
    costs money by the hour.

    Args:
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

    def classifier(self, **options: Unpack[Options]) -> BreedClassifier:
        """A client of the endpoint.

        Args:
            options: `BreedClassifier`'s; ``max_payload_bytes`` is less by default where the endpoint is serverless.
        """
        from dogbreed_sdk.client.classifier import BreedClassifier  # noqa: PLC0415

        if "max_payload_bytes" not in options and self._is_serverless():
            options["max_payload_bytes"] = defaults.SERVERLESS_PAYLOAD_BYTES
        return BreedClassifier(self.endpoint_name, session=self.session, **options)

    def _is_serverless(self) -> bool:
        """Whether it is; who may only call the endpoint cannot know, and has its limit told by an error."""
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
            time.sleep(poll_seconds(self.session))

    def delete(self) -> None:
        """Deletes endpoint, endpoint configuration and models. What is already gone is no error.

        Every deletion is tried, also after an error: call it again to delete what was left.

        Raises:
            EndpointError: SageMaker refused one of them; the first error is raised.
            AccessError: Credentials or a permission are missing.
        """
        client = self.session.client("sagemaker")
        errors: list[DogBreedError] = []
        config_name = self._config_name(errors)
        deletions = [
            partial(_delete, client.delete_endpoint, EndpointName=self.endpoint_name),
            partial(_delete, client.delete_endpoint_config, EndpointConfigName=config_name),
            *(
                partial(_delete, client.delete_model, ModelName=model)
                for model in self._model_names(config_name, errors)
            ),
        ]
        for deletion in deletions:
            try:
                deletion()
            except DogBreedError as error:
                errors.append(error)
        if errors:
            raise errors[0]

    def __enter__(self) -> Deployment:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.delete()
        except DogBreedError as left:
            if value is None:
                raise
            _warn_of_something_left(left)

    def _describe(self) -> dict[str, Any]:
        with translated(f"read endpoint {self.endpoint_name}", otherwise=EndpointError):
            try:
                client = self.session.client("sagemaker")
                answer: dict[str, Any] = client.describe_endpoint(EndpointName=self.endpoint_name)
            except ClientError as error:
                if not is_missing(error):
                    raise
                raise EndpointNotFoundError(
                    f"There is no endpoint {self.endpoint_name} in {self.session!r}. See 'dogbreed endpoints'."
                ) from error
        return answer

    def _config_name(self, errors: list[DogBreedError]) -> str:
        """The endpoint's configuration; where the endpoint cannot tell, `deploy` gave all three one name."""
        try:
            return str(self._describe()["EndpointConfigName"])
        except EndpointNotFoundError:
            pass
        except DogBreedError as error:
            errors.append(error)
        return self.endpoint_name

    def _model_names(self, config_name: str, errors: list[DogBreedError]) -> list[str]:
        """The configuration's models; where it cannot tell, the one that `deploy` made."""
        try:
            with translated(f"read endpoint configuration {config_name}", otherwise=EndpointError):
                client = self.session.client("sagemaker")
                config = _unless_missing(client.describe_endpoint_config, EndpointConfigName=config_name)
        except DogBreedError as error:
            errors.append(error)
            config = None
        if config is None:
            return [self.endpoint_name]
        return [str(variant["ModelName"]) for variant in config["ProductionVariants"]]

    def _failure(self, reason: str) -> str:
        group = container.ENDPOINT_LOG_GROUP_PREFIX + self.endpoint_name
        reader = LogReader(self.session.client("logs"), group, "")
        lines = list(reader.new_lines(required=False))[-_LAST_LOG_LINES:]
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
    hosting = optional.load("dogbreed_sdk.aws.requests.hosting", extra="aws", purpose="deploy a model")
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
    if endpoint_name is not None:
        _refuse_taken(name, session)
    with _undone_after_an_error() as undo:
        _create(session, undo, model, config, endpoint)
        deployment = Deployment(name, session)
        return deployment.wait(progress=progress) if wait else deployment


def _create(
    session: Session,
    undo: list[Callable[[], None]],
    model: dict[str, Any],
    config: dict[str, Any],
    endpoint: dict[str, Any],
) -> None:
    """Creates model, configuration and endpoint, noting for each how it is deleted again."""
    resources = optional.load("sagemaker.core.resources", extra="aws", purpose="deploy a model")
    client = session.client("sagemaker")
    name = endpoint["endpoint_name"]
    where = {"session": session.boto3_session, "region": session.region}
    with translated(f"create endpoint {name}", otherwise=EndpointError):
        with _noted(undo, partial(_delete, client.delete_model, ModelName=name)):
            resources.Model.create(**model, **where)
        with _noted(undo, partial(_delete, client.delete_endpoint_config, EndpointConfigName=name)):
            client.create_endpoint_config(**config)
        with _noted(undo, partial(_delete, client.delete_endpoint, EndpointName=name)):
            resources.Endpoint.create(**endpoint, **where)


@contextmanager
def _noted(undo: list[Callable[[], None]], deletion: Callable[[], None]) -> Iterator[None]:
    """Notes how to delete what the block creates, unless SageMaker refused to create it.

    An answer that was lost, or an error of a later look at it, may leave something behind; after a refusal, what
    has the name is somebody else's.
    """
    undo.append(deletion)
    try:
        yield
    except ClientError as error:
        if error.operation_name.startswith("Create"):
            undo.remove(deletion)
        raise


@contextmanager
def _undone_after_an_error() -> Iterator[list[Callable[[], None]]]:
    """Calls what the block noted, last first, when the block fails; its own error is the one to be seen."""
    undo: list[Callable[[], None]] = []
    try:
        yield undo
    except BaseException:
        for deletion in reversed(undo):
            try:
                deletion()
            except DogBreedError as left:
                _warn_of_something_left(left)
        raise


def _warn_of_something_left(error: DogBreedError) -> None:
    logger.warning("After an error something is left that may cost money: %s", error)


def _refuse_taken(name: str, session: Session) -> None:
    try:
        status = Deployment(name, session).status
    except EndpointNotFoundError:
        return
    raise EndpointError(f"There is an endpoint {name} already ({status}). Delete it, or choose another name.")


def list_endpoints(session: Session) -> list[dict[str, Any]]:
    """Every endpoint of the session, newest first: name, status and creation time."""
    with translated("list endpoints", otherwise=EndpointError):
        pages = session.client("sagemaker").get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 100})
        return [entry for page in pages for entry in page["Endpoints"]]


def _delete(call: Any, **name: str) -> None:
    [(kind, value)] = name.items()
    what = {"EndpointName": "endpoint", "EndpointConfigName": "endpoint configuration", "ModelName": "model"}[kind]
    with translated(f"delete {what} {value}", otherwise=EndpointError):
        _unless_missing(call, **name)


def _unless_missing(call: Any, **name: str) -> dict[str, Any] | None:
    """The answer of a call, or None where AWS says that there is nothing of this name."""
    try:
        answer: dict[str, Any] = call(**name)
    except ClientError as error:
        if is_missing(error):
            return None
        raise
    return answer
