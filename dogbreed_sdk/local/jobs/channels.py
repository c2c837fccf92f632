"""A training job's input channels: which objects a host gets, and how they come into its container."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.data_files import files_below
from dogbreed_sdk.local.jobs.hosts import Host
from dogbreed_sdk.local.s3.manifest import read_manifest
from dogbreed_sdk.local.s3.transfer import (
    DataObject,
    download_objects,
    list_objects,
    open_object,
    path_within,
    s3_uri,
)

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import ChannelUnionTypeDef, CreateTrainingJobRequestTypeDef


@dataclass(frozen=True)
class Channel:
    """An input channel, with AWS's defaults for what its request leaves out.

    Attributes:
        name: Its name.
        uri: The prefix, folder, object or manifest.
        kind: S3Prefix, ManifestFile or AugmentedManifestFile.
        mode: File, FastFile or Pipe.
        distribution: FullyReplicated or ShardedByS3Key.
        wrapper: None, or RecordIO: each object is a record (Pipe mode).
        compression: None, or Gzip: objects are decompressed (Pipe mode).
        content_type: The MIME type of the objects, if the request names one.
        seed: Reshuffles the objects for each epoch (Pipe mode); None keeps their order.
        attributes: What is streamed of each line of an augmented manifest, in this order.
    """

    name: str
    uri: str
    kind: str = "S3Prefix"
    mode: str = "File"
    distribution: str = "FullyReplicated"
    wrapper: str = "None"
    compression: str = "None"
    content_type: str | None = None
    seed: int | None = None
    attributes: tuple[str, ...] = ()

    @property
    def configuration(self) -> dict[str, str]:
        """Its entry in inputdataconfig.json."""
        return {
            "TrainingInputMode": self.mode,
            "S3DistributionType": self.distribution,
            "RecordWrapperType": self.wrapper,
            **({"ContentType": self.content_type} if self.content_type else {}),
        }


def channels_of(request: CreateTrainingJobRequestTypeDef) -> tuple[Channel, ...]:
    """The channels of a training job."""
    mode = request["AlgorithmSpecification"].get("TrainingInputMode", "File")
    return tuple(_channel(members, mode) for members in request.get("InputDataConfig", ()))


def _channel(members: ChannelUnionTypeDef, mode: str) -> Channel:
    source = members["DataSource"].get("S3DataSource")
    if source is None:
        raise ConfigurationError(f"Data download failed: channel {members['ChannelName']!r} has no S3DataSource.")
    shuffle = members.get("ShuffleConfig")
    return Channel(
        name=members["ChannelName"],
        uri=s3_uri(source["S3Uri"]),
        kind=source.get("S3DataType", "S3Prefix"),
        mode=members.get("InputMode") or mode,
        distribution=source.get("S3DataDistributionType", "FullyReplicated"),
        wrapper=members.get("RecordWrapperType", "None"),
        compression=members.get("CompressionType", "None"),
        content_type=members.get("ContentType"),
        seed=shuffle["Seed"] if shuffle else None,
        attributes=tuple(source.get("AttributeNames", ())),
    )


def stage_channel(channel: Channel, host: Host, report: Report) -> None:
    """Put a channel's files into a host's container: copies of objects on S3, links to files of this machine.

    Raises:
        ConfigurationError: Something is missing, or can't be read.
    """
    destination = host.container / "input/data" / channel.name
    whole = channel.kind == "S3Prefix" and not _is_sharded(channel, host) and not channel.uri.startswith("s3://")
    if whole and (folder := local_path(channel.uri, channel.name)).is_dir():
        destination.symlink_to(folder, target_is_directory=True)
        return
    objects = objects_of(channel, host)
    remote = [item for item in objects if item.uri.startswith("s3://")]
    if remote:
        download_objects(remote, destination, channel.uri, progress=report)
    destination.mkdir(exist_ok=True)
    for item in objects:
        if not item.uri.startswith("s3://"):
            path = path_within(destination, item.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.symlink_to(local_path(item.uri, channel.name))


def objects_of(channel: Channel, host: Host) -> list[DataObject]:
    """The objects of a channel that a host gets: all, or its share if they are sharded by key.

    Raises:
        ConfigurationError: There are none, or they can't be listed.
    """
    if channel.kind == "ManifestFile":
        found = _manifest(channel)
    elif channel.uri.startswith("s3://"):
        found = list_objects(channel.uri)
    else:
        found = _files(local_path(channel.uri, channel.name))
    if not found:
        raise ConfigurationError(f"Data download failed: channel {channel.name!r}: no objects found at {channel.uri}.")
    return shard(found, host) if _is_sharded(channel, host) else found


def shard(objects: Sequence[DataObject], host: Host) -> list[DataObject]:
    """A host's share of objects: every n-th one of n hosts, so that neighbors, often of one class, are spread."""
    return list(objects[host.index :: host.count])


def local_path(uri: str, channel: str) -> Path:
    """The path of a file:// URI of a channel.

    Raises:
        ConfigurationError: It is another kind of URI, or nothing is there.
    """
    try:
        path = Path(uri) if uri.startswith("/") else container.uri_to_path(uri)
    except ValueError as error:
        raise ConfigurationError(f"channel {channel!r}: {error}; local jobs read file:// and s3:// URIs.") from error
    if not path.exists():
        raise ConfigurationError(
            f"Data download failed: channel {channel!r}: {path} does not exist. "
            "Correct DataSource.S3DataSource.S3Uri, or put the data there."
        )
    return path


def read(uri: str, channel: str) -> bytes:
    """The content of an object or a file of a channel.

    Raises:
        ConfigurationError: It is missing, or can't be read.
    """
    if not uri.startswith("s3://"):
        return local_path(uri, channel).read_bytes()
    with open_object(uri) as stream:
        return stream.read()


def _is_sharded(channel: Channel, host: Host) -> bool:
    return channel.distribution == "ShardedByS3Key" and host.count > 1


def _files(place: Path) -> list[DataObject]:
    if place.is_file():
        return [DataObject(place.name, container.path_to_uri(place))]
    return [DataObject(path.relative_to(place).as_posix(), container.path_to_uri(path)) for path in files_below(place)]


def _manifest(channel: Channel) -> list[DataObject]:
    try:
        prefix, names = read_manifest(read(channel.uri, channel.name))
    except ValueError as error:
        raise ConfigurationError(
            f"Data download failed: channel {channel.name!r}: {channel.uri} can't be used: {error}."
        ) from error
    return [DataObject(name.lstrip("/"), prefix + name) for name in names]
