"""LabelMap: translates between the index, the folder and the display name (label) of a class."""

from __future__ import annotations

import functools
import heapq
import json
import math
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dogbreed_sdk.errors import LabelError
from dogbreed_sdk.predictions import BreedScore
from training_scripts._util.class_names import display_name

_LISTED_CLASSES = 12
# The few best of many classes are found faster than all are sorted; of few classes it is the other way round.
_FEW_OF = 100


@dataclass(frozen=True)
class LabelMap:
    """Index <-> class folder <-> label, for the classes of one model or data set.

    Attributes:
        class_folders: The class folders in index order, all distinct.

    Raises:
        LabelError: There are no classes, a name is empty, or a class is listed twice.

    Examples:
        >>> labels = LabelMap.from_list(["001.Affenpinscher", "009.American_water_spaniel"])
        >>> labels.label(1), labels.index("American water spaniel"), labels.class_folder(1)
        ('American water spaniel', 1, '009.American_water_spaniel')
    """

    class_folders: tuple[str, ...]

    def __post_init__(self) -> None:
        if isinstance(self.class_folders, str):
            raise LabelError(f"expected a list of class names, got the string {self.class_folders!r}")
        object.__setattr__(self, "class_folders", tuple(self.class_folders))  # a list would make equal maps differ
        if not self.class_folders:
            raise LabelError("a label map needs at least one class, got none")
        if not all(isinstance(folder, str) and folder.strip() for folder in self.class_folders):
            raise LabelError("the name of every class must be a non-empty string")
        counts = Counter(self.class_folders)
        if len(counts) != len(self.class_folders):
            twice = ", ".join(folder for folder, count in counts.items() if count > 1)
            raise LabelError(
                f"{len(self.class_folders)} classes are listed, but only {len(counts)} are distinct; listed more than "
                f"once: {twice}. List each class once, in the order of the model's outputs."
            )

    @classmethod
    def from_list(cls, class_folders: Iterable[str]) -> LabelMap:
        """Creates a map from class folders in index order.

        Args:
            class_folders: Names of the class folders.

        Raises:
            LabelError: As for the class itself.
        """
        return cls(class_folders)  # type: ignore[arg-type]  # __post_init__ makes a tuple

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> LabelMap:
        """Creates a map from a directory of class folders, in the order of torchvision's ImageFolder.

        Args:
            folder: A split (one sub-directory per class), or a data set, whose train split is used.
                Hidden folders such as .ipynb_checkpoints are not classes.

        Raises:
            LabelError: The directory does not exist or has no sub-directories.
        """
        from training_scripts.data import faults, split_folders  # noqa: PLC0415 - most label maps come from elsewhere

        root = Path(folder)
        if not root.is_dir():
            raise LabelError(f"{root} is not a directory; pass the directory that contains one sub-directory per class")
        try:
            root = split_folders.locate(root).folders.get("train", (root,))[0]
            names = [path.name for path in split_folders.plain_folders(root)]
        except OSError as error:
            raise LabelError(str(faults.unread(error))) from error
        if not names:
            raise LabelError(
                f"{root} has no class folders; pass the directory that contains one sub-directory per class"
            )
        return cls(tuple(names))

    @classmethod
    def from_json(cls, path: str | os.PathLike[str]) -> LabelMap:
        """Reads a map from a JSON file.

        Args:
            path: A bundle's model.json, or a file with a list of classes in index order,
                {"index": "class"}, or {"class": index} (torchvision's class_to_idx).

        Raises:
            LabelError: The file is missing, is not JSON, or its indices are not 0, 1, 2, ...
        """
        try:
            value = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise LabelError(f"cannot read the labels in {path}: {error.strerror}") from error
        except ValueError as error:
            raise LabelError(f"{path} is not valid JSON: {error}") from error
        try:
            return cls.from_value(value)
        except LabelError as error:
            raise LabelError(f"{path}: {error}") from error

    @classmethod
    def from_bundle(cls, path: str | os.PathLike[str]) -> LabelMap:
        """Reads the map of a bundle, without loading its model.

        Args:
            path: A bundle: its folder, its model.tar.gz, or a file:// URI of either.

        Raises:
            LabelError: It is not a bundle, or its description is invalid.
            ConfigurationError: The URI is not a file:// URI.
        """
        from dogbreed_sdk._util.bundle_files import bundle_path  # noqa: PLC0415 - most label maps come from elsewhere
        from training_scripts.models.bundle import read_description  # noqa: PLC0415
        from training_scripts.models.description import BundleError  # noqa: PLC0415

        try:
            return cls(tuple(read_description(bundle_path(path)).classes))
        except BundleError as error:
            raise LabelError(str(error)) from error

    @classmethod
    def from_value(cls, value: object) -> LabelMap:
        """Creates a map from the content of a JSON file; `from_json` lists the formats.

        Args:
            value: The content, as `json.load` returns it.

        Raises:
            LabelError: The value has none of these formats, or its indices are not 0, 1, 2, ...

        Examples:
            >>> LabelMap.from_value({"001.Pug": 0, "002.Boxer": 1}).class_folders
            ('001.Pug', '002.Boxer')
        """
        if isinstance(value, Mapping) and isinstance(value.get("classes"), list):
            value = value["classes"]
        if isinstance(value, Mapping):
            return cls(_in_index_order(value))
        if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
            return cls(tuple(value))
        raise LabelError('expected a list of classes, {"index": "class"}, {"class": index} or a model.json')

    @functools.cached_property
    def labels(self) -> tuple[str, ...]:
        """The labels, in index order."""
        return tuple(display_name(folder) for folder in self.class_folders)

    def __len__(self) -> int:
        return len(self.class_folders)

    def __iter__(self) -> Iterator[str]:
        return iter(self.class_folders)

    def class_folder(self, index: int) -> str:
        """The class folder at an index.

        Args:
            index: Position of the class in the model's output, from 0.

        Raises:
            LabelError: The index is not in 0 .. len - 1; negative indices are invalid.
        """
        if not 0 <= index < len(self):
            raise LabelError(
                f"index {index} is out of range: the {len(self)} classes have the indices 0 to {len(self) - 1}"
            )
        return self.class_folders[index]

    def label(self, index: int) -> str:
        """The label at an index.

        Args:
            index: Position of the class in the model's output, from 0.

        Raises:
            LabelError: The index is not in 0 .. len - 1.
        """
        return display_name(self.class_folder(index))

    def index(self, name: str) -> int:
        """The index of a class, given by its folder or its label (upper and lower case are equal).

        Args:
            name: The class folder, or the label.

        Raises:
            LabelError: No class or several classes have this name.
        """
        if name in self.class_folders:
            return self.class_folders.index(name)
        found = [index for index, label in enumerate(self.labels) if label.casefold() == name.casefold()]
        if len(found) > 1:
            folders = ", ".join(self.class_folders[index] for index in found)
            raise LabelError(f"{name!r} is the label of {len(found)} classes: {folders}; pass the class folder")
        if not found:
            listed = ", ".join(self.class_folders[:_LISTED_CLASSES]) + (", …" if len(self) > _LISTED_CLASSES else "")
            raise LabelError(f"{name!r} is not one of the {len(self)} classes: {listed}")
        return found[0]

    def rank(self, probabilities: Sequence[float], *, top_k: int | None = None) -> tuple[BreedScore, ...]:
        """The classes with their probabilities, most probable first; ties are in index order.

        Args:
            probabilities: One probability per class, in index order.
            top_k: Number of classes to keep; None keeps all.

        Raises:
            LabelError: The number of probabilities is not the number of classes, or one is NaN or infinite.
        """
        if len(probabilities) != len(self):
            raise LabelError(
                f"the model returned {len(probabilities)} scores, but there are {len(self)} labels; pass the LabelMap "
                "of the data set that this model was trained on"
            )
        # A sum is finite only if every number is, and much faster than checking each.
        if not math.isfinite(sum(probabilities)):
            raise LabelError("the model returned a score that is not finite (NaN or infinity)")
        labels, folders = self.labels, self.class_folders
        return tuple(
            BreedScore(labels[index], folders[index], index, float(probabilities[index]))
            for index in most_probable(probabilities, top_k)
        )


