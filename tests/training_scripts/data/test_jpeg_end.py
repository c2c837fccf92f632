"""A JPEG that lacks its end marker alone is whole, in training, in `data check` and when served; others are cut off."""

from __future__ import annotations

import io
import random
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dogbreed_sdk import BreedDataset, UnsupportedImageError
from dogbreed_sdk.client.images import to_payload
from training_scripts.data import decoding, jpeg_end
from training_scripts.data.limits import JPEG_DRAFT_SIDE
from training_scripts.inference import input_fn

WAYS: list[dict[str, Any]] = [
    {},
    {"progressive": True},
    {"quality": 95, "subsampling": 0},
    {"restart_marker_rows": 1},
    {"optimize": True, "quality": 30},
]


def photograph(size: tuple[int, int] = (500, 375), mode: str = "RGB", **options: Any) -> bytes:
    """Of noise, coarse enough to be a picture: every byte of it counts."""
    noise = random.Random(7).randbytes(3 * (size[0] // 8) * (size[1] // 8))
    image = Image.frombytes("RGB", (size[0] // 8, size[1] // 8), noise).resize(size, Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_without_its_end_it_has_the_same_pixels(options: dict[str, Any], mode: str) -> None:
    whole = photograph(mode=mode, **options)
    pixels = decoding.decode(whole).tobytes()
    for missing in (1, 2):
        assert decoding.decode(whole[:-missing]).tobytes() == pixels
    assert jpeg_end.completed(whole, JPEG_DRAFT_SIDE) is None, "it has its end"


@pytest.mark.parametrize("options", WAYS, ids=str)
@pytest.mark.parametrize("size", [(500, 375), (40, 24)])
def test_one_that_is_cut_off_stays_refused(options: dict[str, Any], size: tuple[int, int]) -> None:
    whole = photograph(size, **options)
    pixels = decoding.decode(whole).tobytes()
    dice = random.Random(3)
    for missing in (4, 8, 20, 100, len(whole) // 3, *(dice.randrange(3, len(whole) - 1) for _ in range(12))):
        try:  # the last bits may be padding
            assert decoding.decode(whole[:-missing]).tobytes() == pixels, missing
        except decoding.PictureError as error:
            assert re.search("truncated|a broken JPEG picture: its header cannot be read", str(error))


def test_a_progressive_one_that_lacks_its_last_scans_is_cut_off() -> None:
    whole = photograph(progressive=True)
    *_, last = [match.start() for match in jpeg_end._SEGMENT.finditer(whole) if match[1] == b"\xda"]
    with pytest.raises(decoding.PictureError, match="truncated"):
        decoding.decode(whole[:last])


def test_a_large_photograph_is_judged_at_the_scale_at_which_it_is_used() -> None:
    whole = photograph((2000, 1500))
    assert decoding.decode(whole[:-2]).tobytes() == decoding.decode(whole).tobytes()
    with pytest.raises(decoding.PictureError, match="truncated"):
        decoding.decode(whole[: len(whole) // 2])


def test_the_client_sends_it_with_its_end() -> None:
    """A server that is not ours may refuse it otherwise."""
    whole = photograph()
    assert to_payload(whole[:-2]).body == whole
    assert to_payload(Image.open(io.BytesIO(whole[:-2]))).body == whole
    assert len(to_payload(photograph((1600, 1200))[:-2], max_bytes=100_000).body) <= 100_000
    with pytest.raises(UnsupportedImageError, match="cannot be decoded: broken or truncated"):
        to_payload(whole[:-2000])


def test_the_server_reads_it() -> None:
    whole = photograph()
    assert input_fn(whole[:-2], "image/jpeg").tobytes() == input_fn(whole, "image/jpeg").tobytes()


def test_training_and_check_take_it(tmp_path: Path) -> None:
    dice = random.Random(1)
    for split, breed in ((split, breed) for split in ("train", "valid", "test") for breed in ("Boxer", "Pug")):
        for number in range(2):
            path = tmp_path / split / breed / f"{number}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = Image.frombytes("RGB", (8, 8), dice.randbytes(192)).resize((200, 200))
            pixels.save(path)
            path.write_bytes(path.read_bytes()[:-2])
    assert BreedDataset.from_folder(tmp_path).check().errors == ()
