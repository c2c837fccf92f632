"""A session whose requests are written down and never sent, so that a plan shows exactly what would be sent."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util.progress import JobProgress
from dogbreed_sdk.aws.storage import Progress, Storage, StoredFile, join
from dogbreed_sdk.aws.transfers import TransferCallback
from dogbreed_sdk.session import Session

if TYPE_CHECKING:
    import boto3
    from botocore.model import OperationModel

# AWS's documentation uses this account in examples; it belongs to nobody.
_ACCOUNT = "111122223333"
_ROLE_ACCOUNT = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):")
_DEFAULT_BUCKET_ACCOUNT = re.compile(r"sagemaker-[a-z0-9-]+-(\d{12})")
_ROLE = "YourSageMakerRole"
# Operations that create and change nothing begin with one of these.
_READING = ("Describe", "List", "Get", "Filter")
# A client without credentials or configuration: the user's are neither needed nor read.
_NO_USER_SETTINGS: dict[str, tuple[None, None, str | None, None]] = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


@dataclass(frozen=True)
class PlannedRequest:
    """One request that would be sent.

    Attributes:
        service: The service as botocore names it, for example ``sagemaker``.
        operation: For example ``CreateTrainingJob``.
        parameters: The request's members.
    """

    service: str
    operation: str
    parameters: Mapping[str, Any]

    def to_dict(self) -> dict[str, object]:
        """The request as plain values."""
        return {"service": self.service, "operation": self.operation, "parameters": dict(self.parameters)}


class DryRunSession(Session):
    """SageMaker on AWS as far as the code that sends requests can tell: everything succeeds at once, nothing is sent.

    Role and bucket are the given ones, else placeholders. Nothing is stored yet, so every upload is due.

    Args:
        region: The region to plan for.
        like: The session whose role, bucket, key and network the requests name.

    Attributes:
        requests: What would have been sent, in order; only what creates or changes something.
    """

    def __init__(self, region: str, like: Session) -> None:
        super().__init__(
            region=region,
            role=like._role,
            bucket=like._bucket,
            prefix=like._prefix,
            kms_key=like._kms_key,
            vpc=like._vpc,
        )
        self.requests: list[PlannedRequest] = []
        self._writes_down = True
        self.storage = _DryRunStorage(self.requests)
        if self._bucket is None and self._sagemaker_config().bucket is None:
            self._bucket = f"sagemaker-{region}-{self._account}"

    @property
    def role_arn(self) -> str:
        """The given role or that of SageMaker's configuration, else a placeholder; AWS is not asked for it."""
        role = self._role or self._sagemaker_config().role or _ROLE
        return role if role.startswith("arn:") else f"arn:aws:iam::{self._account}:role/{role}"

    @property
    def _account(self) -> str:
        """The account that the given role or SageMaker's default bucket names, else a placeholder."""
        role = _ROLE_ACCOUNT.match(self._role or "")
        bucket = _DEFAULT_BUCKET_ACCOUNT.fullmatch(self._bucket or "")
        named = role or bucket
        return _ACCOUNT if named is None else named[1]

    def check_account(self) -> None:
        """Checks nothing: there need not be an account."""

    def _aws_boto3(self) -> boto3.Session:
        import boto3  # noqa: PLC0415
        import botocore.session  # noqa: PLC0415

        made = boto3.Session(
            aws_access_key_id="dry-run",
            aws_secret_access_key="dry-run",  # noqa: S106 - nothing is signed, because nothing is sent
            region_name=self.region,
            botocore_session=botocore.session.Session(session_vars=_NO_USER_SETTINGS),
        )
        made.events.register("provide-client-params", self._write_down)
        # botocore sends nothing if a handler of this event answers, which its stubs do not know.
        made.events.register("before-call", self._answer)  # type: ignore[arg-type]
        return made

    @contextmanager
    def undoing(self) -> Iterator[None]:
        """Within the block nothing is written down, and what was created is found to be gone."""
        self._writes_down = False
        try:
            yield
        finally:
            self._writes_down = True

    def _write_down(self, params: dict[str, Any], model: OperationModel, **_: object) -> None:
        if self._writes_down and not model.name.startswith(_READING):
            service = str(model.service_model.service_name)
            self.requests.append(PlannedRequest(service, model.name, params))

    def _answer(self, model: OperationModel, **_: object) -> tuple[object, dict[str, Any]]:
        """An answer in place of AWS's; botocore then sends nothing."""
        if model.service_model.service_name == "s3":
            # `storage` pretends; what is left are configuration files on S3, which must not be taken for empty.
            return _refusal(403, "AccessDenied", "A plan reads nothing from S3.")
        content = self._described(model.name) if model.name.startswith("Describe") else _nothing(model)
        if content is None:
            return _refusal(400, "ValidationException", "Could not find it.")
        return _Received(200), {**content, "ResponseMetadata": {"HTTPStatusCode": 200}}

    def _described(self, operation: str) -> dict[str, Any] | None:
        """What was created last, in its final state; None if nothing was."""
        request = self._created(operation.replace("Describe", "Create", 1)) if self._writes_down else None
        if request is None:
            return None
        now = datetime.datetime.now(datetime.timezone.utc)
        name = request.get("EndpointName", "")
        variants = (self._created("CreateEndpointConfig") or {}).get("ProductionVariants", ())
        return {
            # Which members an answer has depends on the operation; those of others are not looked at.
            "TrainingJobStatus": "Completed",
            "SecondaryStatus": "Completed",
            "SecondaryStatusTransitions": [{"Status": "Completed", "StartTime": now, "StatusMessage": "done"}],
            "ModelArtifacts": {"S3ModelArtifacts": self._artifact(request)},
            "HyperParameterTuningJobStatus": "Completed",
            "EndpointStatus": "InService",
            "EndpointArn": f"arn:aws:sagemaker:{self.region}:{self._account}:endpoint/{name}",
            "ProductionVariants": [_running(variant) for variant in variants],
            **dict.fromkeys(("CreationTime", "LastModifiedTime", "TrainingEndTime"), now),
            **request,
        }

    def _created(self, operation: str) -> Mapping[str, Any] | None:
        """The last request of an operation."""
        return next((sent.parameters for sent in reversed(self.requests) if sent.operation == operation), None)

    def _artifact(self, request: Mapping[str, Any]) -> str:
        return join(self.base_uri, "jobs", str(request.get("TrainingJobName", "")), "output", "model.tar.gz")


