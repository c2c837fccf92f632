"""The model that an endpoint serves: fetched from its configuration and unpacked into the endpoint's folder."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dogbreed_sdk import container
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.jobs.s3_transfer import download_object
from dogbreed_sdk.local.jobs.staging import unpack
from dogbreed_sdk.local.states import DeploymentState, Serving
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
    """

    variant: str
    model: str | None
    environment: dict[str, str] = field(repr=False)
    digest: str
    startup_seconds: float | None

    def to_state(self) -> DeploymentState:
        """The form in which it is stored."""
        return {
            "variant": self.variant,
            "model": self.model,
            "environment": self.environment,
            "digest": self.digest,
            "startup_seconds": self.startup_seconds,
        }


def prepare(folder: EndpointFolder, serving: Serving) -> Deployment:
    """Fetch and unpack the model that an endpoint is to serve.

    Args:
        folder: The endpoint's folder.
        serving: The resolved model to serve.

    Raises:
        ConfigurationError: The model or the source is missing or not usable.
    """
    definition, variant = serving["container"], serving["variant"]
    return _prepared(
        folder,
        Deployment(
            variant=variant["VariantName"],
            model=model_uri(definition),
            environment=dict(definition.get("Environment") or {}),
            digest="",
            startup_seconds=variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
        ),
    )


def restore(folder: EndpointFolder, deployment: Deployment) -> Deployment:
    """A deployment with its model unpacked; unpacks it again if the folder was removed.

    As on AWS, the deployed model stays the same, even if the file at its URI has changed.

    Raises:
        ConfigurationError: The model or the source is missing or not usable.
    """
    return deployment if folder.model(deployment.digest).is_dir() else _prepared(folder, deployment)


def _prepared(folder: EndpointFolder, deployment: Deployment) -> Deployment:
    source = deployment.environment.get("SAGEMAKER_SUBMIT_DIRECTORY") or _BAKED_IN_CODE
    elsewhere = None if source.startswith(_BAKED_IN_CODE) else source
    return replace(deployment, digest=_unpack(folder, deployment.model, elsewhere))


def model_uri(definition: ContainerDefinitionTypeDef) -> str | None:
    """The URI of a container's model data; None for a container without any."""
    source = (definition.get("ModelDataSource") or {}).get("S3DataSource")
    return source["S3Uri"] if source else definition.get("ModelDataUrl")


def _unpack(folder: EndpointFolder, model: str | None, source: str | None) -> str:
    digest = hashlib.sha256()
    # An update may be unpacked while the current model is unpacked again, so each has a separate folder.
    with temporary_folder(folder.path, "model") as aside:
        content = aside / "model"
        content.mkdir(parents=True)
        if model:
            _add(model, content, digest, aside)
        if source:
            (content / "code").mkdir(exist_ok=True)
            _add(source, content / "code", digest, aside)
        name = digest.hexdigest()
        destination = folder.model(name)
        if not destination.exists():
            content.replace(destination)
    return name


def _add(uri: str, destination: Path, digest: _Hash, scratch: Path) -> None:
    """Copy the content of an archive or folder to a folder, and add its bytes to the digest."""
    path = _fetch(uri, scratch)
    if path.is_dir():
        # A folder has no bytes to hash, so each use of one counts as a new deployment.
        digest.update(f"{path}{path.stat().st_mtime_ns}".encode())
        shutil.copytree(path, destination, dirs_exist_ok=True)
        return
    if not path.is_file():
        raise ConfigurationError(f"Could not find model data at {uri}.")
    with path.open("rb") as handle:
        while chunk := handle.read(1 << 20):
            digest.update(chunk)
    unpack(path, destination)


def _fetch(uri: str, scratch: Path) -> Path:
    if uri.startswith("s3://"):
        archive = scratch / container.MODEL_ARCHIVE
        download_object(uri, archive)
        return archive
    try:
        return Path(uri) if uri.startswith("/") else container.uri_to_path(uri)
    except ValueError as error:
        raise ConfigurationError(f"{error}; local endpoints load models from file:// and s3:// URIs.") from error
