"""Packs a script's output into the archives that SageMaker uploads after a job."""

from __future__ import annotations

import gzip
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk import container
from dogbreed_sdk._util.formatting import amount
from dogbreed_sdk._util.log_file import Report
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.s3.transfer import upload_object, upload_objects
from dogbreed_sdk.local.script_files import (
    Entry,
    contents,
    copy_file,
    merged_contents,
    nearest_folder,
    open_regular,
    remove_tree,
)
from training_scripts._util.atomic import replacing, temporary_folder

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import OutputDataConfigTypeDef


# Weights hardly compress: for 19 MB of EfficientNet-Lite0, level 1 saves 7% and takes 0.40 s of CPU time, 16 times as
# long as level 0, and every trial of a search packs its model.
_COMPRESSION_LEVEL = 0


def upload_model(bases: Sequence[Path], configuration: OutputDataConfigTypeDef, job: str, report: Report) -> str:
    """Pack model/ to <S3OutputPath>/<job>/output/; the models of several hosts are merged, as on AWS.

    Args:
        bases: The folders that stand for the hosts' /opt/ml; if two hosts wrote the same file, the first one's counts.
        configuration: OutputDataConfig, with a file:// or s3:// S3OutputPath.
        job: The job's name.
        report: Called with a line about each thing that can't be packed.

    Returns:
        The URI of the model artifact: model.tar.gz, or model/ if the CompressionType is NONE.

    Raises:
        OSError: For instance the disk is full; nothing partial is left.
        ConfigurationError: The URI can't be written to.
    """
    prefix = _prefix(configuration, job)
    entries = merged_contents([base / "model" for base in bases], report)
    if configuration.get("CompressionType") == "NONE":
        uri = f"{prefix}/model/"
        if not uri.startswith("s3://"):
            _local_path(uri).mkdir(parents=True, exist_ok=True)
        _copy(entries, uri)
        return uri
    uri = f"{prefix}/{container.MODEL_ARCHIVE}"
    _deliver(entries, uri, bases[0])
    return uri


def upload_data(bases: Sequence[Path], configuration: OutputDataConfigTypeDef, job: str, report: Report) -> None:
    """Pack output/data/ if it is not empty; arguments and errors are those of `upload_model`."""
    folders = [data for base in bases if (data := base / "output/data").is_dir() and any(data.iterdir())]
    if not folders:
        return
    entries, prefix = merged_contents(folders, report), _prefix(configuration, job)
    if configuration.get("CompressionType") == "NONE":
        _copy(entries, f"{prefix}/data/")
    else:
        _deliver(entries, f"{prefix}/{container.OUTPUT_ARCHIVE}", bases[0])


def remove_uploaded(folder: Path) -> None:
    """Remove a folder that was packed: on AWS, too, a container's disk does not outlive its job."""
    remove_tree(folder)


def copy_contents(folder: Path, uri: str, report: Report) -> None:
    """Copy a folder's content to a file:// or s3:// URI.

    Raises:
        OSError: For instance the disk is full.
        ConfigurationError: The URI can't be written to.
    """
    _copy(contents(folder, report), uri)


def _copy(entries: Sequence[Entry], uri: str) -> None:
    if uri.startswith("s3://"):
        upload_objects([(entry.source, uri + entry.name) for entry in entries if entry.source.is_file()])
        return
    _require_room(entries, _local_path(uri))
    for entry in entries:
        destination = _local_path(uri) / entry.name
        if entry.kind == "folder":
            destination.mkdir(parents=True, exist_ok=True)
        elif entry.kind == "file":
            copy_file(entry.source, destination)
        else:
            destination.parent.mkdir(parents=True, exist_ok=True)
            destination.unlink(missing_ok=True)
            destination.symlink_to(entry.source.readlink())


def _prefix(configuration: OutputDataConfigTypeDef, job: str) -> str:
    return f"{configuration['S3OutputPath'].rstrip('/')}/{job}/output"


def _deliver(entries: Sequence[Entry], uri: str, base: Path) -> None:
    """Write an archive to a URI; on the way to S3, it is in a folder below `base`."""
    if uri.startswith("s3://"):
        with temporary_folder(nearest_folder(base), "upload") as scratch:
            archive = scratch / container.MODEL_ARCHIVE
            _pack(entries, archive)
            upload_object(archive, uri)
        return
    _pack(entries, _local_path(uri))


def _local_path(uri: str) -> Path:
    try:
        return container.uri_to_path(uri)
    except ValueError as error:
        raise ConfigurationError(f"OutputDataConfig.S3OutputPath: {error}.") from error


def pack(folder: Path, archive: Path, report: Report = lambda _line: None) -> None:
    """Write a folder's content to a .tar.gz whose bytes depend on names, modes and content only.

    Args:
        folder: The folder.
        archive: The file to write.
        report: Called with a line about what can't be packed; see `script_files.contents`. Default: silent.

    Raises:
        OSError: For instance the disk is full; no partial archive is left.
        ConfigurationError: The disk has less free space than it needs.
    """
    _pack(contents(folder, report), archive)


def _pack(entries: Sequence[Entry], archive: Path) -> None:
    _require_room(entries, archive.parent)
    with (
        replacing(archive) as raw,
        gzip.GzipFile("", "wb", compresslevel=_COMPRESSION_LEVEL, fileobj=raw, mtime=0) as stream,
        tarfile.open(fileobj=stream, mode="w") as tar,
    ):
        for entry in entries:
            if entry.kind != "file":
                tar.add(entry.source, arcname=entry.name, recursive=False, filter=_anonymous)
                continue
            with open_regular(entry.source) as handle:
                tar.addfile(_anonymous(tar.gettarinfo(arcname=entry.name, fileobj=handle)), handle)


def _require_room(entries: Sequence[Entry], place: Path) -> None:
    """Refuse content that does not fit on the disk before hours of writing: a sparse file may declare any size."""
    found = [entry.source.stat() for entry in entries if entry.kind == "file"]
    needed = sum({(file.st_dev, file.st_ino): file.st_size for file in found}.values())  # hard links count once
    free = shutil.disk_usage(nearest_folder(place)).free
    if needed > free:
        raise ConfigurationError(
            f"The disk that holds {place} is full: the script's output needs {amount(needed)}, and "
            f"{amount(free)} are free. Free some space, or choose another S3OutputPath."
        )


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    return member
