"""Preprocessor: turns a picture into a model's input, for clients that send tensors instead of pictures."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from dogbreed_sdk._util.bundle_files import bundle_path
from dogbreed_sdk.client.argument_checks import check_path
from dogbreed_sdk.client.images import Picture, decoded, to_payload
from dogbreed_sdk.errors import ConfigurationError
from training_scripts.data import preprocessing
from training_scripts.data.preprocessing import Preprocessing

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Preprocessor:
    """Turns pictures into the tensors that a model was trained on: resized, cropped, normalized, channels first.

    The numbers are those that an endpoint computes from the same picture, so that sending either gives the same scores.
    It needs NumPy and Pillow, but not torch. Endpoints take the tensor as ``application/json`` (nested lists) or
    ``application/x-npy``; it is about a hundred times larger than a JPEG.

    Args:
        settings: The model's own resize, crop, mean, std and interpolation. `from_bundle` reads them.

    Attributes:
        settings: As above.

    Examples:
        >>> prepare = Preprocessor.from_bundle("model.tar.gz")
        >>> prepare("rex.jpg").shape
        (3, 224, 224)
    """

    def __init__(self, settings: Preprocessing) -> None:
        self.settings = settings

    @classmethod
    def from_bundle(cls, path: str | os.PathLike[str]) -> Preprocessor:
        """Reads how a bundle's model wants its pictures, without loading the model.

        Args:
            path: A bundle: its folder, its model.tar.gz, or a file:// URI of either.

        Raises:
            ConfigurationError: It is not a bundle.
        """
        from training_scripts.models.bundle import read_description  # noqa: PLC0415 - as late as what uses it
        from training_scripts.models.description import BundleError  # noqa: PLC0415

        check_path(path)
        try:
            return cls(read_description(bundle_path(path)).preprocessing)
        except BundleError as error:
            raise ConfigurationError(f"{error}.") from error

    def __repr__(self) -> str:
        return f"Preprocessor({self.settings!r})"

    def __call__(self, picture: Picture) -> npt.NDArray[np.float32]:
        """The input for a picture.

        Args:
            picture: As `BreedClassifier.classify` takes it: a path, bytes, an open file, a URL, a PIL image, or pixels.

        Returns:
            float32 [3, crop, crop]; an endpoint takes it as it is, or several as [n, 3, crop, crop].

        Raises:
            ImageError: The picture cannot be read.
        """
        return preprocessing.to_array(decoded(to_payload(picture, max_bytes=sys.maxsize)), self.settings)
