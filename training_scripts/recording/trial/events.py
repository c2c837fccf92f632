"""Encodes and decodes TensorFlow's Event, Summary and TensorProto messages as trials use them, without protobuf.

Field numbers are those of tensorflow/core/util/event.proto and tensorflow/core/framework/{summary,tensor}.proto.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from training_scripts.recording.trial.records import Array

MODE_NUMBERS = {"TRAIN": 1, "EVAL": 2, "PREDICT": 3, "GLOBAL": 4}  # smdebug.core.modes.ModeKeys
_MODE_NAMES = {number: name for name, number in MODE_NUMBERS.items()}

_FLOAT32, _FLOAT64 = struct.Struct("<f"), struct.Struct("<d")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DT_STRING, _DT_BFLOAT16, _DT_HALF = 7, 14, 19
_DTYPES: dict[int, np.dtype[np.generic]] = {
    1: np.dtype("<f4"),
    2: np.dtype("<f8"),
    3: np.dtype("<i4"),
    4: np.dtype("u1"),
    5: np.dtype("<i2"),
    6: np.dtype("i1"),
    8: np.dtype("<c8"),
    9: np.dtype("<i8"),
    10: np.dtype("?"),
    17: np.dtype("<u2"),
    18: np.dtype("<c16"),
    _DT_HALF: np.dtype("<f2"),
    22: np.dtype("<u4"),
    23: np.dtype("<u8"),
}
_NUMBERS = {dtype: number for number, dtype in _DTYPES.items()}
_READ_AS = {"i1": "<i4", "i2": "<i4", "u2": "<i4", "u4": "<i8", "u8": "<f8", "c8": "<c16"}
# Fields of TensorProto that hold single values if tensor_content is empty, and how each is packed.
_VALUE_FIELDS = {5: "<f4", 6: "<f8", 7: "varint", 10: "varint", 11: "varint", 13: "varint", 16: "varint", 17: "varint"}
FLOAT32_SCALAR = b"\x08\x01\x12\x00\x22\x04"
"""The beginning of the TensorProto of a float32 of shape (); the four bytes of the value follow."""
MAX_TAG_BYTES = 4096
MAX_DIMENSIONS = 64
MAX_STEP = 1 << 53
# A few bytes of a file must not expand to much memory: limits for a constant tensor and for strings (whose longest
# one decides the size of all).
MAX_CONSTANT, MAX_CHARACTERS = 1 << 20, 1 << 22


class EventError(ValueError):
    """The bytes are not an event of a trial."""


@dataclass(frozen=True)
class Record:
    """One tensor of an event file.

    Attributes:
        name: The tensor's tag.
        step: The global step.
        mode: TRAIN, EVAL, PREDICT or GLOBAL.
        mode_step: The step counted within the mode.
        time: Seconds since 1970.
        begin: Offset of its TensorProto in the data.
        end: Offset of its end.
    """

    name: str
    step: int
    mode: str
    mode_step: int
    time: float
    begin: int
    end: int


def encode(name: str, array: Array, *, step: int, mode: str, mode_step: int, time: float) -> bytes:
    """Encodes an event with one tensor, byte for byte as smdebug writes it.

    Args:
        name: The tensor's tag.
        array: Its value.
        step: The global step.
        mode: TRAIN, EVAL, PREDICT or GLOBAL.
        mode_step: The step counted within the mode.
        time: Seconds since 1970.

    Raises:
        EventError: The array has a dtype that trials do not support (strings, bfloat16, objects).
    """
    tag = name.encode()
    value = _field(1, tag) + _field(8, encode_tensor(tag, array)) + _field(9, _metadata(mode, mode_step))
    return b"\x09" + struct.pack("<d", time) + _step_field(step) + _field(5, _field(1, value))


def as_smdebug_reads(array: Array) -> Array:
    """Converts an array to a dtype that smdebug reads correctly: it writes more dtypes than it reads."""
    wider = _READ_AS.get(array.dtype.str[1:])
    return array if wider is None else array.astype(wider)


def number_parts(*, step: int, mode: str, mode_step: int, time: float) -> tuple[bytes, bytes]:
    """The bytes that all numbers of a step share, for `encode_number`; takes the same arguments as `encode`."""
    digits = b"%d" % mode_step
    size = len(digits)
    plugin = b"\x0a" + _VARINTS[13 + size] + b"\x0a\x09mode_step\x12" + _VARINTS[size] + digits
    tail = b"\x4a" + _VARINTS[26 + size] + plugin + b"\x0a\x09\x0a\x04mode\x12\x01%d" % MODE_NUMBERS[mode]
    return b"\x09" + _FLOAT64.pack(time) + _step_field(step), tail


def encode_number(name: str, value: float, parts: tuple[bytes, bytes]) -> bytes:
    """Encodes a float32 of shape () as `encode` does, several times as fast.

    Args:
        name: The tensor's tag.
        value: Rounded to float32; a value too large for it becomes infinite.
        parts: Result of `number_parts` for the step.
    """
    try:
        content = _FLOAT32.pack(value)
    except OverflowError:
        content = _FLOAT32.pack(math.copysign(math.inf, value))
    head, tail = parts
    summary = _number_head(name) + content + tail
    size = varint(len(summary))
    return b"%b\x2a%b\x0a%b%b" % (head, varint(1 + len(size) + len(summary)), size, summary)


@functools.lru_cache(maxsize=4096)
def _number_head(name: str) -> bytes:
    return _field(1, name.encode()) + b"\x42\x0a" + FLOAT32_SCALAR


def encode_tensor(tag: bytes, array: Array) -> bytes:
    """A TensorProto."""
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _NUMBERS:
        raise EventError(f"{tag.decode()} has the dtype {array.dtype}, which trials do not support")
    dimensions = b"".join(
        _field(2, (b"\x08" + varint(size) if size else b"") + _field(2, b"%b_%d" % (tag, size))) for size in array.shape
    )
    content = np.ascontiguousarray(array, dtype=dtype).tobytes()
    return b"\x08" + varint(_NUMBERS[dtype]) + _field(2, dimensions) + (_field(4, content) if content else b"")


def _metadata(mode: str, mode_step: int) -> bytes:
    plugins = ((b"mode_step", mode_step), (b"mode", MODE_NUMBERS[mode]))
    return b"".join(_field(1, _field(1, key) + _field(2, b"%d" % number)) for key, number in plugins)


def _step_field(step: int) -> bytes:
    return b"\x10" + varint(step) if step else b""  # protobuf 3 leaves zeros out


def _field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | _BYTES) + varint(len(content)) + content


def varint(value: int) -> bytes:
    """Encodes a non-negative number in base 128."""
    return _VARINTS[value] if value < len(_VARINTS) else _long_varint(value)


def _long_varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    parts.append(value)
    return bytes(parts)


_VARINTS = [_long_varint(value) for value in range(1 << 10)]


def decode(data: bytes | memoryview, begin: int, end: int) -> list[Record]:
    """Decodes the tensors of an event, without their content; empty for other events.

    Args:
        data: A file's content.
        begin: Offset of the event.
        end: Offset of its end.

    Raises:
        EventError: The bytes are not an event of a trial.
    """
    time, step, values = float("nan"), 0, []
    try:
        for field, first, last in _fields(data, begin, end):
            if field == 1 and last - first == 8:
                (time,) = struct.unpack_from("<d", data, first)
            elif field == 2:
                step = _number(data, first, last)
            elif field == 5:
                values += [(low, high) for inner, low, high in _fields(data, first, last) if inner == 1]
        found = (_record(data, low, high, step, time) for low, high in values)
        return [record for record in found if record is not None]
    except (IndexError, ValueError, struct.error) as error:
        raise EventError(f"not an event of a trial: {error}") from error


def _record(data: bytes | memoryview, begin: int, end: int, step: int, time: float) -> Record | None:
    name, tensor, mode, mode_step = "", None, "GLOBAL", step
    for field, first, last in _fields(data, begin, end):
        if field == 1:
            if last - first > MAX_TAG_BYTES:
                raise EventError("a tensor's name is too long")
            name = str(bytes(data[first:last]), "utf-8", "replace")
        elif field == 8:
            tensor = first, last
        elif field == 9:
            mode, mode_step = _mode(data, first, last, mode, mode_step)
    if tensor is None:  # a histogram or a scalar summary: not a tensor of the trial
        return None
    if not (0 <= step < MAX_STEP and 0 <= mode_step < MAX_STEP):
        raise EventError(f"the step of {name} is out of range")
    return Record(name, step, mode, mode_step, time, *tensor)


def _mode(data: bytes | memoryview, begin: int, end: int, mode: str, mode_step: int) -> tuple[str, int]:
    for field, first, last in _fields(data, begin, end):
        if field != 1:
            continue
        parts = {inner: bytes(data[low:high]) for inner, low, high in _fields(data, first, last)}
        if parts.get(1) == b"mode":
            mode = _MODE_NAMES.get(int(parts.get(2, b"4")), "GLOBAL")
        elif parts.get(1) == b"mode_step":
            mode_step = int(parts.get(2, b"0"))
    return mode, mode_step


def tensor(data: bytes | memoryview, begin: int, end: int) -> Array:
    """Decodes the array of a TensorProto.

    Raises:
        EventError: Its content does not match its shape, or trials do not support its dtype.
    """
    try:
        return _tensor(data, begin, end)
    except (IndexError, ValueError, struct.error, OverflowError) as error:
        raise EventError(f"a tensor's content is damaged: {error}") from error


def check(data: bytes | memoryview, begin: int, end: int) -> None:
    """Checks that `tensor` can decode a TensorProto, without copying large content.

    Raises:
        EventError: `tensor` would raise it.
    """
    try:
        kind, shape, content, listed, texts = _parts(data, begin, end)
        if content is None or listed or texts or kind == _DT_STRING:
            _tensor(data, begin, end)
            return
        size = 2 if kind == _DT_BFLOAT16 else _DTYPES[kind].itemsize if kind in _DTYPES else 0
        if not size or math.prod(shape) * size != content[1] - content[0]:
            raise EventError("its size does not match its shape and dtype")
    except (IndexError, ValueError, struct.error, OverflowError) as error:
        raise EventError(f"a tensor's content is damaged: {error}") from error


def _parts(
    data: bytes | memoryview, begin: int, end: int
) -> tuple[int, tuple[int, ...], tuple[int, int] | None, list[tuple[int, int, int]], list[str]]:
    """Parts of a TensorProto: dtype's number, shape, location of its content, single values, strings."""
    kind, content = 0, None
    shape: tuple[int, ...] = ()
    listed: list[tuple[int, int, int]] = []
    texts = []
    for field, first, last in _fields(data, begin, end):
        if field == 1:
            kind = _number(data, first, last)
        elif field == 2:
            shape = _shape(data, first, last)
        elif field == 4:
            content = first, last
        elif field == 8:
            texts.append(str(bytes(data[first:last]), "utf-8", "replace"))
        elif field in _VALUE_FIELDS:
            listed.append((field, first, last))
    return kind, shape, content, listed, texts


