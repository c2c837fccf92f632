"""A client that prepares pictures itself computes the numbers that the model computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dogbreed_sdk import ConfigurationError, Preprocessor, UnsupportedImageError
from tests.training_scripts.conftest import write_bundle
from training_scripts.data import decoding, preprocessing
from training_scripts.models import backbones

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def photograph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A noisy picture that has to be turned upright, as phones store them."""
    pixels = np.random.default_rng(0).integers(0, 256, (300, 451, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    exif = image.getexif()
    exif[0x0112] = 6
    path = tmp_path_factory.mktemp("pictures") / "photograph.jpg"
    image.save(path, exif=exif, quality=95)
    return path


@pytest.mark.parametrize("name", ["efficientnet_lite0", "densenet161"])
def test_the_numbers_are_those_of_training_and_serving_to_the_last_bit(name: str, photograph: Path) -> None:
    settings = backbones.spec(name).preprocessing
    expected = preprocessing.to_tensor(decoding.decode(photograph), settings).numpy()
    found = Preprocessor(settings)(photograph)
    assert (found.dtype, found.shape, found.flags.c_contiguous) == (np.float32, expected.shape, True)
    np.testing.assert_array_equal(found, expected)


def test_the_settings_are_the_bundles_own(bundle: Path, photograph: Path) -> None:
    prepare = Preprocessor.from_bundle(bundle)
    assert prepare.settings == backbones.spec("efficientnet_lite0").preprocessing
    with Image.open(photograph) as opened:
        for picture in (str(photograph), photograph.read_bytes(), opened):
            np.testing.assert_array_equal(prepare(picture), prepare(photograph))


def test_neither_torch_nor_boto3_is_needed(bundle: Path, photograph: Path) -> None:
    code = (
        "import sys; from dogbreed_sdk import Preprocessor; "
        "Preprocessor.from_bundle(sys.argv[1])(sys.argv[2]); "
        "print([name for name in ('torch', 'boto3') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(bundle), str(photograph)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_what_is_not_a_model_or_not_a_picture_is_named(tmp_path: Path, bundle: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a bundle"):
        Preprocessor.from_bundle(tmp_path)
    with pytest.raises(UnsupportedImageError):
        Preprocessor.from_bundle(bundle)(b"not a picture")
