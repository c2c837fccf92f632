"""Formats and content types stand in one table: what is added there is sent by the client and accepted by servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from training_scripts.data import decoding, formats

TABLE = Path(formats.__file__)
# Replaces the table before anything has read it, then has the client prepare a picture in the new format.
PROGRAM = """
import importlib.util, io, sys
path, text = sys.argv[1:]
spec = importlib.util.spec_from_file_location("training_scripts.data.formats", path)
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
exec(compile(text, path, "exec"), module.__dict__)

from PIL import Image
from dogbreed_sdk.client.images import to_payload
from training_scripts.data import decoding

file = io.BytesIO()
Image.new("RGB", (60, 40), "red").save(file, "BMP")
payload = to_payload(file.getvalue())
print(payload.content_type, payload.body == file.getvalue(), payload.content_type in module.PICTURE_CONTENT_TYPES)
print(decoding.decode(payload.body).size)
"""


def test_the_first_content_type_of_a_format_is_the_one_that_the_client_sends() -> None:
    assert formats.SENT_AS_IS == {
        "JPEG": "image/jpeg",
        "MPO": "image/jpeg",
        "PNG": "image/png",
        "WEBP": "image/webp",
    }
    assert formats.SENT_AS_IS.keys() - {"MPO"} <= set(formats.READ_FORMATS)


def test_a_content_type_is_added_in_one_row() -> None:
    row = 'PictureFormat("BMP", (".bmp",))'
    text = TABLE.read_text(encoding="utf-8")
    assert row in text
    changed = text.replace(row, 'PictureFormat("BMP", (".bmp",), ("image/bmp",))')
    command = [sys.executable, "-c", PROGRAM, str(TABLE), changed]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert printed.splitlines() == ["image/bmp True True", "(60, 40)"]


def test_a_decoder_that_raises_a_runtime_error_means_a_broken_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Pillow's does for some damaged AVIF files: "Conversion from YUV failed: Reformat failed"."""

    def fail(_: Image.Image) -> None:
        raise RuntimeError("Conversion from YUV failed")

    picture = Image.new("RGB", (4, 4))
    monkeypatch.setattr(Image.Image, "load", fail)
    with pytest.raises(decoding.PictureError, match="broken or truncated picture: Conversion from YUV failed"):
        decoding.upright_rgb(picture)