def _tensor(data: bytes | memoryview, begin: int, end: int) -> Array:
    kind, shape, content, listed, texts = _parts(data, begin, end)
    if texts or kind == _DT_STRING:
        if len(texts) * max(map(len, texts), default=0) > MAX_CHARACTERS:
            raise EventError("its strings are too long")
        return np.array(texts)
    if content is not None:
        return _from_content(data[content[0] : content[1]], kind, shape)
    values = [value for field, first, last in listed for value in _listed(data, field, first, last)]
    return _from_values(values, kind, shape)


def _from_content(content: bytes | memoryview, kind: int, shape: tuple[int, ...]) -> Array:
    if kind == _DT_BFLOAT16:
        halves = np.frombuffer(content, dtype="<u2").astype(np.uint32) << 16
        return np.asarray(halves.view(np.float32)).reshape(shape)
    if kind not in _DTYPES:
        raise EventError(f"trials do not support its dtype, number {kind}")
    found: Array = np.frombuffer(content, dtype=_DTYPES[kind]).reshape(shape).copy()
    return found


def _from_values(values: list[float], kind: int, shape: tuple[int, ...]) -> Array:
    if kind not in _DTYPES:
        raise EventError(f"trials do not support its dtype, number {kind}")
    if kind == _DT_HALF:
        return np.array(values, dtype=np.uint16).view(np.float16).reshape(shape)
    size = int(np.prod(shape, dtype=object))
    if len(values) == 1 and 1 < size <= MAX_CONSTANT:  # TensorFlow writes a constant tensor's value once
        return np.broadcast_to(np.array(values[0]).astype(_DTYPES[kind]), shape)
    return np.array(values).astype(_DTYPES[kind]).reshape(shape)


