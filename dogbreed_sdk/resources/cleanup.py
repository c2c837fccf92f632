"""Deletes what this project created: plans it, so that it can be shown and confirmed, then does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from dogbreed_sdk._util.durations import Duration, duration_seconds
from dogbreed_sdk.aws.errors import is_missing, translated
from dogbreed_sdk.aws.storage import StoredFile, is_file_uri, join, split_s3_uri
from dogbreed_sdk.endpoints import autoscaling, deletion, expiry
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from dogbreed_sdk.resources.discovery import in_parallel
from dogbreed_sdk.resources.listing import list_resources
from dogbreed_sdk.resources.resource import JOB_KINDS, Kind, Resource

if TYPE_CHECKING:
    from dogbreed_sdk.session import Session

# What costs most goes first, and nothing goes before what uses it. Each row is done in parallel.
_ORDER: tuple[tuple[Kind, ...], ...] = (
    ("endpoint",),
    ("tuning-job",),  # before its training jobs, or it would start others
    ("training-job", "transform-job", "warm-pool"),
    ("scalable-target",),
    ("endpoint-config",),
    ("model",),
    ("schedule",),
)


# Older than SageMaker itself.
_LONGEST_AGE_SECONDS = 100 * 365 * 86_400


_Chosen = dict[tuple[str, str], Resource]


@dataclass(frozen=True)
class Failure:
    """Something that could not be deleted.

    Attributes:
        kind: The kind of the resource, or "objects".
        name: Its name, or the URI of the objects.
        error: Why.
    """

    kind: str
    name: str
    error: DogBreedError


@dataclass(frozen=True)
class CleanupResult:
    """What a clean-up has done.

    Attributes:
        deleted: What it deleted or stopped.
        failures: What it could not delete; another clean-up tries it again.
        objects: Number of deleted files.

    Examples:
        >>> result = plan_cleanup(session, expired=True).run()
        >>> result.deleted, result.failures
        ((), ())
    """

    deleted: tuple[Resource, ...]
    failures: tuple[Failure, ...]
    objects: int = 0


@dataclass(frozen=True)
class CleanupPlan:
    """What a clean-up will do; nothing is deleted before `run`.

    Attributes:
        session: Where.
        delete: What will be deleted; jobs will be stopped.
        keep: What stays: too young, not expired, a job that runs, or needed by something that stays.
        objects: The files that will be deleted, by name below `objects_uri`.
        objects_uri: The folder of these files.
        notes: What could not be listed, and which permission that needs.

    Examples:
        >>> plan = plan_cleanup(session, older_than="1d")
        >>> [resource.kind for resource in plan.keep], plan.is_empty
        (['endpoint', 'model', 'endpoint-config'], True)
    """

    session: Session
    delete: tuple[Resource, ...]
    keep: tuple[Resource, ...]
    objects: tuple[StoredFile, ...] = ()
    objects_uri: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.delete and not self.objects

    def folders(self) -> list[tuple[str, int, int]]:
        """The files in short: each folder directly below `objects_uri`, its number of files, and their bytes."""
        sums: dict[str, tuple[int, int]] = {}
        for file in self.objects:
            folder = join(self.objects_uri, file.name.partition("/")[0])
            count, size = sums.get(folder, (0, 0))
            sums[folder] = (count + 1, size + file.size)
        return [(folder, *sums[folder]) for folder in sorted(sums)]

    def run(self, *, progress: Callable[[Resource], object] | None = None) -> CleanupResult:
        """Deletes all of it: endpoints first, and continues after errors. Run another clean-up to resume.

        Args:
            progress: Called with each resource once it is deleted.
        """
        deleted: list[Resource] = []
        failures: list[Failure] = []

        def attempt(resource: Resource) -> None:
            if ("endpoint", resource.endpoint) in {(failure.kind, failure.name) for failure in failures}:
                return  # the endpoint stays for now, and with it what scales it and would delete it later
            try:
                with translated(f"delete {resource.kind} {resource.name}", otherwise=DogBreedError):
                    _DELETIONS[resource.kind](self.session, resource.name)
            except DogBreedError as error:
                failures.append(Failure(resource.kind, resource.name, error))
            else:
                deleted.append(resource)
                if progress is not None:
                    progress(resource)

        for kinds in _ORDER:
            in_parallel(attempt, [resource for resource in self.delete if resource.kind in kinds])
        count = 0
        try:
            if self.objects:
                count = self.session.storage.delete_files(self.objects_uri, [file.name for file in self.objects])
        except DogBreedError as error:
            failures.append(Failure("objects", self.objects_uri, error))
        return CleanupResult(tuple(deleted), tuple(failures), count)


def plan_cleanup(
    session: Session,
    *,
    older_than: Duration | None = None,
    expired: bool = False,
    stop_jobs: bool = False,
    objects: bool = False,
) -> CleanupPlan:
    """Plans to delete what this project created: what `list_resources` lists, and nothing else.

    Whatever a kept resource needs is kept, too: the models of an endpoint, for example.

    Args:
        session: Where.
        older_than: Delete only what was created longer ago: ``1d``, ``12h``, or a timedelta.
        expired: Delete only what has an expiry that has passed, from ``deploy(ttl=…)``.
        stop_jobs: Also stop jobs that run.
        objects: Also delete the files below ``session.base_uri``: data sets, features, checkpoints, and the results
            of jobs. With ``older_than``, those that were last changed longer ago.

    Raises:
        ConfigurationError: ``older_than`` is not a duration, or a resource that is kept uses files to be deleted.
        AccessError: Credentials, or a permission of SageMaker's, are missing.

    Examples:
        >>> plan = plan_cleanup(session, older_than="1d")
        >>> [resource.name for resource in plan.delete]
        []
        >>> plan.run().failures
        ()
    """
    before = None if older_than is None else _before(older_than)
    found = list_resources(session)
    chosen: _Chosen = {
        (resource.kind, resource.name): resource
        for resource in found
        if (before is None or resource.created < before)
        and (resource.is_expired or not expired)
        and (stop_jobs or resource.kind not in JOB_KINDS)
    }
    _follow_endpoints(chosen, found)
    _keep_needed(chosen, found)
    delete = tuple(chosen.values())
    keep = tuple(resource for resource in found if resource not in delete)
    files: tuple[StoredFile, ...] = ()
    if objects:
        _refuse_used(keep)
        _refuse_whole_bucket(session.base_uri)
        files = tuple(
            file
            for file in session.storage.files(session.base_uri)
            if before is None or file.modified < before.timestamp()
        )
    return CleanupPlan(session, delete, keep, files, session.base_uri if objects else "", found.notes)


def _before(older_than: Duration) -> datetime:
    seconds = duration_seconds(older_than, name="older_than", most=_LONGEST_AGE_SECONDS)
    return datetime.now(timezone.utc) - timedelta(seconds=seconds)


def _follow_endpoints(chosen: _Chosen, found: Iterable[Resource]) -> None:
    """Chooses scalable targets and schedules with their endpoints: they are younger, and expire with them."""
    endpoints = {resource.name for resource in found if resource.kind == "endpoint"}
    for resource in found:
        key = (resource.kind, resource.name)
        if resource.endpoint in endpoints and resource.kind != "endpoint":
            if ("endpoint", resource.endpoint) in chosen:
                chosen[key] = resource
            else:
                chosen.pop(key, None)


def _keep_needed(chosen: _Chosen, found: Iterable[Resource]) -> None:
    """Keeps what a kept resource needs, and what that needs in turn."""
    needed = [use for resource in found if (resource.kind, resource.name) not in chosen for use in resource.uses]
    while needed:
        kept = chosen.pop(needed.pop(), None)
        if kept is not None:
            needed += kept.uses


def _refuse_used(keep: tuple[Resource, ...]) -> None:
    """Files are deleted only where nothing reads or writes them."""
    users = [resource for resource in keep if resource.kind in ("endpoint", "model", *JOB_KINDS)]
    if users:
        names = ", ".join([*(f"{resource.kind} {resource.name}" for resource in users[:5]), "…"][: len(users)])
        raise ConfigurationError(
            f"The files are still used by {names}, which this clean-up leaves. "
            "Clean up without filters and with stop_jobs=True, or leave the files."
        )


def _refuse_whole_bucket(uri: str) -> None:
    if not is_file_uri(uri) and not split_s3_uri(uri)[1]:
        raise ConfigurationError(
            f"This session stores its files directly in the bucket {uri}, where others may have theirs. Delete them "
            "there, or use a session with a prefix."
        )


def _stop_job(operation: str, member: str, session: Session, name: str) -> None:
    client = session.client("sagemaker")
    try:
        getattr(client, operation)(**{member: name})
    except ClientError as error:
        # It has ended, or is already stopping.
        if not is_missing(error) and error.response["Error"]["Code"] != "ValidationException":
            raise


def _end_warm_pool(session: Session, name: str) -> None:
    """API reference, UpdateTrainingJob: the only change that is allowed after a job's end; 0 ends the warm pool."""
    session.client("sagemaker").update_training_job(
        TrainingJobName=name, ResourceConfig={"KeepAlivePeriodInSeconds": 0}
    )


def _deregister(session: Session, name: str) -> None:
    client = session.client("application-autoscaling")
    targets = client.describe_scalable_targets(ServiceNamespace="sagemaker", ResourceIds=[name])["ScalableTargets"]
    _, endpoint, _, variant = name.split("/")  # endpoint/NAME/variant/VARIANT
    for target in targets:
        autoscaling.deregister(session, endpoint, variant, target["ScalableDimension"])


_DELETIONS: Mapping[Kind, Callable[[Session, str], None]] = {
    "endpoint": deletion.delete_endpoint,
    "endpoint-config": deletion.delete_endpoint_config,
    "model": deletion.delete_model,
    "tuning-job": partial(_stop_job, "stop_hyper_parameter_tuning_job", "HyperParameterTuningJobName"),
    "training-job": partial(_stop_job, "stop_training_job", "TrainingJobName"),
    "transform-job": partial(_stop_job, "stop_transform_job", "TransformJobName"),
    "warm-pool": _end_warm_pool,
    "scalable-target": _deregister,
    "schedule": expiry.delete_schedule,
}
