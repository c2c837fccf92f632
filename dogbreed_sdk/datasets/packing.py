"""Packs a data set into shards, WebDataset's tars or parquet files, and unpacks shards into class folders."""

from __future__ import annotations

import hashlib
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from dogbreed_sdk._util import optional
from dogbreed_sdk.errors import ConfigurationError, DatasetError
from training_scripts.data import signatures
from training_scripts.data.samples import of_any

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.examination import Progress
    from training_scripts.data.image_folder import DataSet, Sample

Format = Literal["webdataset", "parquet"]
SHARD_UNIT = 10**6  # bytes; the size of shards is given in these
# A group of rows is what parquet's readers decode at once.
_GROUP_ROWS, _GROUP_BYTES = 100, 32 << 20
# What Pillow's formats are called in file names.
_EXTENSIONS = {"JPEG": "jpg", "MPO": "jpg", "TIFF": "tif"}


def pack(
    dataset: DataSet,
    dest: Path,
    *,
    splits: Sequence[str],
    format: Format,  # noqa: A002 - as in the command's option
    shard_mb: int,
    seed: int,
    progress: Progress | None,
) -> None:
    """Writes shards; see `BreedDataset.pack`.

    Args:
        dataset: The pictures.
        dest: An empty folder.
        splits: Its splits; empty for a folder of classes.
        format: The format of the shards.
        shard_mb: Megabytes of pictures per shard.
        seed: Seed of the order.
        progress: Called with (packed pictures, all pictures).
    """
    if shard_mb < 1:
        raise ConfigurationError(f"shard_mb is {shard_mb}; a shard takes at least 1 MB")
    if format not in _WRITERS:
        raise ConfigurationError(f"unknown format {format!r}; valid formats: {', '.join(_WRITERS)}")
    total, done = sum(map(len, dataset.splits.values())), 0
    for split, samples in dataset.splits.items():
        with _Shards(dest, split if splits else "pictures", format, dataset.classes, shard_mb * SHARD_UNIT) as shards:
            for sample in _shuffled(samples, seed):
                shards.write(sample, content_of(sample))
                done += 1
                if progress is not None:
                    progress(done, total)
    if format == "webdataset":
        (dest / "classes.txt").write_text("".join(f"{name}\n" for name in dataset.classes), encoding="utf-8")


def unpack(dataset: DataSet, dest: Path, *, splits: Sequence[str], progress: Progress | None) -> None:
    """Writes class folders; see `BreedDataset.unpack`.

    Args:
        dataset: The pictures.
        dest: An empty folder.
        splits: Its splits; empty for a folder of classes.
        progress: Called with (written pictures, all pictures).
    """
    total, done = sum(map(len, dataset.splits.values())), 0
    for split, samples in dataset.splits.items():
        for sample in samples:
            content = content_of(sample)
            folder = (dest / split if splits else dest) / dataset.classes[sample.class_index]
            folder.mkdir(parents=True, exist_ok=True)
            _write_new(folder, [_original_name(sample, folder.name), file_name(sample, content)], content)
            done += 1
            if progress is not None:
                progress(done, total)


def content_of(sample: Sample) -> bytes:
    """The content of a picture.

    Raises:
        DatasetError: It cannot be read.
    """
    try:
        return sample.read()
    except OSError as error:
        raise DatasetError(f"cannot read {sample.location}: {error.strerror or error}") from error


def file_name(sample: Sample, content: bytes) -> str:
    """The name of a picture from a shard as a separate file; unique in its split."""
    name = sample.name.replace("/", "-")
    return name if PurePosixPath(name).suffix else f"{name}.{extension(sample, content)}"


def _original_name(sample: Sample, class_folder: str) -> str:
    """The name that a picture in a tar had in its class folder before it was packed; empty if it has none."""
    if sample.shard is None or not PurePosixPath(sample.name).suffix:
        return ""
    return sample.location[len(sample.shard.path) + 1 :].removeprefix(f"{class_folder}/").replace("/", "-")


def _write_new(folder: Path, names: Sequence[str], content: bytes) -> None:
    """Writes a file under the first of these names that no other file has."""
    *preferred, last = filter(None, names)
    for name in preferred:
        with suppress(FileExistsError), (folder / name).open("xb") as file:
            file.write(content)
            return
    with (folder / last).open("xb") as file:
        file.write(content)


def extension(sample: Sample, content: bytes) -> str:
    """The extension of a picture's file name: that of its name, or else that of its format."""
    suffix = PurePosixPath(sample.name).suffix.lower().removeprefix(".")
    if suffix:
        return suffix
    found = signatures.format_of(content[: signatures.LENGTH]) or "JPEG"
    return _EXTENSIONS.get(found, found.lower())


