"""Images: everything a caller may hold becomes bytes fit to send, or a message that says why not."""

from __future__ import annotations

import base64
import contextlib
import io
import os
import random
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dogbreed_sdk.client.images import is_url, to_payload
from dogbreed_sdk.errors import ImageDownloadError, ImageError, PayloadTooLargeError, UnsupportedImageError
from training_scripts.data import decoding


def picture(size: tuple[int, int] = (64, 48), mode: str = "RGB") -> Image.Image:
    """A smooth gradient with some structure: survives JPEG, compresses well."""
    red = Image.linear_gradient("L").resize(size)
    blue = Image.radial_gradient("L").resize(size)
    return Image.merge("RGB", (red, red.rotate(180), blue)).convert(mode)


def noise(size: tuple[int, int]) -> Image.Image:
    """What compresses worst."""
    return Image.frombytes("RGB", size, random.Random(0).randbytes(size[0] * size[1] * 3))


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def pixels(body: bytes) -> bytes:
    return Image.open(io.BytesIO(body)).convert("RGB").tobytes()


JPEG = encoded(picture(), "JPEG")


@pytest.mark.parametrize(
    ("file_format", "content_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
def test_what_endpoints_decode_goes_out_byte_for_byte(file_format: str, content_type: str) -> None:
    data = encoded(picture(), file_format)
    payload = to_payload(data)
    assert payload.body == data
    assert payload.content_type == content_type


@pytest.mark.parametrize("options", [{"progressive": True}, {"quality": 100, "subsampling": 0}, {"optimize": True}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg_goes_out_untouched(mode: str, options: dict[str, object]) -> None:
    data = encoded(picture((333, 217), mode), "JPEG", **options)
    assert to_payload(data).body == data


def test_an_oriented_jpeg_is_left_to_the_server() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encoded(picture(), "JPEG", exif=exif)
    assert to_payload(data).body == data


@pytest.mark.parametrize(
    "hold",
    [
        bytes,
        bytearray,
        memoryview,
        io.BytesIO,
        lambda data: "data:image/jpeg;base64," + base64.b64encode(data).decode(),
    ],
)
def test_every_way_to_hold_bytes(hold: Callable[[bytes], object]) -> None:
    assert to_payload(hold(JPEG)).body == JPEG


def test_base64_may_be_wrapped_and_its_scheme_written_in_any_case() -> None:
    assert to_payload("DATA:image/png;BASE64," + base64.encodebytes(JPEG).decode()).body == JPEG


def test_a_raw_stream_is_read_to_its_end(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    writer = threading.Thread(target=lambda: [os.write(writing, JPEG[i : i + 100]) for i in range(0, len(JPEG), 100)])
    writer.start()
    with os.fdopen(reading, "rb", buffering=0) as file:
        writer.join()
        os.close(writing)
        assert to_payload(file).body == JPEG


def test_a_buffer_that_was_not_rewound_is_told_from_an_empty_one() -> None:
    buffer = io.BytesIO()
    buffer.write(JPEG)
    with pytest.raises(UnsupportedImageError, match=r"call seek\(0\)"):
        to_payload(buffer)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: base64.b64encode(data).decode()))
def test_any_data_url_gives_a_payload_or_an_image_error(content: str) -> None:
    for url in ("data:" + content, "data:image/jpeg;base64," + content, "data:;base64," + content):
        with contextlib.suppress(ImageError):
            to_payload(url)


def test_paths_and_files_are_named_as_the_source(tmp_path: Path) -> None:
    path = tmp_path / "dog.jpg"
    path.write_bytes(JPEG)
    assert to_payload(path).source == to_payload(str(path)).source == str(path)
    with path.open("rb") as file:
        payload = to_payload(file)
    assert (payload.body, payload.source) == (JPEG, str(path))


@pytest.mark.parametrize("file_format", ["GIF", "BMP", "TIFF"])
def test_other_formats_are_encoded_anew_without_loss(file_format: str) -> None:
    image = picture().quantize(64) if file_format == "GIF" else picture()
    payload = to_payload(encoded(image, file_format))
    assert payload.content_type == "image/png"
    assert pixels(payload.body) == image.convert("RGB").tobytes()


def test_orientation_is_applied_where_the_picture_is_encoded_anew() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    payload = to_payload(encoded(picture((64, 48)), "TIFF", exif=exif))
    assert Image.open(io.BytesIO(payload.body)).size == (48, 64)


def test_a_pil_image_keeps_its_pixels() -> None:
    payload = to_payload(picture())
    assert pixels(payload.body) == picture().tobytes()
    assert payload.source == "Image"


def test_transparency_becomes_white_and_sixteen_bits_become_eight() -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    assert set(pixels(to_payload(clear).body)) == {255}
    deep = Image.frombytes("I;16", (16, 16), struct.pack("<256H", *range(0, 65536, 256)))
    assert pixels(to_payload(deep).body)[::3] == bytes(range(256))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "I;16", "I"])
def test_pixels_are_converted_as_the_server_converts_them(mode: str) -> None:
    image = Image.merge("LA", (picture(mode="L"), Image.linear_gradient("L").resize((64, 48))))
    image = image.convert("RGBA").convert(mode) if mode in ("RGBA", "LA", "PA") else picture(mode="L").convert(mode)
    if mode in ("I", "I;16"):
        image = picture(mode="L").convert("I").point(lambda value: value * 200).convert(mode)
    # Pillow 12, the last for Python 3.10, reads no YCbCr that is not compressed.
    options = {"compression": "tiff_lzw"} if mode == "YCbCr" and sys.version_info < (3, 11) else {}
    by_server = decoding.decode(encoded(image, "TIFF", **options))
    assert pixels(to_payload(image).body) == by_server.tobytes()


def test_the_first_picture_of_a_camera_file_goes_out_as_it_is() -> None:
    data = encoded(picture(), "MPO", save_all=True, append_images=[picture((32, 24))])
    payload = to_payload(data)
    assert (payload.body, payload.content_type) == (data, "image/jpeg")
    assert decoding.decode(payload.body).size == (64, 48)


@pytest.mark.extras
def test_an_array_is_a_picture_if_it_is_unsigned_bytes() -> None:
    import numpy  # noqa: PLC0415 - no dependency of the client

    array = numpy.asarray(picture())
    assert pixels(to_payload(array).body) == picture().tobytes()
    assert pixels(to_payload(array[::-1, ::2]).body) == Image.fromarray(array[::-1, ::2].copy()).tobytes()
    assert to_payload(array[:, :, :1]).body == to_payload(array[:, :, 0]).body
    assert to_payload(array[:, :, 0].astype("uint16") * 256).body == to_payload(array[:, :, 0]).body
    with pytest.raises(UnsupportedImageError, match="no pixels"):
        to_payload(array[:0])
    for wrong in (array / 255.0, array[None], array[:, :, :2]):
        with pytest.raises(UnsupportedImageError, match="uint8"):
            to_payload(wrong)


def test_a_large_pil_image_becomes_a_fine_jpeg() -> None:
    payload = to_payload(picture((1600, 1200)))
    assert payload.content_type == "image/jpeg"
    assert Image.open(io.BytesIO(payload.body)).size == (1600, 1200)


@pytest.mark.parametrize("share", [2, 5, 20])
def test_what_is_too_large_is_shrunk_no_more_than_needed(share: int) -> None:
    data = encoded(noise((1400, 1000)), "JPEG", quality=95)
    limit = len(data) // share
    payload = to_payload(data, max_bytes=limit)
    assert limit / 5 < len(payload.body) <= limit
    width, height = Image.open(io.BytesIO(payload.body)).size
    assert width / height == pytest.approx(1.4, abs=0.01)
    assert height >= 256


def test_what_cannot_be_shrunk_enough_is_an_error_with_both_numbers() -> None:
    with pytest.raises(PayloadTooLargeError, match=r"bytes needs .* the limit is 1,000") as caught:
        to_payload(encoded(noise((600, 500)), "JPEG"), max_bytes=1000)
    assert "256" in str(caught.value)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_cut_off_picture_is_found_before_it_is_sent(tmp_path: Path, file_format: str, kept: float) -> None:
    data = encoded(noise((200, 150)), file_format)
    path = tmp_path / f"cut.{file_format.lower()}"
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(UnsupportedImageError) as caught:
        to_payload(path)
    assert str(path) in str(caught.value)


def test_damage_inside_a_png_is_found() -> None:
    data = bytearray(encoded(noise((100, 100)), "PNG"))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(UnsupportedImageError, match="broken"):
        to_payload(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"<html><body>404</body></html>", "web page"),
        (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(99), "AVIF"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + bytes(99), "film"),
        (b"%PDF-1.7", "PDF"),
        (b"PK\x03\x04", "ZIP"),
        (b'<?xml version="1.0"?><svg/>', "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n", "PostScript"),
        (b"\xff\xd8\xff", "no picture|broken"),
        (b"\x89PNG\r\n\x1a\n", "no picture|broken"),
    ],
)
def test_what_is_no_picture_is_named_with_its_reason(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "thing.jpg"
    path.write_bytes(data)
    with pytest.raises(UnsupportedImageError, match=reason) as caught:
        to_payload(path)
    assert "thing.jpg" in str(caught.value)


@pytest.mark.parametrize("side", [10_000, 60_000])
def test_a_bomb_is_refused_by_its_header(side: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    with pytest.raises(UnsupportedImageError, match="more than 89 megapixels"):
        to_payload(bomb)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ("s3://bucket/dog.jpg", "URLs must be http or https, not s3"),
        ("file:///etc/passwd", "URLs must be http or https; pass the path"),
        ("", "^the path of the picture is empty"),
        ("http://127.0.0.1/dog.jpg", "not a public address"),
        ("/nowhere/dog.jpg", r"cannot read the picture /nowhere/dog\.jpg: No such file"),
        ("a\0b.jpg", "cannot read"),
        ("data:image/png;base64,%%%", "is not base64"),
        ("data:image/png", "no comma"),
        ("A" * 10_000, "10,000 characters"),
        (12, "a value of type int is not a picture"),
        (io.StringIO("text"), "binary mode"),
    ],
)
def test_what_cannot_be_read_says_why(held: object, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        to_payload(held)


def test_a_folder_is_no_picture(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="directory"):
        to_payload(tmp_path)


def test_a_limit_that_is_none_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="max_bytes"):
        to_payload(JPEG, max_bytes=0)