def _listed(data: bytes | memoryview, field: int, first: int, last: int) -> list[float]:
    if _VALUE_FIELDS[field] != "varint":
        values: list[float] = np.frombuffer(data[first:last], dtype=_VALUE_FIELDS[field]).tolist()
        return values
    numbers = []
    while first < last:
        number, first = _varint(data, first, last)
        numbers.append(number - (1 << 64) if number >> 63 else number)
    return [float(number) for number in numbers] if field in {5, 6} else list(numbers)


def _shape(data: bytes | memoryview, begin: int, end: int) -> tuple[int, ...]:
    sizes = []
    for field, first, last in _fields(data, begin, end):
        if field == 2:
            parts = {inner: _number(data, low, high) for inner, low, high in _fields(data, first, last) if inner == 1}
            sizes.append(parts.get(1, 0))
    if len(sizes) > MAX_DIMENSIONS:
        raise EventError("it has too many dimensions")
    return tuple(sizes)


def _fields(data: bytes | memoryview, offset: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Yields number, begin and end of the content of each field of a message."""
    while offset < end:
        key = data[offset]
        offset += 1
        if key > 0x7F:
            key, offset = _varint(data, offset - 1, end)
        kind = key & 7
        if kind == _BYTES:
            length = data[offset]
            offset += 1
            if length > 0x7F:
                length, offset = _varint(data, offset - 1, end)
            begin, offset = offset, offset + length
        elif kind == _VARINT:
            begin = offset
            while data[offset] > 0x7F:
                offset += 1
            offset += 1
        elif kind in {_FIXED64, _FIXED32}:
            begin, offset = offset, offset + (8 if kind == _FIXED64 else 4)
        else:
            raise EventError(f"wire type {kind}")
        if offset > end:
            raise EventError("a field is longer than its message")
        yield key >> 3, begin, offset


def _number(data: bytes | memoryview, begin: int, end: int) -> int:
    return _varint(data, begin, end)[0]


def _varint(data: bytes | memoryview, offset: int, end: int) -> tuple[int, int]:
    """A number, and the offset of the next field."""
    value = shift = 0
    while offset < end and shift < 70:
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7
    raise EventError("a number is cut off")
