"""The pictures of a data set's splits: where each one is, its name, its class and its content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture.

    Attributes:
        location: Its path, as text: a Path takes five times the memory, and data sets have millions of pictures.
        name: Its name inside the split ("001.Affenpinscher/x.jpg").
        class_index: Its class.
    """

    location: str
    name: str
    class_index: int

    @property
    def path(self) -> Path:
        """Its path."""
        return Path(self.location)

    def read(self) -> bytes:
        """The picture's content, still encoded.

        Raises:
            OSError: It cannot be read.
        """
        with open(self.location, "rb", buffering=0) as file:  # noqa: PTH123 - without a Path for each picture
            return file.read()
