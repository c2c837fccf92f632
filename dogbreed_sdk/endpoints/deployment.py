"""A deployed model: its status, a client of it, and the deletion of everything it consists of."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk import defaults
from dogbreed_sdk._util.interruptions import EndsByException
from dogbreed_sdk._util.progress import ProgressCallback, print_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.endpoints.deletion import (
    attempt_all,
    cleaning_up,
    delete_endpoint,
    delete_endpoint_config,
    delete_model,
    missing_ignored,
    warn_of_something_left,
)
from dogbreed_sdk.endpoints.status import describe, wait_in_service
from dogbreed_sdk.errors import DogBreedError, EndpointError, EndpointNotFoundError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        AsyncInferenceConfigOutputTypeDef,
        DescribeEndpointConfigOutputTypeDef,
        DescribeEndpointOutputTypeDef,
        EndpointSummaryTypeDef,
    )
    from typing_extensions import Unpack

    from dogbreed_sdk.client.classifier import BreedClassifier
    from dogbreed_sdk.client.options import Options
    from dogbreed_sdk.endpoints.captured import CapturedRequest
    from dogbreed_sdk.session import Session


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

        An asynchronous endpoint is used like any other: its client uploads each picture, waits for the response on S3,
        and deletes both, unless the endpoint also notifies others of its responses. Their ``request_id`` is the
        inference id, under which the endpoint's log has the request.

        Args:
            options: `BreedClassifier`'s options. The default of ``max_payload_bytes`` is smaller for a serverless
                endpoint, those of ``read_timeout`` and ``deadline`` are 15 minutes for an asynchronous one.
        """
        from dogbreed_sdk.client.classifier import BreedClassifier  # noqa: PLC0415

        config = self._config()
        if config is not None and "AsyncInferenceConfig" in config:
            return self._asynchronous_classifier(config["AsyncInferenceConfig"], options)
        if (
            config is not None
            and "max_payload_bytes" not in options
            and any("ServerlessConfig" in variant for variant in config["ProductionVariants"])
        ):
            options["max_payload_bytes"] = defaults.SERVERLESS_PAYLOAD_BYTES
        return BreedClassifier(self.endpoint_name, session=self.session, **options)

    def _asynchronous_classifier(self, config: AsyncInferenceConfigOutputTypeDef, options: Options) -> BreedClassifier:
        from dogbreed_sdk.client.classifier import BreedClassifier  # noqa: PLC0415
        from dogbreed_sdk.client.transports.asynchronous import AsynchronousTransport, Folders  # noqa: PLC0415

        output = config["OutputConfig"]
        folders = Folders(join(output["S3OutputPath"], "inputs"), bool(output.get("NotificationConfig")))
        transport = AsynchronousTransport(self.endpoint_name, self.session, folders)
        limits: Options = {
            "read_timeout": defaults.ASYNCHRONOUS_SECONDS,
            "deadline": defaults.ASYNCHRONOUS_SECONDS,
            **options,
        }
        return BreedClassifier.from_transport(transport, **limits)

    def _config(self) -> DescribeEndpointConfigOutputTypeDef | None:
        """The endpoint's configuration; None if the caller may not read it."""
        try:
            return self.session.client("sagemaker").describe_endpoint_config(
                EndpointConfigName=self._describe()["EndpointConfigName"]
            )
        except (DogBreedError, ClientError, BotoCoreError):
            return None

    def captured(self, *, since: datetime | None = None, until: datetime | None = None) -> Iterator[CapturedRequest]:
        """The requests and responses that were captured so far, hour by hour, oldest first.

        Args:
            since: Only requests from this time on; without a time zone it is local time.
            until: Only requests before this time.

        Raises:
            EndpointNotFoundError: The endpoint does not exist; `endpoints.captured.read_captured` needs none.
            EndpointError: The endpoint does not capture data.
            AccessError: Reading the files is not allowed.
        """
        from dogbreed_sdk.endpoints.captured import read_captured  # noqa: PLC0415

        config = self._describe().get("DataCaptureConfig")
        if config is None:
            raise EndpointError(
                f"Endpoint {self.endpoint_name} captures no data: deploy with data_capture=DataCapture(), or update it."
            )
        return read_captured(
            self.session.storage, config["DestinationS3Uri"], self.endpoint_name, since=since, until=until
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
            warn_of_something_left(left)
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


def list_endpoints(session: Session) -> list[EndpointSummaryTypeDef]:
    """All endpoints of the session, newest first: name, status and creation time."""
    with translated("list endpoints", otherwise=EndpointError):
        pages = session.client("sagemaker").get_paginator("list_endpoints").paginate(PaginationConfig={"PageSize": 100})
        return [entry for page in pages for entry in page["Endpoints"]]
