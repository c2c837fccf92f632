"""Thumbnails: small, upright, encoded anew, and a placeholder for everything that is not a picture."""

from __future__ import annotations

import base64
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from dogbreed_sdk.pages.thumbnails import PLACEHOLDER, of_image, small_picture, thumbnail


def decoded(url: str) -> Image.Image:
    kind, _, content = url.partition(",")
    assert kind == "data:image/jpeg;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    image.load()
    return image


def test_the_whole_picture_is_shown_within_the_size(tmp_path: Path) -> None:
    Image.new("RGB", (400, 100), "red").save(tmp_path / "wide.png")
    shown = decoded(thumbnail(tmp_path / "wide.png"))
    assert shown.size == (160, 40)
    assert decoded(thumbnail(str(tmp_path / "wide.png"), size=80)).size == (80, 20)


def test_a_small_picture_keeps_its_size() -> None:
    assert decoded(of_image(Image.new("RGB", (20, 30)))).size == (20, 30)


def test_the_orientation_is_applied_and_nothing_else_of_the_file_is_kept(tmp_path: Path) -> None:
    image = Image.new("RGB", (64, 32), "white")
    image.paste("black", (0, 0, 32, 32))  # the left half
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    exif[0x010E] = "SECRET PLACE"
    image.save(tmp_path / "turned.jpg", exif=exif, comment=b"SECRET COMMENT")
    url = thumbnail(tmp_path / "turned.jpg")
    shown = decoded(url).convert("L")
    assert shown.size == (32, 64)
    assert shown.getpixel((16, 10)) < 60  # type: ignore[operator]
    assert shown.getpixel((16, 54)) > 200  # type: ignore[operator]
    assert b"SECRET" not in base64.b64decode(url.partition(",")[2])


def test_transparency_is_white_as_the_model_sees_it() -> None:
    written = io.BytesIO()
    Image.new("RGBA", (8, 8), (0, 0, 0, 0)).save(written, "PNG")
    assert decoded(thumbnail(written.getvalue())).getpixel((4, 4)) == (255, 255, 255)


@pytest.mark.parametrize(
    "content", [b"", b"<script>alert(1)</script>", b"\xff\xd8\xff\xe0broken", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_not_a_picture_gets_a_placeholder(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.jpg").write_bytes(content)
    assert thumbnail(tmp_path / "odd.jpg") == thumbnail(content) == PLACEHOLDER
    assert small_picture(content) is None


def test_a_missing_file_a_folder_and_a_pipe_get_a_placeholder_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "none.jpg", tmp_path, tmp_path / "pipe.jpg"):
        assert thumbnail(path) == PLACEHOLDER
