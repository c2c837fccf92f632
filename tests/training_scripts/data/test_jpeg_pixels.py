"""JPEGs through simplejpeg: Pillow's pixels to the last digit, Pillow's errors, and the same without simplejpeg."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training_scripts.data import decoding, jpeg_pixels
from training_scripts.data.decoding import PictureError

simplejpeg = pytest.importorskip("simplejpeg")


def scene(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Soft noise: it has detail and colors in every block."""
    small = (max(1, width // 3), max(1, height // 3))
    noise = Image.frombytes("RGB", small, random.Random(0).randbytes(small[0] * small[1] * 3))
    return noise.resize((width, height), Image.Resampling.BICUBIC).convert(mode)


def encoded(image: Image.Image, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, "JPEG", **options)
    return content.getvalue()


def turned(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def two_frames() -> bytes:
    content = io.BytesIO()
    scene(40, 30).save(content, "MPO", save_all=True, append_images=[scene(30, 40)])
    return content.getvalue()


USUAL = {
    f"{subsampling} {'progressive' if progressive else 'baseline'}": encoded(
        scene(97, 61), subsampling=subsampling, progressive=progressive
    )
    for subsampling in ("4:4:4", "4:2:2", "4:2:0")
    for progressive in (False, True)
} | {
    "restart markers": encoded(scene(97, 61), restart_marker_blocks=3),
    "no color transform": encoded(scene(97, 61), keep_rgb=True),
    "one pixel": encoded(scene(1, 1)),
    "one row": encoded(scene(9, 1)),
    "turned by the camera": encoded(scene(97, 61), exif=turned(6)),
    "reduced": encoded(scene(1601, 1407), quality=60),
    "reduced and turned": encoded(scene(1407, 1601), quality=60, exif=turned(8), progressive=True),
    "several frames": two_frames(),
    "more data after the end": encoded(scene(97, 61)) + b"film" * 100,
}
LEFT_TO_PILLOW = {
    "gray": encoded(scene(97, 61, "L")),
    "printer's colors": encoded(scene(97, 61, "CMYK")),
    "truncated": encoded(scene(97, 61))[:900],
    "no pixels": encoded(scene(97, 61))[:300],
}


def answer(content: bytes) -> tuple[tuple[int, int], bytes] | str:
    """What `decode` makes of a file, or why it refuses it."""
    try:
        image = decoding.decode(content)
    except PictureError as error:
        return str(error)
    assert image.mode == "RGB"
    return image.size, image.tobytes()


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """For each file that simplejpeg was given, whether it decoded it."""
    assert jpeg_pixels.is_used()
    decode = jpeg_pixels._decode
    calls: list[bool] = []

    def recorded(*arguments: object) -> np.ndarray | None:
        pixels = decode(*arguments)  # type: ignore[arg-type]
        calls.append(pixels is not None)
        return pixels

    monkeypatch.setattr(jpeg_pixels, "_decode", recorded)
    yield calls


def by_pillow(content: bytes) -> tuple[tuple[int, int], bytes] | str:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jpeg_pixels, "is_used", lambda: False)
        return answer(content)


def small(content: bytes) -> tuple[int, int] | str:
    """The size that `decode_small` finds, or why it refuses the file."""
    try:
        image, size = decoding.decode_small(content, 20)
    except PictureError as error:
        return str(error)
    assert image.mode == "RGB" and (image.width > image.height) == (size[0] > size[1])
    return size


@pytest.mark.parametrize("name", USUAL)
def test_decodes_the_same_pixels(name: str, counted: list[bool]) -> None:
    assert answer(USUAL[name]) == by_pillow(USUAL[name])
    assert counted == [True]


@pytest.mark.parametrize("name", LEFT_TO_PILLOW)
def test_leaves_what_is_rare_or_damaged_to_pillow(name: str, counted: list[bool]) -> None:
    assert answer(LEFT_TO_PILLOW[name]) == by_pillow(LEFT_TO_PILLOW[name])
    assert True not in counted


def test_a_missing_end_marker_is_added_first(counted: list[bool]) -> None:
    content = USUAL["4:2:0 progressive"][:-2]
    assert answer(content) == by_pillow(content) == answer(content + b"\xff\xd9")
    assert counted[:2] == [False, True]


def test_a_coding_that_decoders_treat_differently_is_left_to_pillow(counted: list[bool]) -> None:
    arithmetic = USUAL["4:2:0 baseline"].replace(b"\xff\xc0\x00\x11", b"\xff\xc9\x00\x11")
    assert answer(arithmetic) == by_pillow(arithmetic)
    assert counted == []


def test_damage_anywhere_gives_the_same_pixels_or_the_same_error(counted: list[bool]) -> None:
    dice = random.Random(1)
    files = [USUAL[name] for name in ("4:2:0 baseline", "4:2:2 progressive", "restart markers", "no color transform")]
    for number in range(250):
        content = bytearray(dice.choice(files))
        place = dice.randrange(2, len(content) if number % 2 else 640)  # half of them in the header
        match dice.randrange(4):
            case 0:
                del content[place:]
            case 1:
                content[place] = dice.randrange(256)
            case 2:
                content[place:place] = dice.randbytes(3)
            case 3:
                del content[place : place + 3]
        found = answer(bytes(content))
        assert found == by_pillow(bytes(content))
        assert small(bytes(content)) == (found if isinstance(found, str) else found[0])
    assert True in counted and False in counted


def test_a_plain_file_is_not_opened_by_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(scene(97, 61), comment=b"a comment")
    expected = by_pillow(content)
    monkeypatch.setattr(Image, "open", None)
    assert jpeg_pixels.is_used() and answer(content) == expected


@pytest.mark.parametrize("name", ["gray", "turned by the camera", "several frames", "4:2:0 progressive"])
def test_other_files_are_opened_by_pillow(name: str) -> None:
    assert jpeg_pixels.plain((USUAL | LEFT_TO_PILLOW)[name], 20) is None


def test_pillows_own_limit_of_pixels_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 97 * 61 // 2 - 1)
    assert "more than the" in str(answer(encoded(scene(97, 61))))


@pytest.mark.parametrize("name", [*USUAL, *LEFT_TO_PILLOW])
def test_a_small_scale_has_the_same_size_and_the_same_errors(name: str) -> None:
    content = (USUAL | LEFT_TO_PILLOW)[name]
    opened = by_pillow(content)
    if "reduced" not in name:  # those are reduced as they are decoded
        assert small(content) == (opened if isinstance(opened, str) else opened[0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(jpeg_pixels, "is_used", lambda: False)
        without = small(content)
    assert small(content) == without


def test_a_small_scale_gives_the_same_pixels_without_simplejpeg(monkeypatch: pytest.MonkeyPatch) -> None:
    image, size = decoding.decode_small(USUAL["4:2:0 baseline"], 20)
    assert (image.size, size) == ((49, 31), (97, 61))
    monkeypatch.setattr(jpeg_pixels, "is_used", lambda: False)
    assert decoding.decode_small(USUAL["4:2:0 baseline"], 20)[0].tobytes() == image.tobytes()


def test_the_photographs(test_data: Path, counted: list[bool]) -> None:
    paths = sorted((test_data / "photos-full-size").rglob("*.jpg"))[::5]
    for path in paths:
        assert answer(path.read_bytes()) == by_pillow(path.read_bytes()), path
    assert counted == [True] * len(paths)


def test_a_decoder_with_other_arithmetic_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    decode = simplejpeg.decode_jpeg
    monkeypatch.setattr(simplejpeg, "decode_jpeg", lambda *data, **options: decode(*data, fastupsample=True, **options))
    jpeg_pixels._is_equal.cache_clear()
    try:
        assert not jpeg_pixels.is_used()
        assert answer(USUAL["4:2:0 baseline"]) == by_pillow(USUAL["4:2:0 baseline"])
    finally:
        jpeg_pixels._is_equal.cache_clear()


@pytest.mark.parametrize("missing", ["simplejpeg", "numpy"])
def test_works_without(missing: str) -> None:
    """And a program that has no use for NumPy does not load it for one picture."""
    code = f"""
import io, sys
sys.modules[{missing!r}] = None
from PIL import Image
from training_scripts.data import decoding
content = io.BytesIO()
Image.new("RGB", (9, 9), "red").save(content, "JPEG")
print(decoding.decode(content.getvalue()).size, sorted({{"simplejpeg", "numpy"}} & set(sys.modules)))
"""
    code = code if missing == "simplejpeg" else code.replace(f"sys.modules[{missing!r}] = None\n", "")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = ["simplejpeg"] if missing == "simplejpeg" else []
    assert ended.stdout == f"(9, 9) {expected}\n"