def _shuffled(samples: Sequence[Sample], seed: int) -> Iterator[Sample]:
    """Pictures in an order that depends on seed and names alone; those of parquet files as they come."""
    listed = of_any(samples)
    if listed.runs():
        yield from listed
        return
    names = list(listed.names())

    def lot(row: int) -> bytes:
        return hashlib.sha256(f"{seed}:{names[row]}".encode("utf-8", "surrogateescape")).digest()

    yield from (listed.at(row) for row in sorted(range(len(names)), key=lot))


class _Shards:
    """Writes the shards of one split, and begins another when one is full."""

    def __init__(self, folder: Path, prefix: str, kind: Format, classes: Sequence[str], largest: int) -> None:
        self._folder, self._prefix, self._classes, self._largest = folder, prefix, classes, largest
        self._make: Callable[[Path, Sequence[str]], _Writer] = _WRITERS[kind]
        self._suffix = ".tar" if kind == "webdataset" else ".parquet"
        self._writer: _Writer | None = None
        self._number = self._bytes = 0

    def __enter__(self) -> _Shards:
        return self

    def __exit__(self, *_: object) -> None:
        self._finish()

    def write(self, sample: Sample, content: bytes) -> None:
        """Writes a picture."""
        if self._writer is not None and self._bytes + len(content) > self._largest:
            self._finish()
        if self._writer is None:
            path = self._folder / f"{self._prefix}-{self._number:05d}{self._suffix}"
            self._writer = self._make(path, self._classes)
            self._number += 1
        self._writer.write(sample, content)
        self._bytes += len(content)

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._writer, self._bytes = None, 0


class _Writer(ABC):
    @abstractmethod
    def __init__(self, path: Path, classes: Sequence[str]) -> None: ...

    @abstractmethod
    def write(self, sample: Sample, content: bytes) -> None:
        """Adds a picture."""

    @abstractmethod
    def close(self) -> None:
        """Completes the shard."""


class _TarWriter(_Writer):
    """A WebDataset shard: each picture beside the index of its class."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        with optional.needed(extra="webdataset", purpose="write WebDataset shards"):
            import webdataset  # noqa: PLC0415 - loads torch

        del classes
        self._writer: Any = webdataset.TarWriter(str(path), encoder=False, mtime=0)
        self._keys: set[str] = set()

    def write(self, sample: Sample, content: bytes) -> None:
        """Adds a picture, under its name without dots: a key ends at the first one."""
        folder, _, name = sample.name.rpartition("/")
        stem = re.sub(r"[.\\]", "_", PurePosixPath(name).stem)
        key = f"{folder}/{stem}" if folder else stem
        number = 2
        while key in self._keys:
            key = f"{folder}/{stem}_{number}" if folder else f"{stem}_{number}"
            number += 1
        self._keys.add(key)
        label = str(sample.class_index).encode()
        self._writer.write({"__key__": key, extension(sample, content): content, "cls": label})

    def close(self) -> None:
        """Completes the shard."""
        self._writer.close()


class _ParquetWriter(_Writer):
    """A parquet file as Hugging Face's `datasets` writes them."""

    def __init__(self, path: Path, classes: Sequence[str]) -> None:
        with optional.needed(extra="parquet", purpose="write parquet files"):
            import pyarrow as pa  # noqa: PLC0415 - few pack data sets
            from pyarrow import parquet  # noqa: PLC0415 - likewise

        features = {"image": {"_type": "Image"}, "label": {"names": list(classes), "_type": "ClassLabel"}}
        image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        metadata = {"huggingface": json.dumps({"info": {"features": features}})}
        self._schema = pa.schema([("image", image), ("label", pa.int64())], metadata=metadata)
        # Pictures are compressed already.
        self._file: Any = parquet.ParquetWriter(path, self._schema, compression="none", use_dictionary=False)
        self._table: Callable[..., pa.Table] = pa.Table.from_pylist
        self._rows: list[dict[str, Any]] = []
        self._bytes = 0

    def write(self, sample: Sample, content: bytes) -> None:
        """Adds a picture, and writes a group of rows when it is large enough."""
        name = sample.name if PurePosixPath(sample.name).suffix else f"{sample.name}.{extension(sample, content)}"
        path = name.encode("utf-8", "replace").decode()
        self._rows.append({"image": {"bytes": content, "path": path}, "label": sample.class_index})
        self._bytes += len(content)
        if len(self._rows) >= _GROUP_ROWS or self._bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._file.write_table(self._table(self._rows, schema=self._schema))
        self._rows, self._bytes = [], 0

    def close(self) -> None:
        """Completes the file."""
        self._flush()
        self._file.close()


_WRITERS: dict[str, type[_Writer]] = {"webdataset": _TarWriter, "parquet": _ParquetWriter}
FORMATS = tuple(_WRITERS)
