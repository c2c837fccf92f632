"""Events and their frames: byte for byte smdebug's, whatever a file holds, and never more than it holds."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training_scripts.recording.trial import events, scalar_frames, tfrecord
from training_scripts.recording.trial.events import EventError
from training_scripts.recording.trial.file_trial import FileTrial
from training_scripts.recording.trial.records import Step
from training_scripts.recording.trial.tfrecord import FrameError
from training_scripts.recording.trial.writer import TrialWriter

WHEN = {"step": 300, "mode": "EVAL", "mode_step": 12, "time": 1.5}


def payloads(data: bytes) -> list[bytes]:
    return [data[begin:end] for begin, end in tfrecord.frames(data)]


def proto(shape: tuple[int, ...], *fields: bytes, kind: int = 2) -> bytes:
    sizes = b"".join(events._field(2, b"\x08" + events.varint(size)) for size in shape)
    return b"\x08" + events.varint(kind) + events._field(2, sizes) + b"".join(fields)


def test_a_constant_takes_no_more_memory_than_its_value() -> None:
    content = proto((1000, 1000), events._field(6, struct.pack("<d", 2.5)))
    array = events.tensor(content, 0, len(content))
    assert (array.shape, array[7, 7], array.dtype) == ((1000, 1000), 2.5, np.float64)
    assert array.strides == (0, 0)


def test_a_huge_constant_and_texts_that_would_fill_the_memory_are_refused() -> None:
    constant = proto((1 << 24,), events._field(6, struct.pack("<d", 1.0)))
    texts = proto((3000,), events._field(8, b"x" * 5000), *[events._field(8, b"")] * 3000, kind=7)
    for content in (constant, texts):
        with pytest.raises(EventError):
            events.tensor(content, 0, len(content))


def read_back(payload: bytes) -> tuple[events.Record, np.ndarray[Any, Any]]:
    (record,) = events.decode(payload, 0, len(payload))
    return record, events.tensor(payload, record.begin, record.end)


@pytest.mark.parametrize("fixture", ["healthy", "healthy_reductions", "vanishing"])
def test_smdebugs_own_files_are_written_again_byte_for_byte(fixtures_folder: Path, fixture: str) -> None:
    files = sorted((fixtures_folder / "smdebug-trials" / fixture / "events").glob("*/*.tfevents"))
    assert len(files) > 50
    for path in files:
        data, again = path.read_bytes(), b""
        for payload in payloads(data):
            record, array = read_back(payload)
            when = {"step": record.step, "mode": record.mode, "mode_step": record.mode_step, "time": record.time}
            again += tfrecord.frame(events.encode(record.name, array, **when))
            if array.shape == () and array.dtype == np.float32:
                parts = events.number_parts(**when)
                assert events.encode_number(record.name, float(array), parts) == payload
        assert again == data


@pytest.mark.parametrize(
    "dtype", ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "c8", "c16", ">f4"]
)
@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (0,), (2, 0, 3)])
def test_every_kind_of_array_comes_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    record, back = read_back(events.encode("name", array, **WHEN))
    assert (record.name, record.step, record.mode, record.mode_step, record.time) == ("name", 300, "EVAL", 12, 1.5)
    assert back.dtype == array.dtype.newbyteorder("<")
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(("dtype", "read"), [("i1", "i4"), ("i2", "i4"), ("u2", "i4"), ("u4", "i8"), ("c8", "c16")])
def test_kinds_that_smdebug_does_not_read_are_recorded_as_wider_ones(tmp_path: Path, dtype: str, read: str) -> None:
    array = np.array([1, 100], dtype=dtype)
    arrays = [("kept", array), ("none", np.zeros((0, 3), np.float32))]
    TrialWriter(tmp_path).write([Step("TRAIN", 0, 0, 0.0, [], arrays)], seconds=0.0)
    trial = FileTrial(tmp_path)
    assert trial.tensor_names() == ["kept"]
    assert trial.tensor("kept").value(0).dtype == np.dtype(read)
    np.testing.assert_array_equal(trial.tensor("kept").value(0), array)


@pytest.mark.parametrize("value", [1.5, float("nan"), float("inf"), -float("inf"), 1e300, -1e300])
def test_numbers_of_any_size_fit_into_a_float32(value: float) -> None:
    payload = events.encode_number("loss", value, events.number_parts(**WHEN))
    with np.errstate(over="ignore"):
        expected = np.float32(value)
    np.testing.assert_equal(read_back(payload)[1], expected)


def test_a_kind_that_smdebug_cannot_read_is_refused() -> None:
    with pytest.raises(EventError, match="words has the dtype"):
        events.encode("words", np.array(["a"]), **WHEN)


def field(number: int, content: bytes) -> bytes:
    return events.varint(number << 3 | 2) + events.varint(len(content)) + content


def test_what_others_write_is_read_too() -> None:
    bfloat16 = b"\x08\x0e" + field(2, field(2, b"\x08\x02")) + field(4, b"\x80\x3f\x20\xc0")
    np.testing.assert_array_equal(events.tensor(bfloat16, 0, len(bfloat16)), np.array([1.0, -2.5], dtype=np.float32))
    text = field(2, field(2, b"\x08\x01")) + field(8, b"hello")
    assert events.tensor(text, 0, len(text)).tolist() == ["hello"]
    listed = b"\x08\x01" + field(2, field(2, b"\x08\x02")) + field(5, struct.pack("<2f", 1, 2))
    np.testing.assert_array_equal(events.tensor(listed, 0, len(listed)), np.array([1, 2], dtype=np.float32))
    negative = b"\x08\x03" + field(2, b"") + b"\x38" + events.varint((1 << 64) - 5)
    assert events.tensor(negative, 0, len(negative)) == -5
    histogram = field(5, field(1, field(1, b"h") + field(5, b"")))
    assert events.decode(histogram, 0, len(histogram)) == []


@pytest.mark.parametrize(
    "spoiled",
    [
        b"\x08\x01" + field(2, field(2, b"\x08\x7f")) + field(4, b"\0" * 8),  # shape and content differ
        b"\x08\x01" + field(2, field(2, b"\x08" + b"\xff" * 9 + b"\x01")) + field(4, b"\0" * 8),  # a size of 2^64 - 1
        b"\x08\x63" + field(4, b"\0" * 4),  # no such dtype
        b"\x22\x7f\0",  # content longer than the message
        b"\x0b",  # a group
        b"\x08\x01" + field(2, field(2, b"\x08\x01") * 65) + field(4, b"\0" * 4),  # 65 dimensions
    ],
)
def test_a_spoiled_tensor_is_an_error_of_ours(spoiled: bytes) -> None:
    with pytest.raises(EventError):
        events.tensor(spoiled, 0, len(spoiled))


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_nothing_else(data: bytes) -> None:
    for read in (events.decode, events.tensor):
        with contextlib.suppress(EventError):
            read(data, 0, len(data))
    with contextlib.suppress(FrameError):
        payloads(data)


@given(st.integers(0, 200), st.integers(0, 255))
def test_one_wrong_byte_is_noticed_or_changes_one_record_at_most(position: int, byte: int) -> None:
    whole = [events.encode("loss", np.float32(number), **WHEN) for number in range(3)]
    data = bytearray(b"".join(map(tfrecord.frame, whole)))
    data[position] = byte
    found = []
    try:
        for begin, end in tfrecord.frames(bytes(data)):
            found.append(bytes(data[begin:end]))
    except FrameError:
        assert found == whole[: len(found)]
    else:
        assert sum(one != other for one, other in zip(found, whole, strict=True)) <= 1


def test_a_true_checksum_is_accepted_as_well_as_smdebugs_and_no_other() -> None:
    payload = events.encode("loss", np.float32(1), **WHEN)
    true = struct.pack("<I", tfrecord.masked_crc32c(payload))
    assert payloads(tfrecord.header(len(payload)) + payload + true) == [payload]
    assert payloads(tfrecord.frame(payload)) == [payload]
    with pytest.raises(FrameError, match="content is damaged"):
        payloads(tfrecord.header(len(payload)) + payload + b"\1\2\3\4")


@pytest.mark.parametrize("cut", [1, 5, 14, 40])
def test_a_file_that_ends_within_a_record_gives_those_before(cut: int) -> None:
    framed = tfrecord.frame(events.encode("loss", np.float32(1), **WHEN))
    found = []
    with pytest.raises(FrameError) as caught:
        found += list(tfrecord.frames(framed + framed[:cut]))
    assert (caught.value.truncated, caught.value.offset) == (True, len(framed))


def test_a_length_beyond_all_files_is_not_believed() -> None:
    huge = tfrecord.header((1 << 40) - 1) + b"x"
    with pytest.raises(FrameError, match="ends within a record"):
        payloads(huge)
    packed = struct.pack("<Q", 1 << 63)
    with pytest.raises(FrameError, match="header is damaged"):
        payloads(packed + struct.pack("<I", tfrecord.masked_crc32c(packed)) + b"x")


@pytest.mark.parametrize("first", [0, 5, 95, 120, 9_990, 16_380, 999_995])
@pytest.mark.parametrize("names", [("loss",), ("loss", "accuracy"), ("a" * 200, "b", "c")])
def test_many_steps_at_once_are_encoded_as_they_are_one_by_one(first: int, names: tuple[str, ...]) -> None:
    steps = [
        Step(mode, step - 3 if step > 3 else step, step, 1e9 + step / 7, [(name, step / 3) for name in names])
        for step in range(first, first + 12)
        for mode in ("TRAIN" if step % 5 else "EVAL",)
    ]
    steps[4].numbers.append(("reduced", float("nan")))
    steps[7].numbers[0] = (names[0], 1e300)
    framed, one_by_one = b"", b""
    for group in scalar_frames.alike(steps):
        content, located, length = scalar_frames.encode(group)
        assert len(content) == length * len(group)
        assert [name for name, _, _ in located] == [name for name, _ in group[0].numbers]
        framed += content
    for step in steps:
        parts = events.number_parts(step=step.global_step, mode=step.mode, mode_step=step.mode_step, time=step.time)
        one_by_one += b"".join(tfrecord.frame(events.encode_number(name, value, parts)) for name, value in step.numbers)
    assert framed == one_by_one