def test_a_presigned_url_keeps_its_signature_out_of_the_error() -> None:
    with pytest.raises(ImageDownloadError, match=r"download http://127\.0\.0\.1/dog\.jpg") as caught:
        to_payload("http://127.0.0.1/dog.jpg?X-Amz-Signature=hunter2")
    assert "hunter2" not in str(caught.value)


def test_only_web_addresses_are_urls() -> None:
    assert is_url("HTTPS://example.com/dog.jpg")
    assert not any(map(is_url, ("dog.jpg", "data:image/png;base64,", b"http://x", Path("http:/x"), None)))


@pytest.mark.parametrize(
    "read",
    [
        "from dogbreed_sdk.client.images import to_payload as read",
        "from training_scripts.data.decoding import decode as read",
    ],
)
def test_a_picture_that_is_too_large_is_refused_without_a_warning_from_pillow(tmp_path: Path, read: str) -> None:
    Image.new("1", (10_000, 9_000)).save(tmp_path / "large.png")
    code = f"import pathlib, sys; {read}\ntry: read(pathlib.Path(sys.argv[1]))\nexcept Exception as error: print(error)"
    arguments = [sys.executable, "-c", code, str(tmp_path / "large.png")]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert "10000 x 9000" in ended.stdout
    assert "89 megapixels" in ended.stdout
    assert ended.stderr == ""


def test_a_pipe_whose_size_nobody_knows_is_read_to_its_end(tmp_path: Path) -> None:
    written = io.BytesIO()
    Image.effect_noise((300, 300), 40).save(written, "JPEG", quality=95)
    content, pipe = written.getvalue(), tmp_path / "camera.jpg"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert to_payload(pipe).body == content
    writer.join()
