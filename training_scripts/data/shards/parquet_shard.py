"""A parquet file of pictures, as Hugging Face's data sets have them; pyarrow reads it, a run of rows at a time."""

# ruff: noqa: PLC0415 - pyarrow loads only where there are such files

from __future__ import annotations

import json
from array import array
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from threading import Lock
from typing import TYPE_CHECKING, Any

from training_scripts.data.limits import MAX_FILE_BYTES
from training_scripts.data.shards import labels
from training_scripts.data.shards.labels import Label, LabelError
from training_scripts.data.shards.rows import IndexedShard, RowFault

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import parquet

# A run is decoded at once and kept until others replace it: enough rows that threads rarely wait, and bounded memory.
_RUN_BYTES = 16 << 20
_MOST_RUN_ROWS = 512
_RUNS_IN_MEMORY = 4
_LABEL_ROWS = 65536

_PICTURE_COLUMNS = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "image_bytes", "bytes", "content")
_LABEL_COLUMNS = ("label", "labels", "cls", "class", "target", "fine_label", "category", "breed", "class_name")


class RowNames(Sequence[str]):
    """The names of a file's rows: their numbers."""

    __slots__ = ("_rows",)

    def __init__(self, rows: array[int]) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: Any) -> Any:
        found = self._rows[place]
        return f"row-{found}" if isinstance(found, int) else tuple(f"row-{row}" for row in found)


