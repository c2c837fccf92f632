"""What an evaluation's page needs of a classifier that can say where its answers come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from PIL import Image


class Overlaid(Protocol):
    """An explanation, such as `dogbreed_sdk.Explanation`."""

    def overlay(self) -> Image.Image:
        """The picture with a heat map of the evidence for a class over it."""
        ...


class Explainer(Protocol):
    """A classifier that explains its answers, such as BreedClassifier."""

    def explain(self, picture: Path, /, *, label: str | None = ...) -> Overlaid:
        """Where in a picture the evidence for a class is, which is given by its folder.

        Raises:
            ConfigurationError: This classifier cannot explain any picture.
        """
        ...