def most_probable(probabilities: Sequence[float], top_k: int | None) -> Sequence[int]:
    """The positions of the highest probabilities, the highest first; of equal ones, the first.

    Args:
        probabilities: In any order.
        top_k: Number of positions; None for all.
    """
    positions = range(len(probabilities))
    if top_k is not None and 0 <= top_k < len(probabilities) // _FEW_OF:
        return heapq.nlargest(top_k, positions, key=probabilities.__getitem__)
    return sorted(positions, key=probabilities.__getitem__, reverse=True)[:top_k]


def _in_index_order(value: Mapping[object, object]) -> tuple[str, ...]:
    """The classes of {"index": "class"} or {"class": index}; the indices must be 0 .. n - 1."""
    if all(isinstance(index, int) for index in value.values()):
        pairs = [(index, str(name)) for name, index in value.items() if isinstance(index, int)]
    else:
        try:
            pairs = [(int(str(index)), str(name)) for index, name in value.items()]
        except ValueError:
            raise LabelError('expected {"index": "class"} or {"class": index}, but neither side is an index') from None
    if not pairs:
        raise LabelError("a label map needs at least one class, got none")
    pairs.sort()
    indices = [index for index, _ in pairs]
    if indices != list(range(len(pairs))):
        raise LabelError(
            f"{len(pairs)} classes must have the indices 0 to {len(pairs) - 1}, each once, but there are "
            f"{len(set(indices))} distinct indices from {indices[0]} to {indices[-1]}: "
            "a class is missing or listed twice"
        )
    return tuple(name for _, name in pairs)