class ParquetShard:
    """Reads pictures of a parquet file; neighboring rows are read together.

    Args:
        path: The file.
        column: The column with the pictures, "image.bytes" for a struct.
        rows: The file's row of each picture.
        groups: The rows of each row group.
        picture_bytes: The bytes of the column.
    """

    __slots__ = ("_column", "_groups", "_picture_bytes", "_rows", "_run_rows", "path")

    def __init__(self, path: str, column: str, rows: array[int], groups: Sequence[int], picture_bytes: int) -> None:
        self.path = path
        self._column = column
        self._rows = rows
        self._groups = list(accumulate(groups, initial=0))
        self._picture_bytes = picture_bytes
        mean = max(1, picture_bytes // max(1, self._groups[-1]))
        self._run_rows = max(1, min(_MOST_RUN_ROWS, _RUN_BYTES // mean))

    def at(self, path: str) -> ParquetShard:
        """The same shard at another path."""
        groups = [end - start for start, end in pairwise(self._groups)]
        return ParquetShard(path, self._column, self._rows, groups, self._picture_bytes)

    def size(self, row: int) -> int:
        """The bytes of a picture, as the mean of all."""
        del row
        return self._picture_bytes // max(1, self._groups[-1])

    def total_bytes(self) -> int:
        """The bytes of all pictures."""
        return self.size(0) * len(self._rows)

    def runs(self) -> list[range]:
        """Rows to be read together: those of the runs that `read` keeps in memory."""
        groups = pairwise(self._groups)
        starts = [start for first, end in groups for start in range(first, end, self._run_rows)]
        places = [bisect_left(self._rows, start) for start in starts]
        return [range(first, end) for first, end in pairwise([*places, len(self._rows)]) if first < end]

    def read(self, row: int) -> bytes:
        """The content of a picture.

        Raises:
            OSError: It is missing or too large, or the file cannot be read.
        """
        wanted = self._rows[row]
        group = bisect_right(self._groups, wanted) - 1
        inside = wanted - self._groups[group]
        run = _RUNS.run(self.path, self._column, group, inside // self._run_rows, self._run_rows)
        value = run[inside % self._run_rows]
        if not value.is_valid:
            raise OSError(0, "the row has no picture; pictures that are only named by a path are not read", self.path)
        if (size := value.as_buffer().size) > MAX_FILE_BYTES:
            raise OSError(0, f"{size:,} bytes are more than the {MAX_FILE_BYTES:,} allowed", self.path)
        content: bytes = value.as_py()
        return content


class _Runs:
    """The runs that were read last, and where each file's reading continues."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: OrderedDict[tuple[str, int, int], Any] = OrderedDict()
        self._readers: OrderedDict[str, _Reader] = OrderedDict()

    def run(self, path: str, column: str, group: int, number: int, rows: int) -> Any:
        """A run of a row group, as an array of bytes."""
        key = path, group, number
        with self._lock:
            if key in self._runs:
                self._runs.move_to_end(key)
                return self._runs[key]
            reader = self._readers.pop(path, None) or _Reader(path, column, rows)
            self._readers[path] = reader
            while len(self._readers) > _RUNS_IN_MEMORY:
                self._readers.popitem(last=False)[1].close()
            self._runs[key] = reader.run(group, number)
            while len(self._runs) > _RUNS_IN_MEMORY:
                self._runs.popitem(last=False)
            return self._runs[key]

    def forget(self, path: str) -> None:
        """Closes a file, which may have been replaced."""
        with self._lock:
            reader = self._readers.pop(path, None)
            if reader is not None:
                reader.close()
            for key in [key for key in self._runs if key[0] == path]:
                del self._runs[key]


class _Reader:
    """Reads the runs of a file; those that follow each other without reading anything twice."""

    def __init__(self, path: str, column: str, rows: int) -> None:
        self._path, self._column, self._rows = path, column, rows
        with _as_os_errors(path):
            self._file = _opened(path)
        self._group, self._next = -1, 0
        self._batches: Iterator[Any] = iter(())

    def run(self, group: int, number: int) -> Any:
        """A run of a row group."""
        with _as_os_errors(self._path):
            if group != self._group or number < self._next:
                self._batches = self._file.iter_batches(
                    batch_size=self._rows, row_groups=[group], columns=[self._column], use_threads=False
                )
                self._group, self._next = group, 0
            try:
                while self._next <= number:
                    batch = next(self._batches)
                    self._next += 1
            except StopIteration:
                raise OSError(0, "the file has fewer rows than it states", self._path) from None
            values = batch.column(0)
            return values.field(0) if "." in self._column else values

    def close(self) -> None:
        """Closes the file."""
        self._batches = iter(())
        self._file.close()


_RUNS = _Runs()


class _as_os_errors:  # noqa: N801 - used like a function
    """Turns pyarrow's errors into OSError, which names the file."""

    def __init__(self, path: str) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        import pyarrow as pa

        if isinstance(error, pa.ArrowException) or (isinstance(error, OSError) and not error.strerror):
            reason = str(error).splitlines()[0].removesuffix(".")
            raise OSError(0, f"it is not a parquet file that can be read: {reason}", self._path) from error


def _opened(path: str) -> parquet.ParquetFile:
    from pyarrow import parquet

    # Buffered and not ahead: the memory does not depend on the size of row groups.
    return parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False)


def index(path: str) -> IndexedShard:
    """Lists the pictures of a parquet file and their labels; the pictures are not read.

    Raises:
        OSError: pyarrow is not installed, or the file cannot be read, or has no column of pictures or of labels.
    """
    try:
        import pyarrow as pa
    except ModuleNotFoundError as error:
        install = "pip install 'dogbreed-sdk[parquet]'"
        raise OSError(0, f"parquet files need pyarrow, which is not installed; install it with: {install}", path) from (
            error
        )
    _RUNS.forget(path)
    with _as_os_errors(path), _opened(path) as file:
        schema = file.schema_arrow
        features = _features(schema.metadata or {})
        picture = _picture_column(schema, features, path)
        label = _label_column(schema, features, picture, path)
        names = _class_names(features, label)
        rows, found, faults = array("I"), [], []
        for number, value in enumerate(_labels(file, label)):
            try:
                found.append(_label(value, names))
                rows.append(number)
            except LabelError as fault:
                faults.append(RowFault(f"row-{number}", str(fault)))
        groups = [file.metadata.row_group(number) for number in range(file.num_row_groups)]
        inside = f"{picture}.bytes" if pa.types.is_struct(schema.field(picture).type) else picture
        total = sum(
            group.column(place).total_uncompressed_size
            for group in groups
            for place in range(group.num_columns)
            if group.column(place).path_in_schema == inside
        )
    shard = ParquetShard(path, inside, rows, [group.num_rows for group in groups], total)
    return IndexedShard(shard, RowNames(rows), found, faults, names)


def _features(metadata: dict[bytes, bytes]) -> dict[str, Any]:
    """Column -> Hugging Face's description of it; empty without one."""
    try:
        found = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return {name: value for name, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}


def _picture_column(schema: pa.Schema, features: dict[str, Any], path: str) -> str:
    import pyarrow as pa

    def is_binary(kind: pa.DataType) -> bool:
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    def is_picture(name: str) -> bool:
        kind = schema.field(name).type
        if pa.types.is_struct(kind):
            return any(
                kind.field(place).name == "bytes" and is_binary(kind.field(place).type)
                for place in range(kind.num_fields)
            )
        return is_binary(kind)

    able = [name for name in schema.names if is_picture(name)]
    described = [name for name in able if features.get(name, {}).get("_type") == "Image"]
    named = [name for name in _PICTURE_COLUMNS if name in able]
    chosen = [*described, *named, *(able if len(able) == 1 else [])]
    if not chosen:
        raise OSError(
            0, f"it has no column of pictures (named image, with their bytes); columns: {_columns(schema)}", path
        )
    column: str = chosen[0]
    return column


def _label_column(schema: pa.Schema, features: dict[str, Any], picture: str, path: str) -> str:
    classes = [name for name, value in features.items() if value.get("_type") == "ClassLabel"]
    described = [name for name in classes if name in schema.names]
    named = [name for name in _LABEL_COLUMNS if name in schema.names and name != picture]
    if len(described) == 1:
        return str(described[0])
    chosen = [name for name in named if name in described] or named
    if not chosen:
        wanted = f"the column {', '.join(classes)}" if classes else "a column named label"
        raise OSError(0, f"it has no column of labels; expected {wanted}; columns: {_columns(schema)}", path)
    return str(chosen[0])


def _columns(schema: pa.Schema) -> str:
    return ", ".join(name[:60] for name in schema.names[:20])


def _class_names(features: dict[str, Any], column: str) -> tuple[str, ...]:
    names = features.get(column, {}).get("names")
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        try:
            return labels.checked(names)
        except LabelError as fault:
            raise OSError(0, f"its class names cannot be used: {fault}") from fault
    return ()


def _labels(file: parquet.ParquetFile, column: str) -> Iterator[Any]:
    for batch in file.iter_batches(batch_size=_LABEL_ROWS, columns=[column], use_threads=False):
        yield from batch.column(0).to_pylist()


def _label(value: Any, names: Sequence[str]) -> Label:
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise LabelError("it has no label" if value is None else f"its label is a {type(value).__name__}")
    if isinstance(value, str):
        return labels.from_text(value.encode("utf-8", "replace"))
    index = labels.number(str(value))
    if names and index >= len(names):
        raise LabelError(f"its label is {index}, and there are {len(names)} classes")
    return index
