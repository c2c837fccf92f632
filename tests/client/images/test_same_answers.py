"""However a picture is held, the server sees the same pixels."""

from __future__ import annotations

import base64
import io
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

import fuzz_pictures
import fuzzing.picture_cases
from dogbreed_sdk.client.images import to_payload
from dogbreed_sdk.errors import PayloadTooLargeError, UnsupportedImageError
from training_scripts.data import decoding

KINDS = fuzzing.picture_cases.seeds()
# The server's formats; of the others the client makes one of these.
SERVED = [kind for kind in KINDS if not kind.startswith(("ico", "tga", "jpeg 2000", "avif"))]


def loaded(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


WAYS: dict[str, Callable[[bytes], object]] = {
    "bytes": bytes,
    "file": io.BytesIO,
    "data URL": lambda data: "data:;base64," + base64.b64encode(data).decode(),
    "image": loaded,
    "image not yet read": lambda data: Image.open(io.BytesIO(data)),
}


def seen_by_server(picture: object, max_bytes: int = 10**7) -> Image.Image:
    return decoding.decode(to_payload(picture, max_bytes=max_bytes).body)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", SERVED)
def test_every_way_to_hold_every_kind(kind: str, way: str) -> None:
    expected = decoding.decode(KINDS[kind])
    seen = seen_by_server(WAYS[way](KINDS[kind]))
    assert seen.size == expected.size
    assert seen.tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", sorted(set(KINDS) - set(SERVED)))
def test_kinds_that_only_the_client_reads(kind: str) -> None:
    expected = decoding.upright_rgb(Image.open(io.BytesIO(KINDS[kind])))
    assert seen_by_server(KINDS[kind]).tobytes() == expected.tobytes()


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "MPO", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 7])
def test_cameras_orientation_is_applied_once(file_format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    buffer = io.BytesIO()
    try:
        image.save(buffer, file_format, exif=exif)
    except KeyError:
        pytest.skip(f"this Pillow writes no {file_format}")
    data = buffer.getvalue()
    sizes = {
        seen_by_server(data).size,
        seen_by_server(Image.open(io.BytesIO(data))).size,
        seen_by_server(loaded(data)).size,
    }
    assert sizes == {(48, 64) if orientation > 4 else (64, 48)}


def test_what_a_png_says_of_gamma_and_profile_changes_nothing() -> None:
    plain = KINDS["png"]
    gamma = struct.pack(">I", 4) + b"gAMA" + struct.pack(">I", 100_000)
    odd = plain[:33] + gamma + struct.pack(">I", zlib.crc32(gamma[4:])) + plain[33:]
    profiled = Image.open(io.BytesIO(odd))
    profiled.info["icc_profile"] = b"x" * 100
    profiled.load()
    assert seen_by_server(odd).tobytes() == seen_by_server(profiled).tobytes() == decoding.decode(plain).tobytes()
    assert b"iCCP" not in to_payload(profiled).body


@pytest.mark.extras
def test_heic_is_read_where_pillow_heif_is_installed() -> None:
    import pillow_heif as heif  # noqa: PLC0415 - no dependency of the client

    image = Image.linear_gradient("L").resize((64, 48)).convert("RGB")
    buffer = io.BytesIO()
    heif.from_pillow(image).save(buffer, quality=-1)
    payload = to_payload(buffer.getvalue())
    assert payload.content_type == "image/png"
    assert decoding.decode(payload.body).size == (64, 48)
    with pytest.raises(UnsupportedImageError, match=r"the picture given as bytes (cannot be decoded|is broken)"):
        to_payload(buffer.getvalue()[:-200])


def test_heic_without_it_is_told_what_to_do() -> None:
    code = (
        "import sys; sys.modules['pillow_heif'] = None; from dogbreed_sdk.client.images import to_payload\n"
        "try: to_payload(b'\\0\\0\\0\\x18ftypheic\\0\\0\\0\\0mif1heic')\nexcept Exception as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (
        "the picture given as bytes is HEIC, a format of phones: save it as JPEG, or install the package pillow-heif"
        in ended.stdout
    )


@pytest.fixture(scope="module")
def photograph() -> bytes:
    """A JPEG of 12 megapixels, with detail at all scales."""
    small = Image.effect_noise((500, 375), 90).convert("RGB")
    large = Image.blend(small.resize((4000, 3000)), Image.effect_noise((4000, 3000), 30).convert("RGB"), 0.2)
    buffer = io.BytesIO()
    large.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def test_a_jpeg_above_the_limit_shows_the_server_the_same_pixels(photograph: bytes) -> None:
    """The server would decode it at half or a quarter of its size: that is what it is sent, without loss."""
    payload = to_payload(photograph, max_bytes=len(photograph) - 1)
    assert payload.content_type == "image/png"
    assert decoding.decode(payload.body).tobytes() == decoding.decode(photograph).tobytes()


def test_an_image_that_pillow_has_opened_and_not_read_is_sent_as_its_file(photograph: bytes, tmp_path: Path) -> None:
    path = tmp_path / "large.jpg"
    path.write_bytes(photograph)
    with Image.open(path) as image:
        payload = to_payload(image)
        assert (payload.body, payload.source) == (photograph, str(path))
        assert image.size == (4000, 3000)
        image.putpixel((0, 0), (255, 0, 0))  # from here on the pixels count
        assert to_payload(image).body != photograph
    with Image.open(path) as image:
        image.thumbnail((200, 200))
        assert seen_by_server(image).size == (200, 150)
    with pytest.raises(UnsupportedImageError, match=r"large\.jpg"), Image.open(path) as image:
        image.close()
        to_payload(image)


def test_a_large_image_is_sent_at_the_scale_of_the_server_without_loss(photograph: bytes) -> None:
    payload = to_payload(loaded(photograph))
    assert payload.content_type == "image/png"
    assert Image.open(io.BytesIO(payload.body)).size == (1000, 750)


def test_a_picture_too_long_for_jpeg_is_shrunk_rather_than_refused() -> None:
    strip = Image.effect_noise((70_000, 20), 90)
    assert max(seen_by_server(strip).size) <= 65_500
    with pytest.raises(PayloadTooLargeError):
        to_payload(strip, max_bytes=100)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_mutated_or_hostile_file_gets_anything_but_an_answer_or_an_error() -> None:
    outcome = fuzz_pictures.fuzz(500, seed=1, seconds_per_case=20)
    assert outcome.failures == []
    assert sum(outcome.client.values()) == sum(outcome.server.values()) == 500
    assert outcome.client["UnsupportedImageError"] > 100
    assert outcome.client["sent as it is"] > 20
    assert outcome.marker_walks["the server refuses it"] == 0
