"""Pictures: what is decoded, what is refused, and that preprocessing is torchvision's to the last digit."""

from __future__ import annotations

import io
import itertools
import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torchvision import models, transforms

from training_scripts.data import decoding, jpeg_end, preprocessing, resize_mode
from training_scripts.data.decoding import PictureError
from training_scripts.data.limits import JPEG_DRAFT_SIDE
from training_scripts.data.preprocessing import FLIP, PLAIN, Preprocessing, View
from training_scripts.data.samples import Sample
from training_scripts.models import backbones

SMALL = Preprocessing(16, 16, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25), "bilinear")


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


def scene(width: int = 40, height: int = 30) -> Image.Image:
    """A gradient with a red corner at the top left."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    ImageDraw.Draw(image).rectangle((0, 0, width // 4, height // 4), fill=(255, 0, 0))
    return image


class TestDecode:
    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM"])
    def test_known_formats(self, kind: str) -> None:
        image = decoding.decode(encode(scene(), kind))
        assert (image.mode, image.size) == ("RGB", (40, 30))
        assert image.getpixel((2, 2)) == pytest.approx((255, 0, 0), abs=25)

    def test_a_path(self, tmp_path: Path) -> None:
        (tmp_path / "x.png").write_bytes(encode(scene()))
        assert decoding.decode(tmp_path / "x.png").tobytes() == scene().tobytes()

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_cameras_orientation_is_applied(self, orientation: int) -> None:
        upright = scene()
        undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpositions
        stored = upright if orientation == 1 else upright.transpose(Image.Transpose(undo[orientation]))
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert decoding.decode(encode(stored, exif=exif)).tobytes() == upright.tobytes()

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
    def test_transparency_is_laid_on_white(self, mode: str) -> None:
        clear = Image.new("RGBA", (4, 4), (0, 0, 0, 0)).convert(mode)
        options = {"transparency": 0} if mode == "P" else {}
        assert decoding.decode(encode(clear, **options)).getpixel((1, 1)) == (255, 255, 255)

    def test_a_transparent_color_of_an_opaque_picture(self) -> None:
        black = Image.new("RGB", (4, 4))
        assert decoding.decode(encode(black, transparency=(0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)

    def test_sixteen_bits_are_scaled_not_clipped(self) -> None:
        deep = Image.fromarray(np.full((4, 4), 0x8000, np.uint16))
        assert decoding.decode(encode(deep)).getpixel((0, 0)) == (128, 128, 128)
        assert decoding.decode(encode(deep, "TIFF")).getpixel((0, 0)) == (128, 128, 128)

    def test_printers_colors(self) -> None:
        red = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
        assert decoding.decode(encode(red, "JPEG")).getpixel((4, 4)) == pytest.approx((255, 0, 0), abs=12)

    def test_of_an_animation_the_first_frame(self) -> None:
        frames = [Image.new("RGB", (8, 8), color) for color in ("blue", "red")]
        moving = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
        assert decoding.decode(moving).getpixel((0, 0)) == (0, 0, 255)

    def test_large_photographs_are_decoded_smaller_but_never_too_small(self) -> None:
        assert decoding.decode(encode(scene(3000, 1500), "JPEG")).size == (1500, 750)
        assert decoding.decode(encode(scene(1399, 1399), "JPEG")).size == (1399, 1399)

    def test_no_backbone_wants_more_than_that(self) -> None:
        sides = [
            models.get_model_weights(name).DEFAULT.transforms().resize_size[0]
            for name in models.list_models(module=models)
        ]
        assert max(sides) <= JPEG_DRAFT_SIDE

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "empty file"),
            (b"<html>not found</html>", "not a picture but a web page or XML"),
            (encode(scene(200, 200), "JPEG")[:1500], "truncated"),
            (encode(scene(200, 200))[:-60], "truncated"),
            (encode(scene(), "BMP")[:60], "truncated"),
            (encode(Image.new("F", (4, 4)), "TIFF"), "floating-point"),
        ],
    )
    def test_what_is_broken_is_refused_with_the_reason(self, content: bytes, reason: str) -> None:
        with pytest.raises(PictureError, match=reason):
            decoding.decode(content)

    @pytest.mark.parametrize("side", [9_460, 40_000])
    def test_a_decompression_bomb_is_refused_before_it_is_decoded(self, side: int) -> None:
        header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
        chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
        bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
        with pytest.raises(PictureError, match=r"pixels allowed"):
            decoding.decode(bomb)

    def test_scans_beyond_the_limit_are_not_even_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        counted: list[object] = []

        def looked_at(found: Iterable[Any]) -> Iterator[Any]:
            for one in found:
                counted.append(one)
                yield one

        pattern, segments = decoding._SCAN, jpeg_end.segments
        monkeypatch.setattr(decoding, "_SCAN", SimpleNamespace(finditer=lambda text: looked_at(pattern.finditer(text))))
        monkeypatch.setattr(jpeg_end, "segments", lambda content: looked_at(segments(content)))
        photograph = encode(scene(), "JPEG")
        scans = bytes([0xFF, 0xDA, 0, 2]) * 6_000_000
        with pytest.raises(PictureError, match="more than the 100 scans allowed"):
            decoding.decode(photograph[:-2] + scans + photograph[-2:])
        assert 200 < len(counted) < 300, "either search ends at the limit"

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(PictureError, match=r"cannot be read: No such file"):
            decoding.decode(tmp_path / "x.jpg")


class TestPreprocessing:
    @pytest.mark.parametrize("name", ["resnet18", "resnet50", "efficientnet_b0"])
    @pytest.mark.parametrize("size", [(500, 375), (375, 500), (224, 224), (257, 233), (60, 40)])
    def test_equals_torchvisions_own(self, name: str, size: tuple[int, int]) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
        image = Image.fromarray(noise)
        theirs = models.get_model_weights(name).DEFAULT.transforms()(image)
        torch.testing.assert_close(
            preprocessing.to_tensor(image, backbones.spec(name).preprocessing), theirs, rtol=0, atol=1e-6
        )

    @pytest.mark.parametrize("size", [(500, 375), (375, 500), (224, 224), (60, 40), (40, 1000)])
    def test_squashing_equals_torchvisions_resize_to_a_square(self, size: tuple[int, int]) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
        image, squashed = Image.fromarray(noise), backbones.spec("resnet50").preprocessing.squashed()
        theirs = np.asarray(transforms.Resize((224, 224))(image))
        assert np.array_equal(preprocessing.to_pixels(image, squashed), theirs)
        assert np.array_equal(preprocessing.to_pixels(image, squashed, FLIP), theirs[:, ::-1])

    def test_a_squashed_picture_shows_everything(self) -> None:
        sizes = {"resize": 16, "crop": 16}
        assert preprocessing.seen_box((300, 100), **sizes, resize_mode="squash") == (0, 0, 300, 100)
        assert preprocessing.seen_box((300, 100), **sizes, resize_mode="crop") == (100, 0, 200, 100)

    def test_a_picture_alone_equals_the_same_in_a_batch(self) -> None:
        image = scene()
        views = preprocessing.parse_views("plain,flip,crops:2")
        together = preprocessing.normalize(preprocessing.all_views(image, SMALL, views, key="a.jpg"), SMALL)
        assert together.shape == (4, 3, 16, 16)
        for view, tensor in zip(views, together, strict=True):
            assert torch.equal(preprocessing.to_tensor(image, SMALL, view, key="a.jpg"), tensor)

    @pytest.mark.parametrize("size", [(500, 375), (375, 500), (60, 40), (16, 16), (40, 1000)])
    def test_approximate_views_are_two_of_255_off_at_most(self, size: tuple[int, int], tmp_path: Path) -> None:
        (tmp_path / "x.jpg").write_bytes(encode(Image.effect_noise(size, 60).convert("RGB"), "JPEG", quality=95))
        sample = Sample(str(tmp_path / "x.jpg"), "x.jpg", 0)
        for filtering, mode in itertools.product(("bilinear", "bicubic"), resize_mode.CHOICES):
            wanted = replace(SMALL, resize=20, interpolation=filtering)
            wanted = wanted if mode == "crop" else wanted.squashed()
            views = preprocessing.parse_views("plain,flip,crops:1")
            exact, close = (
                make(sample, wanted, views).astype(int)
                for make in (preprocessing.sample_views, preprocessing.approximate_views)
            )
            assert exact.shape == close.shape == (3, 16, 16, 3)
            assert np.abs(exact - close)[:2].max() <= 2
            # What a crop's rectangle leaves out weighs on its edges.
            assert np.abs(exact - close)[2, 4:-4, 4:-4].max() <= 2

    def test_approximate_views_of_what_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(PictureError, match="No such file"):
            preprocessing.approximate_views(Sample(str(tmp_path / "x.jpg"), "x.jpg", 0), SMALL, (PLAIN,))

    def test_numbers_by_hand(self) -> None:
        white = Image.new("RGB", (20, 20), "white")
        tensor = preprocessing.to_tensor(white, SMALL)
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, torch.full((3, 16, 16), 2.0))

    def test_every_value_is_normalized_in_the_same_order(self) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), np.uint8)
        wanted = replace(SMALL, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
        values = torch.from_numpy(pixels).float().div(255).sub(torch.tensor(wanted.mean)).div(torch.tensor(wanted.std))
        assert torch.equal(preprocessing.normalize(pixels, wanted), values.permute(0, 3, 1, 2))

    def test_a_long_strip_costs_no_gigabytes(self) -> None:
        strip = Image.new("RGB", (2, 40_000), "white")
        assert preprocessing.to_tensor(strip, backbones.spec("resnet18").preprocessing).shape == (3, 224, 224)

    def test_survives_json(self) -> None:
        for one in (SMALL, replace(SMALL, resize=20), replace(SMALL, resize=20).squashed()):
            assert Preprocessing.from_dict(json.loads(json.dumps(one.to_dict()))) == one

    def test_one_that_was_written_before_there_were_modes_crops(self) -> None:
        assert "resize_mode" not in SMALL.to_dict()
        assert Preprocessing.from_dict(SMALL.to_dict()).resize_mode == "crop"

    @pytest.mark.parametrize(
        "change",
        [
            {"mean": [1, 2]},
            {"resize": "x"},
            {"crop": 17},
            {"std": [0, 1, 1]},
            {"interpolation": "box"},
            {"resize_mode": "pad"},
            {"resize_mode": []},
            {"resize_mode": "squash", "resize": 20},
        ],
    )
    def test_nonsense_is_refused(self, change: dict[str, object]) -> None:
        with pytest.raises(PictureError):
            Preprocessing.from_dict(SMALL.to_dict() | change)


class TestViews:
    def test_lists(self) -> None:
        assert preprocessing.parse_views("plain") == (PLAIN,)
        assert preprocessing.parse_views("flip, plain") == (PLAIN, FLIP)
        assert preprocessing.parse_views("plain,flip,crops:2") == (PLAIN, FLIP, View("crop", 0), View("crop", 1))

    @pytest.mark.parametrize("text", ["plain", "plain,flip", "plain,crops:3", "plain,flip,crops:64"])
    def test_are_written_as_they_are_read(self, text: str) -> None:
        assert preprocessing.format_views(preprocessing.parse_views(text)) == text

    @pytest.mark.parametrize("text", ["", "flip", "plain,plain", "plain,crops", "plain,crops:0", "plain,crops:65", "x"])
    def test_other_lists_are_refused(self, text: str) -> None:
        with pytest.raises(PictureError, match=r"plain"):
            preprocessing.parse_views(text)

    def test_flip_mirrors_the_plain_view(self) -> None:
        plain, flip = (preprocessing.to_pixels(scene(), SMALL, view) for view in (PLAIN, FLIP))
        assert np.array_equal(plain[:, ::-1], flip)
        assert not np.array_equal(plain, flip)

    def test_crops_differ_by_index_and_picture_and_are_always_the_same(self) -> None:
        noise = Image.effect_noise((40, 30), 80).convert("RGB")
        drawn = {
            (index, key): preprocessing.to_pixels(noise, SMALL, View("crop", index), key=key).tobytes()
            for index in range(3)
            for key in ("a.jpg", "b.jpg")
        }
        assert len(set(drawn.values())) == len(drawn)
        assert preprocessing.to_pixels(noise, SMALL, View("crop", 1), key="b.jpg").tobytes() == drawn[1, "b.jpg"]

    def test_crops_are_the_same_in_every_process_and_version(self) -> None:
        assert preprocessing._crop_rectangle((400, 300), 0, "001.A/x.jpg") == ((38, 56, 286, 265), False)

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2)])
    def test_crops_of_tiny_pictures(self, size: tuple[int, int]) -> None:
        assert preprocessing.to_pixels(Image.new("RGB", size), SMALL, View("crop", 0), key="x").shape == (16, 16, 3)


def test_importing_it_loads_neither_torch_nor_numpy() -> None:
    heavy = "{'torch', 'numpy', 'torchvision'}"
    code = f"import sys, training_scripts.data.preprocessing; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_program_that_forbids_decompression_bombs_keeps_its_filter() -> None:
    code = """
import io, warnings
from PIL import Image
warnings.simplefilter("error", Image.DecompressionBombWarning)
from training_scripts.data import decoding
from training_scripts.data import preprocessing as pictures
header = io.BytesIO(b"P5 10000 9000 255 ")
try:
    Image.open(header)
except Image.DecompressionBombWarning:
    print("forbidden")
try:
    decoding.decode(header.getvalue())
except decoding.PictureError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["forbidden", "more than the 89 megapixels allowed"]
