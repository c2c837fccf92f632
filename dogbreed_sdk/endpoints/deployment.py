"""A deployed model: its status, a client of it, and the deletion of everything it consists of."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from botocore.exceptions import BotoCoreError, ClientError

from dogbreed_sdk import defaults
from dogbreed_sdk._util.durations import Duration, beginning, duration_seconds
from dogbreed_sdk._util.interruptions import EndsByException
from dogbreed_sdk._util.progress import ProgressCallback, no_progress, show_progress
from dogbreed_sdk.aws.errors import translated
from dogbreed_sdk.aws.requests.tags import SCHEDULED
from dogbreed_sdk.aws.storage import join
from dogbreed_sdk.endpoints.deletion import (
    Deletion,
    attempt_all,
    cleaning_up,
    delete_endpoint,
    missing_ignored,
    warn_of_something_left,
)
from dogbreed_sdk.endpoints.expiry import delete_schedule
from dogbreed_sdk.endpoints.status import describe, wait_in_service
from dogbreed_sdk.errors import ConfigurationError, DogBreedError, EndpointError, EndpointNotFoundError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        AsyncInferenceConfigOutputTypeDef,
        DescribeEndpointConfigOutputTypeDef,
        DescribeEndpointOutputTypeDef,
        EndpointSummaryTypeDef,
    )
    from typing_extensions import Unpack

    from dogbreed_sdk.aws.requests.autoscaling import Autoscaling
    from dogbreed_sdk.aws.requests.updates import Rollout
    from dogbreed_sdk.client.classifier import BreedClassifier
    from dogbreed_sdk.client.options import Options
    from dogbreed_sdk.endpoints.captured import CapturedRequest
    from dogbreed_sdk.endpoints.kinds import DataCapture
    from dogbreed_sdk.endpoints.metrics import EndpointMetrics
    from dogbreed_sdk.endpoints.update import HasBest, HasModel
    from dogbreed_sdk.endpoints.variants import Variant
    from dogbreed_sdk.session import Session

logger = logging.getLogger("dogbreed_sdk")

CANARY_NAME: Final = "canary"


class Deployment:
    """An endpoint with its endpoint configuration and model.

    As a context manager it deletes all three at the end of the block, also after an error, Ctrl-C, SIGTERM or SIGHUP: a
    forgotten endpoint costs money every hour. If another Ctrl-C interrupts the deletion, it is completed first; one
    more leaves the rest behind.

    Args:
        endpoint_name: Name of the endpoint.
        session: The session that it belongs to.

    Examples:
        >>> deployment = Deployment("dog-breeds", session)
        >>> deployment.status, [variant.name for variant in deployment.variants()]
        ('InService', ['AllTraffic'])
    """

    def __init__(self, endpoint_name: str, session: Session) -> None:
        self.endpoint_name = endpoint_name
        self.session = session
        self._ends_by_exception = EndsByException()

    def __repr__(self) -> str:
        return f"Deployment({self.endpoint_name!r}, {self.session!r})"

    def _repr_html_(self) -> str:
        from dogbreed_sdk.endpoints.cards import endpoint_card, unread_card  # noqa: PLC0415 - only notebooks need it

        try:
            return endpoint_card(self.endpoint_name, self._describe())
        except DogBreedError as error:
            return unread_card(self.endpoint_name, error)

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

    def captured(
        self, *, since: datetime | Duration | None = None, until: datetime | None = None
    ) -> Iterator[CapturedRequest]:
        """The requests and responses that were captured so far, hour by hour, oldest first.

        Args:
            since: Beginning, as in `metrics`: a time (without a time zone it is local), or a duration such as "1h" or a
                timedelta before the end. Default: everything.
            until: End. Default: now.

        Raises:
            ConfigurationError: ``since`` is not a time or duration, or is not before the end.
            EndpointNotFoundError: The endpoint does not exist; `endpoints.captured.read_captured` needs none.
            EndpointError: The endpoint does not capture data.
            AccessError: Reading the files is not allowed.
        """
        from dogbreed_sdk.endpoints.captured import read_captured  # noqa: PLC0415

        described = self._describe()
        config = described.get("DataCaptureConfig")
        if config is None:
            variants = described.get("ProductionVariants", ())
            raise EndpointError(
                f"Endpoint {self.endpoint_name} is serverless, and such endpoints capture no data: deploy on instances."
                if any("CurrentServerlessConfig" in each for each in variants)
                else f"Endpoint {self.endpoint_name} captures no data: call "
                "deployment.update(model, data_capture=DataCapture())."
            )
        start = None if since is None else beginning(since, end=until or datetime.now(timezone.utc))
        return read_captured(
            self.session.storage, config["DestinationS3Uri"], self.endpoint_name, since=start, until=until
        )

    def update(
        self,
        model: HasModel | HasBest | str,
        *,
        instance_type: str | None = None,
        instance_count: int | None = None,
        image_uri: str | None = None,
        environment: Mapping[str, str] | None = None,
        entry_point: str | Path | None = None,
        source_dir: str | Path | None = None,
        data_capture: DataCapture | None = None,
        rollout: Rollout | None = None,
        timeout: float | None = None,
        progress: ProgressCallback | None = show_progress,
    ) -> Deployment:
        """Replaces the endpoint's model without downtime; returns when the new one answers.

        What is not passed stays as it is: data capture, serverless or asynchronous inference, keys, network, tags, and
        the number of instances that autoscaling has chosen. If the new model fails, the old one keeps answering. The
        old model and configuration are deleted afterward if this project created them.

        Args:
            model: A training job, a tuning job for its best model so far, or the URI of a ``model.tar.gz``.
            instance_type: Another instance type; AWS's image for it is chosen.
            instance_count: Another number of instances.
            image_uri: Another serving image.
            environment: Variables of the model server to add or replace.
            entry_point: Your own inference.py for the new model, as in `deploy`. Default: the code in its artifact,
                even if the present model has an entry point.
            source_dir: The directory with the entry point.
            data_capture: What is captured from now on.
            rollout: How requests move to the new model, and which alarms bring the old one back. Default: all at once.
            timeout: Seconds to wait at most. Default: `defaults.ENDPOINT_READY_TIMEOUT_SECONDS`, longer with a rollout.
            progress: Called while waiting; None for no output.

        Returns:
            This deployment.

        Raises:
            ConfigurationError: The entry point is missing or not valid Python, or the artifact has neither code nor a
                TorchScript model; nothing was created.
            EndpointNotFoundError: The endpoint does not exist.
            EndpointError: SageMaker refused, or the new model failed; the endpoint serves what it served before.
            EndpointNotReadyError: The timeout expired; the update continues. Call `wait` or `update` again.
        """
        from dogbreed_sdk.endpoints import update  # noqa: PLC0415 - most programs never update
        from dogbreed_sdk.endpoints.own_code import OwnCode  # noqa: PLC0415 - as above

        changes = update.Changes(
            instance_type=instance_type,
            instance_count=instance_count,
            image_uri=image_uri,
            environment=environment,
            data_capture=data_capture,
            code=OwnCode.given(entry_point, source_dir),
        )
        update.update(
            self.session,
            self.endpoint_name,
            model,
            changes,
            rollout=rollout,
            timeout=timeout,
            progress=progress or no_progress,
        )
        return self

    def canary(
        self,
        model: HasModel | HasBest | str,
        *,
        percent: float = 10.0,
        variant: str = CANARY_NAME,
        instance_type: str | None = None,
        instance_count: int = 1,
        image_uri: str | None = None,
        environment: Mapping[str, str] | None = None,
        entry_point: str | Path | None = None,
        source_dir: str | Path | None = None,
        progress: ProgressCallback | None = show_progress,
    ) -> Deployment:
        """Sends part of the requests to another model, beside the present one; returns when that model is in service.

        Compare both by `Prediction.variant`, ``classifier(target_variant=variant)`` and `metrics`; then `promote` the
        new model, or `roll_back`. The canary has its own instances, which cost money.

        Args:
            model: A training job, a tuning job for its best model so far, or the URI of a ``model.tar.gz``.
            percent: Its share of the requests, in percent, below 100.
            variant: Name of its production variant.
            instance_type: Its instance type. Default: that of the present model.
            instance_count: Its number of instances.
            image_uri: Its serving image. Default: that of the present model.
            environment: Variables of the model server to add or replace.
            entry_point: Your own inference.py for the new model, as in `deploy`. Default: the code in its artifact,
                even if the present model has an entry point.
            source_dir: The directory with the entry point.
            progress: Called while waiting; None for no output.

        Returns:
            This deployment.

        Raises:
            ConfigurationError: The entry point is missing or not valid Python, or the artifact has neither code nor a
                TorchScript model; nothing was created.
            EndpointNotFoundError: The endpoint does not exist.
            EndpointError: SageMaker refused, or the new model failed; the endpoint serves what it served before.
        """
        from dogbreed_sdk.endpoints import update  # noqa: PLC0415 - as above
        from dogbreed_sdk.endpoints.own_code import OwnCode  # noqa: PLC0415 - as above

        changes = update.Changes(
            instance_type=instance_type,
            instance_count=instance_count,
            image_uri=image_uri,
            environment=environment,
            code=OwnCode.given(entry_point, source_dir),
        )
        update.canary(
            self.session,
            self.endpoint_name,
            model,
            changes,
            variant_name=variant,
            percent=percent,
            progress=progress or no_progress,
        )
        return self

    def shift(self, weights: Mapping[str, float], *, progress: ProgressCallback | None = show_progress) -> Deployment:
        """Changes the share of the requests that each production variant answers; nothing is restarted.

        Args:
            weights: New weights by variant, 0 or more; variants that are not named keep theirs. A variant's share is
                its weight divided by the sum of all.
            progress: Called while waiting; None for no output.

        Returns:
            This deployment.

        Raises:
            ConfigurationError: A variant is unknown, or no weight is above 0.
            EndpointError: SageMaker refused.

        Examples:
            >>> deployment.shift({"AllTraffic": 50}).variants()[0].weight
            50.0
        """
        from dogbreed_sdk.endpoints import update  # noqa: PLC0415 - as above

        update.shift(self.session, self.endpoint_name, weights, progress=progress or no_progress)
        return self

    def promote(self, variant: str = CANARY_NAME, *, progress: ProgressCallback | None = show_progress) -> Deployment:
        """Sends all requests to the canary's model, without downtime; the other model is deleted.

        Args:
            variant: Name of the canary's production variant.
            progress: Called while waiting; None for no output.

        Raises:
            EndpointError: There is no such variant with one beside it, or SageMaker refused.
        """
        from dogbreed_sdk.endpoints import update  # noqa: PLC0415 - as above

        update.keep_variant(self.session, self.endpoint_name, variant, promoted=True, progress=progress or no_progress)
        return self

    def roll_back(self, variant: str = CANARY_NAME, *, progress: ProgressCallback | None = show_progress) -> Deployment:
        """Stops sending requests to the canary at once, then removes it; its model is deleted.

        Args:
            variant: Name of the canary's production variant.
            progress: Called while waiting; None for no output.

        Raises:
            EndpointError: There is no such variant with one beside it, or SageMaker refused.
        """
        from dogbreed_sdk.endpoints import update  # noqa: PLC0415 - as above

        update.keep_variant(self.session, self.endpoint_name, variant, promoted=False, progress=progress or no_progress)
        return self

    def metrics(
        self, *, since: datetime | Duration = "1h", until: datetime | None = None, period: Duration | None = None
    ) -> EndpointMetrics:
        """Requests, errors, latencies and the use of the instances, by production variant, from CloudWatch.

        On AWS a minute's values appear a few minutes later. On local SageMaker they are the server's own.

        Args:
            since: Beginning: a time (without a time zone it is local), or a duration such as "7d" before the end.
            until: End. Default: now.
            period: Length of the periods, whole minutes. Default: about 60 periods.

        Raises:
            EndpointNotFoundError: The endpoint does not exist.
            EndpointError: CloudWatch refused.
            AccessError: The permission cloudwatch:GetMetricData is missing.

        Examples:
            >>> requests = deployment.metrics(since="1d").variants[0].total
            >>> requests.server_errors
            0
        """
        from dogbreed_sdk.endpoints.metrics import read_metrics  # noqa: PLC0415 - as above

        end = until or datetime.now(timezone.utc)
        seconds = None if period is None else duration_seconds(period, name="period", least=60)
        if seconds is not None and seconds % 60:
            raise ConfigurationError(f"period must be whole minutes, not {seconds} s.")
        start = beginning(since, end=end, least=60)
        names = [each.name for each in self.variants()]
        return read_metrics(self.session, self.endpoint_name, names, start=start, end=end, period_seconds=seconds)

    def variants(self) -> list[Variant]:
        """The endpoint's production variants, with their shares of the requests.

        Raises:
            EndpointNotFoundError: The endpoint does not exist.
        """
        from dogbreed_sdk.endpoints.variants import variants_of  # noqa: PLC0415 - as above

        return variants_of(self._describe())

    def autoscale(self, autoscaling: Autoscaling, *, variant: str | None = None) -> Deployment:
        """Lets AWS add and remove instances, so that a metric stays near its target; replaces earlier autoscaling.

        It ends with `stop_autoscaling` or `delete`. On local SageMaker it has no effect, and a warning says so.

        Args:
            autoscaling: The limits and the target.
            variant: Name of the production variant. Default: the first one.

        Returns:
            This deployment.

        Raises:
            ConfigurationError: The target is not for this kind of endpoint, or the variant is unknown.
            EndpointError: AWS refused; nothing was set up.
            AccessError: A permission is missing.
        """
        from dogbreed_sdk.endpoints import autoscaling as scaling  # noqa: PLC0415 - as above

        scaling.apply(self.session, self.endpoint_name, autoscaling, variant=variant)
        return self

    def stop_autoscaling(self) -> None:
        """Ends the autoscaling that `autoscale` set up; the number of instances stays as it is now.

        Raises:
            EndpointNotFoundError: The endpoint does not exist.
            EndpointError: AWS refused.
        """
        from dogbreed_sdk.endpoints import autoscaling as scaling  # noqa: PLC0415 - as above

        scaling.stop(self.session, self.endpoint_name)

    def wait(
        self,
        *,
        timeout: float = defaults.ENDPOINT_READY_TIMEOUT_SECONDS,
        progress: ProgressCallback | None = show_progress,
    ) -> Deployment:
        """Waits until the endpoint is in service.

        Args:
            timeout: Longest time to wait, in seconds.
            progress: Called while waiting; None for no output.

        Raises:
            EndpointError: Its creation failed; with SageMaker's reason and the last lines of its log.
            EndpointNotReadyError: The timeout expired.
        """
        wait_in_service(self.session, self.endpoint_name, timeout=timeout, progress=progress or no_progress)
        return self

    def delete(self) -> None:
        """Deletes endpoint, endpoint configuration, models and autoscaling. It is not an error if one does not exist.

        Configuration and models that do not carry this project's tag are kept, and logged: others may use them. If
        their tags cannot be read, only those with the endpoint's name are deleted.
        What interrupted updates have left of it is found by its tags, if the caller may list models and
        configurations. All deletions are attempted, also after an error: call it again to delete what remains.

        Raises:
            EndpointError: SageMaker refused one of them; the first error is raised.
            AccessError: Credentials or a permission are missing.
        """
        from dogbreed_sdk.endpoints import autoscaling as scaling  # noqa: PLC0415 - as above
        from dogbreed_sdk.endpoints import parts  # noqa: PLC0415 - as above

        errors: list[DogBreedError] = []
        config_name = self._config_name(errors)
        models = self._model_names(config_name, errors)
        tags = self._tags()
        errors += scaling.remove(self.session, self.endpoint_name, tags)
        found = parts.existing(self.session, config_name, models)
        scheduled = SCHEDULED in tags or parts.are_scheduled(found)
        deletions = parts.own_deletions(found, self.endpoint_name)
        errors += attempt_all([partial(self._delete_endpoint, scheduled=scheduled), *deletions])
        errors += attempt_all(self._left_over())
        if errors:
            raise errors[0]

    def _tags(self) -> dict[str, str]:
        """The endpoint's tags; none if it does not exist, or if the caller may not read them."""
        from dogbreed_sdk.endpoints.tags import resource_tags  # noqa: PLC0415 - as above

        try:
            with translated(f"read the tags of endpoint {self.endpoint_name}", otherwise=EndpointError):
                return resource_tags(self.session, self._describe()["EndpointArn"])
        except DogBreedError as error:
            logger.info("Whether the endpoint is autoscaled or expires was not looked up: %s", error)
            return {}

    def _left_over(self) -> list[Deletion]:
        """What interrupted updates of the endpoint have left; none if the caller may not list it."""
        from dogbreed_sdk.endpoints.leftovers import unused  # noqa: PLC0415 - as above

        try:
            return unused(self.session, self.endpoint_name)
        except DogBreedError as error:
            logger.info("What interrupted updates may have left was not looked for: %s", error)
            return []

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

    def _delete_endpoint(self, *, scheduled: bool) -> None:
        """Deletes the endpoint, and then the schedule that would do so later, or delete another one of its name."""
        delete_endpoint(self.session, self.endpoint_name)
        if not scheduled:
            return
        try:
            delete_schedule(self.session, self.endpoint_name)
        except DogBreedError as error:
            # The endpoint is gone, and perhaps there never was a schedule: without permission, none was created.
            logger.warning("The endpoint was deleted, but perhaps not its schedule: %s", error)

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
