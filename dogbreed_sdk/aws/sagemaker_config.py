"""The defaults that administrators and users of SageMaker's own SDK keep in its configuration files.

Source: SageMaker Python SDK, "Configuring and using defaults with the SageMaker Python SDK", and the schema in its
`sagemaker.core.config`. The administrator's file comes first; what the user's file says replaces it.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dogbreed_sdk._util import optional
from dogbreed_sdk.aws.vpc import Vpc
from dogbreed_sdk.errors import AccessError, ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.aws.clients import Clients

ADMIN_VARIABLE = "SAGEMAKER_ADMIN_CONFIG_OVERRIDE"
USER_VARIABLE = "SAGEMAKER_USER_CONFIG_OVERRIDE"
_FILE = "config.yaml"
_SESSION = "PythonSDK.Modules.Session"


@dataclass(frozen=True, kw_only=True)
class SageMakerConfig:
    """What the files say, as far as a session uses it.

    Attributes:
        role: TrainingJob.RoleArn, else Model.ExecutionRoleArn.
        bucket: PythonSDK.Modules.Session.DefaultS3Bucket.
        prefix: PythonSDK.Modules.Session.DefaultS3ObjectKeyPrefix.
        kms_key: TrainingJob.OutputDataConfig.KmsKeyId.
        vpc: TrainingJob.VpcConfig, else Model.VpcConfig.
        tags: TrainingJob.Tags.
        places: The files that exist, for messages.
    """

    role: str | None = None
    bucket: str | None = None
    prefix: str | None = None
    kms_key: str | None = None
    vpc: Vpc | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    places: tuple[str, ...] = ()


def read(client: Clients) -> SageMakerConfig:
    """Reads the configuration files; files in their usual places may be missing.

    Args:
        client: The session's clients, for files on S3.

    Raises:
        ConfigurationError: A file that a variable names does not exist, or a file cannot be understood.
        AccessError: A file on S3 cannot be read.
    """
    merged: dict[str, Any] = {}
    places = []
    for place, text in _texts(client):
        document = _parsed(place, text)
        if document:
            places.append(place)
            _merge(merged, document)
    if not places:
        return SageMakerConfig()
    try:
        return _values(merged, tuple(places))
    except ConfigurationError as error:
        raise ConfigurationError(f"SageMaker's configuration ({', '.join(places)}): {error}") from error


def usual_places() -> tuple[Path, Path]:
    """The administrator's and the user's file, where SageMaker's SDK looks for them by default."""
    if sys.platform == "darwin":
        folders = (Path("/Library/Application Support"), Path("~/Library/Application Support").expanduser())
    else:
        # XDG Base Directory Specification: the first of the colon-separated folders; empty means unset.
        shared = os.environ.get("XDG_CONFIG_DIRS", "").split(":")[0] or "/etc/xdg"
        folders = (Path(shared), Path(os.environ.get("XDG_CONFIG_HOME", "").strip() or "~/.config").expanduser())
    return folders[0] / "sagemaker" / _FILE, folders[1] / "sagemaker" / _FILE


def _texts(client: Clients) -> Iterator[tuple[str, str]]:
    """Each file that exists: its place and its content."""
    for variable, usual in zip((ADMIN_VARIABLE, USER_VARIABLE), usual_places(), strict=True):
        named = os.environ.get(variable)
        if named and named.startswith("s3://"):
            yield named, _text_on_s3(client, named, variable)
            continue
        path = Path(named).expanduser() if named else usual
        path = path / _FILE if path.is_dir() else path
        try:
            yield str(path), path.read_text("utf-8")
        except (FileNotFoundError, NotADirectoryError):
            if named:
                raise ConfigurationError(
                    f"${variable} names {named}, which does not exist. Correct the variable or unset it."
                ) from None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"SageMaker's configuration file {path} cannot be read: {error}") from error


def _text_on_s3(client: Clients, uri: str, variable: str) -> str:
    """A file on S3, or config.yaml in a folder there."""
    from botocore.exceptions import ClientError  # noqa: PLC0415 - rarely needed

    from dogbreed_sdk.aws.errors import is_missing, translated  # noqa: PLC0415 - likewise

    bucket, _, key = uri.removeprefix("s3://").partition("/")
    for tried in (key, f"{key.rstrip('/')}/{_FILE}".lstrip("/")):
        if not tried or tried.endswith("/"):
            continue
        with translated(f"read {uri}, which ${variable} names", otherwise=AccessError):
            try:
                return client("s3").get_object(Bucket=bucket, Key=tried)["Body"].read().decode("utf-8")
            except ClientError as error:
                if not is_missing(error):
                    raise
    raise ConfigurationError(f"${variable} names {uri}, which does not exist. Correct the variable or unset it.")


def _parsed(place: str, text: str) -> Mapping[str, Any]:
    document: object
    try:
        document = json.loads(text)  # JSON is YAML, and needs no package
    except ValueError:
        if not text.strip():
            return {}
        yaml = optional.load("yaml", extra="aws", purpose=f"read SageMaker's configuration file {place}")
        try:
            document = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"SageMaker's configuration file {place} is not valid YAML: {error}") from error
    if document is not None and not isinstance(document, dict):
        raise ConfigurationError(f"SageMaker's configuration file {place} is not a mapping with the key SageMaker.")
    return document or {}


def _merge(into: dict[str, Any], new: Mapping[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _values(document: Mapping[str, Any], places: tuple[str, ...]) -> SageMakerConfig:
    text = _reader(document)
    subnets, groups = "VpcConfig.Subnets", "VpcConfig.SecurityGroupIds"
    vpc = next((owner for owner in ("TrainingJob", "Model") if _at(document, f"{owner}.{subnets}")), None)
    tags = _at(document, "TrainingJob.Tags") or []
    try:
        named_tags = {str(tag["Key"]): str(tag["Value"]) for tag in tags}
    except (TypeError, KeyError):
        raise ConfigurationError("SageMaker.TrainingJob.Tags is not a list of {Key, Value}.") from None
    return SageMakerConfig(
        role=text("TrainingJob.RoleArn") or text("Model.ExecutionRoleArn"),
        bucket=text(f"{_SESSION}.DefaultS3Bucket"),
        prefix=text(f"{_SESSION}.DefaultS3ObjectKeyPrefix"),
        kms_key=text("TrainingJob.OutputDataConfig.KmsKeyId"),
        vpc=None
        if vpc is None
        else Vpc(subnets=_at(document, f"{vpc}.{subnets}"), security_groups=_at(document, f"{vpc}.{groups}") or ()),
        tags=named_tags,
        places=places,
    )


def _reader(document: Mapping[str, Any]) -> Callable[[str], str | None]:
    def text(path: str) -> str | None:
        value = _at(document, path)
        if value is not None and not isinstance(value, str):
            raise ConfigurationError(f"SageMaker.{path} is {value!r}, not a text.")
        return value or None

    return text


def _at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for key in ("SageMaker", *path.split(".")):
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value
