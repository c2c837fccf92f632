"""The marker walk: whole files pass without a decode, anything unusual is left to one."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk.client.images.jpeg import BrokenJpegError, size_if_sound
from tests.waiting import least_cpu_seconds
from training_scripts.data import decoding
from training_scripts.data.limits import MAX_JPEG_SCANS


def jpeg(mode: str = "RGB", size: tuple[int, int] = (333, 217), **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise(size, 60).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


WHOLE = jpeg()
SCAN = WHOLE.index(b"\xff\xda")


def with_segment(marker: int, content: bytes) -> bytes:
    return WHOLE[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + WHOLE[2:]


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 5}, {"quality": 1}]
)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_what_encoders_write_is_sound(mode: str, subsampling: int, options: dict[str, object]) -> None:
    assert size_if_sound(jpeg(mode, subsampling=subsampling, **options)) == (333, 217)


@pytest.mark.parametrize(
    "data",
    [
        with_segment(0xE1, b"Exif\0\0" + WHOLE),  # a preview, with an end of its own
        with_segment(0xFE, b"a comment"),
        WHOLE[:2] + b"\xff\xff\xff" + WHOLE[2:],  # fill bytes
        WHOLE + bytes(1000),
        WHOLE + WHOLE,
        WHOLE + b"\0\0\0\x18ftypmp42",  # the film of a moving photograph
    ],
    ids=["preview", "comment", "fill bytes", "padding", "second picture", "film"],
)
def test_what_cameras_add_is_sound(data: bytes) -> None:
    assert size_if_sound(data) == (333, 217)


@pytest.mark.parametrize("kept", range(0, len(WHOLE), 997))
def test_a_file_cut_anywhere_is_not(kept: int) -> None:
    assert size_if_sound(WHOLE[:kept]) is None
    assert size_if_sound(WHOLE[:-1]) is None


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("a PNG", b"\x89PNG\r\n\x1a\n" + WHOLE),
        ("no tables", WHOLE.replace(b"\xff\xc4", b"\xff\xe9")),
        ("no quantizers", WHOLE.replace(b"\xff\xdb", b"\xff\xe9")),
        ("no frame", WHOLE.replace(b"\xff\xc0", b"\xff\xe9")),
        ("two frames", with_segment(0xC0, WHOLE[WHOLE.index(b"\xff\xc0") + 4 :][:15])),
        ("arithmetic coding", WHOLE.replace(b"\xff\xc0", b"\xff\xc9")),
        ("codes that overflow", WHOLE.replace(b"\xff\xc4\0\x1f\0\0", b"\xff\xc4\0\x1f\0\3")),
        ("a stray marker in the data", WHOLE[: SCAN + 600] + b"\xff\x30" + WHOLE[SCAN + 600 :]),
        ("a scan twice", WHOLE[:-2] + WHOLE[SCAN:]),
        ("a component of none", WHOLE[: SCAN + 5] + b"\x09" + WHOLE[SCAN + 6 :]),
        ("a segment beyond the end", with_segment(0xE1, b"")[:4] + b"\xff\xff" + WHOLE[2:]),
        ("rubbish between segments", WHOLE[:2] + b"rubbish" + WHOLE[2:]),
    ],
)
def test_what_is_unusual_is_left_to_a_decoder(what: str, data: bytes) -> None:
    assert size_if_sound(data) is None, what


def test_data_that_cannot_fill_the_picture_are_said_to_be_cut_off() -> None:
    frame = WHOLE.index(b"\xff\xc0")
    claims_more = WHOLE[: frame + 5] + struct.pack(">HH", 9000, 9000) + WHOLE[frame + 9 :]
    with pytest.raises(BrokenJpegError, match="cannot contain the 9000 x 9000"):
        size_if_sound(claims_more)


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_the_emptiest_picture_that_an_encoder_writes_is_long_enough(mode: str, options: dict[str, object]) -> None:
    buffer = io.BytesIO()
    Image.new(mode, (4001, 3003)).save(buffer, "JPEG", quality=1, optimize=True, **options)
    assert size_if_sound(buffer.getvalue()) == (4001, 3003)


def test_scans_without_end_are_refused_by_client_and_server_alike() -> None:
    whole = jpeg("L", progressive=True)
    scan = whole[whole.rindex(b"\xff\xda") : -2]
    assert size_if_sound(whole[:-2] + scan * (MAX_JPEG_SCANS - 20) + whole[-2:]) == (333, 217)
    endless = whole[:-2] + scan * MAX_JPEG_SCANS + whole[-2:]
    assert size_if_sound(endless) is None
    with pytest.raises(decoding.PictureError, match="it has more than the 100 scans allowed"):
        decoding.decode(endless)
    # Those of other pictures behind the end are no scans of this one.
    assert decoding.decode(whole + b"\xff\xda" * 1000).size == (333, 217)


def test_it_costs_a_fraction_of_a_decode(test_data: Path) -> None:
    files = [path.read_bytes() for path in sorted((test_data / "photos-full-size").rglob("*.jpg"))[:20]]
    assert all(map(size_if_sound, files))
    check = least_cpu_seconds(lambda: list(map(size_if_sound, files)))
    decode = least_cpu_seconds(lambda: [Image.open(io.BytesIO(data)).load() for data in files], tries=1)
    assert check < decode / 5
