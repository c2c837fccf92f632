"""The model that an endpoint serves: fetched from its configuration and unpacked into the endpoint's folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from dogbreed_sdk import container
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.container_image import image_environment
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.s3.transfer import download_object, download_prefix, s3_uri
from dogbreed_sdk.local.states import DeploymentState, ModelForm, ServedVariant, Serving
from dogbreed_sdk.local.unpacking import unpack
from training_scripts._util.atomic import temporary_folder

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import ContainerDefinitionTypeDef

_BAKED_IN_CODE = "/opt/ml/model/code"


class _Hash(Protocol):
    """A hash object from hashlib."""

    def update(self, data: bytes, /) -> None: ...


@dataclass(frozen=True)
class Deployment:
    """The input from which a model server is started, as stored with the endpoint once it is in service.

    Attributes:
        variant: The production variant's name; empty for a model that no endpoint serves.
        model: URI of the model archive, or None for a container without one.
        environment: The container's Environment.
        digest: Names the unpacked folder; SHA-256 over model and source archive.
        startup_seconds: How long loading may take, if the variant sets a limit.
        form: What `model` is: an archive (on this machine also a folder), or not packed: a folder or a file.
    """

    variant: str
    model: str | None
    environment: dict[str, str] = field(repr=False)
    digest: str
    startup_seconds: float | None
    form: ModelForm = "archive"

    def to_state(self) -> DeploymentState:
        """The form in which it is stored."""
        return {
            "variant": self.variant,
            "model": self.model,
            "environment": self.environment,
            "digest": self.digest,
            "startup_seconds": self.startup_seconds,
            "form": self.form,
        }


def prepare(folder: EndpointFolder, serving: Serving, served: ServedVariant) -> Deployment:
    """Fetch and unpack the model that a production variant is to serve.

    Args:
        folder: The endpoint's folder.
        serving: What the endpoint is to serve.
        served: One of its variants.

    Raises:
        ConfigurationError: The model or the source is missing or not usable.
    """
    definition, variant = served["container"], served["variant"]
    return _prepared(
        folder,
        Deployment(
            variant=variant["VariantName"],
            model=model_uri(definition),
            environment={**_limits(serving), **container_environment(definition)},
            digest="",
            startup_seconds=variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
            form=model_form(definition),
        ),
    )


def _limits(serving: Serving) -> dict[str, str]:
    """The model server's limits for an asynchronous endpoint, whose requests may have 1 GB."""
    return {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "1024"} if "async_config" in serving else {}


def restore(folder: EndpointFolder, deployment: Deployment) -> Deployment:
    """A deployment with its model unpacked; unpacks it again if the folder was removed.

    As on AWS, the deployed model stays the same, even if the file at its URI has changed.

    Raises:
        ConfigurationError: The model or the source is missing or not usable.
    """
    return deployment if folder.model(deployment.digest).is_dir() else _prepared(folder, deployment)


def _prepared(folder: EndpointFolder, deployment: Deployment) -> Deployment:
    source = deployment.environment.get("SAGEMAKER_SUBMIT_DIRECTORY") or _BAKED_IN_CODE
    elsewhere = None if source.startswith(_BAKED_IN_CODE) else s3_uri(source)
    return replace(deployment, digest=_unpack(folder, deployment.model, deployment.form, elsewhere))


def container_environment(definition: ContainerDefinitionTypeDef) -> dict[str, str]:
    """The variables of a container: its Environment, and the defaults of its image where that does not set them."""
    return {**image_environment(definition.get("Image")), **(definition.get("Environment") or {})}


def model_uri(definition: ContainerDefinitionTypeDef) -> str | None:
    """The URI of a container's model data; None for a container without any."""
    source = (definition.get("ModelDataSource") or {}).get("S3DataSource")
    uri = source["S3Uri"] if source else definition.get("ModelDataUrl")
    return s3_uri(uri) if uri else None


def model_form(definition: ContainerDefinitionTypeDef) -> ModelForm:
    """What a container's model data is."""
    source = (definition.get("ModelDataSource") or {}).get("S3DataSource")
    if source is None or source["CompressionType"] == "Gzip":
        return "archive"
    return "folder" if source["S3DataType"] == "S3Prefix" else "file"


def _unpack(folder: EndpointFolder, model: str | None, form: ModelForm, source: str | None) -> str:
    digest = hashlib.sha256()
    # An update may be unpacked while the current model is unpacked again, so each has a separate folder.
    with temporary_folder(folder.path, "model") as aside:
        content = aside / "model"
        content.mkdir(parents=True)
        if model:
            _ADDERS[form](model, content, digest, aside)
        if source:
            (content / "code").mkdir(exist_ok=True)
            _add_archive(source, content / "code", digest, aside)
        name = digest.hexdigest()
        destination = folder.model(name)
        if not destination.exists():
            destination.parent.mkdir(exist_ok=True)
            content.replace(destination)
    return name


def _add_archive(uri: str, destination: Path, digest: _Hash, scratch: Path) -> None:
    """Unpack an archive into a folder, and add its bytes to the digest; on this machine it may also be a folder."""
    if uri.startswith("s3://"):
        archive = scratch / container.MODEL_ARCHIVE
        download_object(uri, archive)
    else:
        archive = _local(uri)
        if archive.is_dir():
            _add_folder(uri, destination, digest, scratch)
            return
    _add_content(archive, digest)
    unpack(archive, destination)


def _add_folder(uri: str, destination: Path, digest: _Hash, _scratch: Path) -> None:
    """Copy all objects below a prefix, or the content of a folder."""
    if not uri.startswith("s3://"):
        shutil.copytree(_local(uri), destination, dirs_exist_ok=True)
    elif not download_prefix(uri, destination, progress=lambda _: None):
        raise ConfigurationError(f"Could not find model data at {uri}: no objects have that prefix.")
    for path in sorted(destination.rglob("*")):
        if path.is_file():
            digest.update(str(path.relative_to(destination)).encode())
            _add_content(path, digest)


def _add_file(uri: str, destination: Path, digest: _Hash, _scratch: Path) -> None:
    """Copy one object or file as it is."""
    copied = destination / PurePosixPath(urlsplit(uri).path).name
    if uri.startswith("s3://"):
        download_object(uri, copied)
    else:
        shutil.copyfile(_local(uri), copied)
    _add_content(copied, digest)


_ADDERS: dict[ModelForm, Callable[[str, Path, _Hash, Path], None]] = {
    "archive": _add_archive,
    "folder": _add_folder,
    "file": _add_file,
}


def _add_content(path: Path, digest: _Hash) -> None:
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)


def _local(uri: str) -> Path:
    try:
        path = Path(uri) if uri.startswith("/") else container.uri_to_path(uri)
    except ValueError as error:
        raise ConfigurationError(f"{error}; local endpoints load models from file:// and s3:// URIs.") from error
    if not path.exists():
        raise ConfigurationError(f"Could not find model data at {uri}.")
    return path