def _refusal(status: int, code: str, message: str) -> tuple[object, dict[str, Any]]:
    error = {"Code": code, "Message": message}
    return _Received(status), {"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}


def _running(variant: Mapping[str, Any]) -> dict[str, Any]:
    """A variant as DescribeEndpoint has it."""
    count = variant.get("InitialInstanceCount", 0)
    return {**variant, "CurrentInstanceCount": count, "DesiredInstanceCount": count}


def _nothing(model: OperationModel) -> dict[str, Any]:
    """An answer without content: its lists are empty."""
    members = model.output_shape.members if model.output_shape is not None else {}
    return {name: [] for name, shape in members.items() if shape.type_name == "list"}


@dataclass(frozen=True)
class _Received:
    """The HTTP response of an answer that botocore is given."""

    status_code: int
    headers: Mapping[str, str] = field(default_factory=dict)


class _DryRunStorage(Storage):
    """Storage that accepts everything, and holds only what the jobs would have stored.

    Args:
        requests: The requests so far.
    """

    def __init__(self, requests: Sequence[PlannedRequest]) -> None:
        super().__init__(_no_client)
        self._requests = requests

    def exists(self, uri: str) -> bool:
        """Whether a job would have written the file: features, where it stores its checkpoints."""
        folders = [request.parameters.get("CheckpointConfig", {}).get("S3Uri") for request in self._requests]
        return any(folder is not None and uri.startswith(f"{folder}/") for folder in folders)

    def files(self, uri: str) -> Iterator[StoredFile]:
        """No file is stored."""
        del uri
        return iter(())

    @contextmanager
    def reading(self, uri: str) -> Iterator[None]:
        """No file can be read."""
        del uri
        yield None

    def write_bytes(self, content: bytes, uri: str) -> None:
        """Writes nothing."""

    def upload_file(self, path: Path, uri: str, *, transfer: TransferCallback | None = None) -> None:
        """Uploads nothing."""

    def upload_files(
        self,
        files: Mapping[str, Path],
        uri: str,
        *,
        progress: Progress | None = None,
        transfer: TransferCallback | None = None,
    ) -> int:
        """Uploads nothing; says how many files would be uploaded."""
        del uri, progress, transfer
        return len(files)


def _no_client() -> Any:
    raise AssertionError("A dry run must not use S3.")


def unheard(_: JobProgress) -> None:
    """A progress callback for work that only pretends to run."""
