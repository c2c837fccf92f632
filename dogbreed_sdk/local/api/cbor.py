"""CBOR (RFC 8949), as far as AWS's protocol rpc-v2-cbor has it: JSON's types, byte strings and times."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

# Major types: RFC 8949, section 3.1. A head is a byte of a major type and a code, and the bytes of a number.
_UNSIGNED, _NEGATIVE, _BYTES, _TEXT, _LIST, _MAP, _TAG, _OTHER = range(8)
_LENGTHS = {24: 1, 25: 2, 26: 4, 27: 8}
_INDEFINITE = 31
_BREAK = 0xFF
_FLOATS = {25: ">e", 26: ">f", 27: ">d"}
_DOUBLE = 27
_SIMPLE: dict[int, bool | None] = {20: False, 21: True, 22: None, 23: None}
_NULL = 22
_EPOCH_TAG = 1
_DEEPEST = 64
_Item = TypeVar("_Item")


class CborError(ValueError):
    """Data that is not one CBOR value, or has types that AWS's protocol does not."""


@dataclass(frozen=True)
class Time:
    """A time to encode, in epoch seconds. A decoded time is a number."""

    seconds: float


def encode(value: object) -> bytes:
    """A value as CBOR: None, a switch, a number, text, bytes, a time, a sequence or a mapping.

    >>> encode({"a": [1, -2, True, "x"]}).hex(" ")
    'a1 61 61 84 01 21 f5 61 78'
    """
    if value is None or isinstance(value, bool):
        code = _NULL if value is None else next(code for code, simple in _SIMPLE.items() if simple is value)
        return _head(_OTHER, code)
    if isinstance(value, int):
        return _head(_UNSIGNED, value) if value >= 0 else _head(_NEGATIVE, -1 - value)
    if isinstance(value, float):
        return bytes([_OTHER << 5 | _DOUBLE]) + struct.pack(_FLOATS[_DOUBLE], value)
    if isinstance(value, str):
        data = value.encode()
        return _head(_TEXT, len(data)) + data
    if isinstance(value, bytes):
        return _head(_BYTES, len(value)) + value
    if isinstance(value, Time):
        return _head(_TAG, _EPOCH_TAG) + encode(float(value.seconds))
    if isinstance(value, Mapping):
        return _head(_MAP, len(value)) + b"".join(encode(key) + encode(item) for key, item in value.items())
    if isinstance(value, Sequence):
        return _head(_LIST, len(value)) + b"".join(map(encode, value))
    raise CborError(f"a value of type {type(value).__name__} can't be encoded")


def decode(data: bytes) -> object:
    """The value in CBOR data.

    Raises:
        CborError: The data is not one CBOR value.

    >>> decode(bytes.fromhex("a1 61 61 84 01 21 f5 61 78"))
    {'a': [1, -2, True, 'x']}
    """
    reader = _Reader(data)
    value = reader.read(_DEEPEST)
    if reader.position != len(data):
        raise CborError(f"{len(data) - reader.position} bytes follow the value")
    return value


def _head(major: int, number: int) -> bytes:
    if number < min(_LENGTHS):
        return bytes([major << 5 | number])
    for code, length in _LENGTHS.items():
        if number < 1 << 8 * length:
            return bytes([major << 5 | code]) + number.to_bytes(length, "big")
    raise CborError(f"the number {number} is too large")


class _Reader:
    """Reads one value after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.position = 0

    def read(self, depth: int) -> object:
        if depth == 0:
            raise CborError("the values are nested too deeply")
        head = self._take(1)[0]
        major, code = head >> 5, head & 31
        if major == _OTHER:
            return self._other(code)
        count = None if code == _INDEFINITE and major in (_BYTES, _TEXT, _LIST, _MAP) else self._number(code)
        if major in (_BYTES, _TEXT):
            return self._string(major, count)
        if major == _LIST:
            return self._repeat(count, lambda: self.read(depth - 1))
        if major == _MAP:
            return dict(self._repeat(count, lambda: self._pair(depth - 1)))
        number = count or 0
        if major == _TAG:
            return self._tagged(number, depth - 1)
        return number if major == _UNSIGNED else -1 - number

    def _other(self, code: int) -> float | bool | None:
        if code in _FLOATS:
            (value,) = struct.unpack(_FLOATS[code], self._take(_LENGTHS[code]))
            return float(value)
        if code not in _SIMPLE:
            raise CborError(f"the simple value {code} is not supported")
        return _SIMPLE[code]

    def _string(self, major: int, length: int | None) -> str | bytes:
        data = b"".join(self._repeat(None, self._part)) if length is None else self._take(length)
        try:
            return data.decode() if major == _TEXT else data
        except UnicodeDecodeError as error:
            raise CborError(f"a text is not UTF-8: {error}") from None

    def _part(self) -> bytes:
        part = self.read(1)
        if not isinstance(part, (str, bytes)):
            raise CborError(f"a string has the part {part!r}")
        return part.encode() if isinstance(part, str) else part

    def _pair(self, depth: int) -> tuple[str, object]:
        key = self.read(depth)
        if not isinstance(key, str):
            raise CborError(f"the key {key!r} is not a text")
        return key, self.read(depth)

    def _tagged(self, tag: int, depth: int) -> object:
        value = self.read(depth)
        if tag != _EPOCH_TAG or not isinstance(value, (int, float)):
            raise CborError(f"the tag {tag} of {value!r} is not supported")
        return value

    def _repeat(self, count: int | None, read: Callable[[], _Item]) -> list[_Item]:
        """Read a number of items; with None, read until the break."""
        found: list[_Item] = []
        while count is None or len(found) < count:
            if count is None and self._data[self.position : self.position + 1] == bytes([_BREAK]):
                self.position += 1
                break
            found.append(read())
        return found

    def _number(self, code: int) -> int:
        if code < min(_LENGTHS):
            return code
        if code not in _LENGTHS:
            raise CborError(f"a head has the reserved code {code}")
        return int.from_bytes(self._take(_LENGTHS[code]), "big")

    def _take(self, count: int) -> bytes:
        data = self._data[self.position : self.position + count]
        if len(data) < count:
            raise CborError("the data ends in the middle of a value")
        self.position += count
        return data
