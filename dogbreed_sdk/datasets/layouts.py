"""Recognizes the layouts in which data sets are commonly published, so that they can be converted into ours."""

from __future__ import annotations

import csv
import itertools
import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dogbreed_sdk.datasets import cifar
from dogbreed_sdk.errors import DatasetError
from training_scripts._util.number_text import counted
from training_scripts.data import split_folders
from training_scripts.data.faults import Fault
from training_scripts.data.listing import UNSPLIT, Listing, list_splits

# Archives wrap a data set in a folder or two: "stanford-dogs/Images/<class>".
_DEEPEST = 3
# A few stray files do not change the layout.
_NEARLY_ALL = 0.95
_LARGEST_TABLE = 256 << 20
_ROWS_TO_JUDGE = 500
# "Abyssinian_100", "cat.0", "Pug (12)": a name and a number.
_NAME_AND_NUMBER = re.compile(r"(?P<name>.*?[^\W\d_].*?)[ ._-]+\(?\d+\)?$")
_CLASS_COLUMNS = frozenset(
    {"label", "labels", "class", "classes", "classname", "breed", "species", "category", "target", "y"}
)
_SPLIT_COLUMNS = frozenset({"split", "set", "subset", "dataset", "partition"})


@dataclass(frozen=True, slots=True)
class SourcePicture:
    """A picture that will be part of a data set.

    Attributes:
        split: "train", "valid" or "test"; None if it is not assigned yet.
        class_folder: The folder of its class.
        name: Its file name in that folder, "a.jpg" or "deeper/a.jpg", unique within class and split.
        content: The file, or a function that returns its content.
    """

    split: str | None
    class_folder: str
    name: str
    content: Path | Callable[[], bytes]


@dataclass(frozen=True)
class Layout:
    """A recognized layout.

    Attributes:
        description: For example "pictures in one folder, the class in each file's name".
        pictures: Its pictures.
        guessed: Split -> folder, if the splits are guessed from the folders' sizes and need confirmation.
        left_out: Phrases about pictures that belong to no class.
    """

    description: str
    pictures: tuple[SourcePicture, ...]
    guessed: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

    def remedy(self, root: Path) -> str:
        """A sentence that explains how to convert the folder."""
        words = ["dogbreed", "data", "convert", str(root), "DEST"]
        for split, folder in self.guessed.items():
            words += [f"--{split}-folder", folder]
        remedy = f"Convert it with BreedDataset.convert() or `{shlex.join(words)}`"
        if self.guessed:
            divide = shlex.join(["dogbreed", "data", "split", str(root), "DEST"])
            remedy += f"; if these folders are classes, divide it with `{divide}`"
        return f"{remedy}."

    def __str__(self) -> str:
        classes = {picture.class_folder for picture in self.pictures}
        return f"{self.description} ({len(classes):,} classes, {counted(len(self.pictures), 'picture')})"


def recognize(root: Path, *, labels: Path | None = None, folders: Mapping[str, str] | None = None) -> Layout | None:
    """Recognizes a layout other than ours, which is train/<class>/<picture> or <class>/<picture>.

    It knows CIFAR's Python batches, pictures beside a CSV file that names their classes (Kaggle), pictures with the
    class in the file name (Oxford-IIIT Pet, Dogs vs. Cats), class folders beside annotations or inside other folders
    (Stanford Dogs), and splits under other names.

    Args:
        root: The folder.
        labels: The CSV file that names the classes, instead of searching for it.
        folders: Split -> its folder below `root`, for splits with other names.

    Returns:
        The layout; None for ours, or if none is recognized.

    Raises:
        DatasetError: `labels` or `folders` names something that is missing or does not fit.
        OSError: A folder cannot be listed.
    """
    if labels is not None:
        return _from_table(root, [labels], asked=True)
    if folders:
        return _named_splits(root, folders)
    return _recognize(root, _DEEPEST)


def fault(root: Path) -> Fault | None:
    """The fault that a folder has another layout; None for ours, or if none is recognized.

    Raises:
        DatasetError: A table names a class that cannot be the name of a folder.
    """
    try:
        layout = recognize(root)
    except OSError:  # listing names what cannot be listed
        return None
    if layout is None:
        return None
    left_out = f" Ignored: {', '.join(layout.left_out)}." if layout.left_out else ""
    return Fault("layout", f"{root} has another layout: {layout}.{left_out}", (root,), layout.remedy(root))


def split_named_otherwise(listing: Listing) -> tuple[str, Path] | None:
    """The only missing split, and the only folder beside the splits that contains train's classes."""
    missing = [split for split in split_folders.SPLITS if split not in listing.splits]
    beside = [left_out.path for left_out in listing.left_out if left_out.kind == "outside-splits"]
    alike = [folder for folder in beside if folder.is_dir() and _has_classes_of(folder, listing.classes)]
    return (missing[0], alike[0]) if len(missing) == len(alike) == 1 else None


def _has_classes_of(folder: Path, classes: Collection[str]) -> bool:
    try:
        inside = [name for name, paths in _classes_in(folder).items() if paths]
    except OSError:  # listing names what cannot be listed
        return False
    return bool(inside) and set(inside) <= set(classes)


def _recognize(root: Path, depth: int) -> Layout | None:
    if split_folders.is_divided(root):
        return None
    layout = _cifar(root) or _from_table(root, _tables(root)) or _flat(root) or _other_splits(root)
    if layout or not depth:
        return layout
    return _inside(root, depth)


def _cifar(root: Path) -> Layout | None:
    batches = cifar.find(root)
    if batches is None:
        return None
    names = root / batches.names_file
    pictures = tuple(
        SourcePicture(picture.split, _class_folder(picture.class_name, names), picture.name, picture.png)
        for picture in batches.pictures()
    )
    return Layout(f"{batches.name}'s Python batches", pictures)


# Pictures beside a table


def _tables(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.suffix.lower() in (".csv", ".tsv") and path.is_file())


def _from_table(root: Path, tables: Sequence[Path], *, asked: bool = False) -> Layout | None:
    """Pictures whose classes are listed in tables; there may be one table per split."""
    if not tables:
        return None
    index = _Index(root)
    read = {table: found for table in tables if (found := _read_table(table, index))}
    if not read:
        if asked:
            raise DatasetError(
                f"{tables[0]} does not list the pictures in {root} with their classes. It needs a header row, a column "
                "with file names, with or without directory and suffix, and a column called label, class or breed."
            )
        return None
    split_of = {table: split_folders.split_of(table.stem) for table in read}
    each_is_a_split = len(read) > 1 and "train" in split_of.values()
    classes: dict[Path, tuple[str | None, str]] = {}
    for table, rows in read.items():
        for split, path, name in rows:
            classes[path] = split or (split_of[table] if each_is_a_split else None), _class_folder(name, table)
    pictures = _named((split, class_folder, path) for path, (split, class_folder) in sorted(classes.items()))
    named = " and ".join(table.name for table in read)
    missing = len(index.paths) - len(classes)
    left_out = (f"{counted(missing, 'picture')} without a class in {named}",) if missing else ()
    return Layout(f"pictures with their classes in {named}", pictures, left_out=left_out)


class _Index:
    """The pictures below a folder, by the names that a table may use for them."""

    def __init__(self, root: Path) -> None:
        self.paths = sorted(_all_pictures(root))
        self._by_name: dict[str, Path | None] = {}
        for path in self.paths:
            relative = path.relative_to(root)
            for name in {relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem}:
                self._by_name[name] = None if name in self._by_name else path  # None: more than one

    def find(self, value: str) -> Path | None:
        """The picture that a table's value names; None if it names none, or more than one."""
        value = value.strip().replace("\\", "/").removeprefix("./")
        parts = value.split("/")
        for start in range(len(parts)):
            found = self._by_name.get("/".join(parts[start:]))
            if found:
                return found
        return None


def _read_table(table: Path, index: _Index) -> list[tuple[str | None, Path, str]] | None:
    """The rows of a table as (split, picture, class); None if the table has another purpose."""
    try:
        if table.stat().st_size > _LARGEST_TABLE:
            return None
        with table.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            sample = file.read(1 << 16)
            file.seek(0)
            reader = csv.DictReader(file, delimiter=max(",;\t", key=sample.split("\n", 1)[0].count))
            rows = [{key: value or "" for key, value in row.items() if key} for row in reader]
    except (OSError, csv.Error):
        return None
    columns = _columns(rows, index)
    if columns is None:
        return None
    picture_column, class_column, split_column = columns
    found = []
    for row in rows:
        path = index.find(row[picture_column])
        if path is not None and row[class_column].strip():
            split = split_folders.split_of(row[split_column].strip()) if split_column else None
            found.append((split, path, row[class_column].strip()))
    return found


def _columns(rows: Sequence[Mapping[str, str]], index: _Index) -> tuple[str, str, str | None] | None:
    """The columns with the picture, its class and, if there is one, its split."""
    judged = rows[:_ROWS_TO_JUDGE]
    if not judged:
        return None
    names = list(judged[0])

    def share(column: str, fits: Callable[[str], object]) -> float:
        return sum(bool(fits(row.get(column, ""))) for row in judged) / len(judged)

    shares = {column: share(column, index.find) for column in names}
    picture_column = max(names, key=lambda column: shares[column])
    # Tables often also list pictures of the test split, which are elsewhere.
    if shares[picture_column] < 0.5:
        return None
    others = [column for column in names if column != picture_column]
    splits = [
        column
        for column in others
        if re.sub(r"[\W_]", "", column.casefold()) in _SPLIT_COLUMNS
        and share(column, lambda value: split_folders.split_of(value.strip())) == 1
    ]
    others = [column for column in others if column not in splits]
    called = [column for column in others if re.sub(r"[\W_]", "", column.casefold()) in _CLASS_COLUMNS]
    candidates = called or others
    # A name is better than a number.
    candidates.sort(key=lambda column: all(row[column].strip().isdecimal() for row in judged))
    if not candidates or (not called and len(candidates) > 1):
        return None
    return picture_column, candidates[0], splits[0] if splits else None


# Pictures with their class in the file's name


def _flat(root: Path) -> Layout | None:
    """Pictures directly in a folder, or in the folders of splits, named by a class and a number."""
    below = {folder: _split_in(folder.name) for folder in split_folders.plain_folders(root)}
    found: list[tuple[str | None, str, Path]] = []
    for folder in [root, *(folder for folder, split in below.items() if split)]:
        pictures = _direct_pictures(folder)
        named = [(match["name"], path) for path in pictures if (match := _NAME_AND_NUMBER.match(path.stem))]
        classes = Counter(name for name, _ in named)
        if len(named) >= _NEARLY_ALL * len(pictures) and 1 < len(classes) <= len(named) / 2:
            found += ((below.get(folder), name, path) for name, path in named)
    if not found:
        return None
    listed = _listed_splits(root)
    if sum(path.stem in listed for *_, path in found) >= _NEARLY_ALL * len(found):
        found = [(listed[path.stem], name, path) for _, name, path in found if path.stem in listed]
    elif not any(split == "train" for split, *_ in found):
        found = [(None, name, path) for _, name, path in found]
    rows = ((split, _class_folder(name, path), path) for split, name, path in found)
    return Layout("pictures in one folder, the class in each file's name", _named(rows))


def _listed_splits(root: Path) -> dict[str, str]:
    """Picture -> split, from text files with names: annotations/trainval.txt and test.txt of Oxford-IIIT Pet."""
    found: dict[str, str] = {}
    # When recursing into the folder of pictures, the annotations are beside it.
    for folder in (root, root / "annotations", root.parent / "annotations"):
        for name, split in (("trainval", "train"), ("train", "train"), ("val", "valid"), ("test", "test")):
            path = folder / f"{name}.txt"
            if path.is_file():
                for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                    words = line.split()
                    if words:
                        found[words[0]] = split
    return found


# Folders of classes under other names, or further in


def _other_splits(root: Path) -> Layout | None:
    """Folders that contain the same classes are splits, whatever their names."""
    classes = {
        folder: {name for name, paths in inside.items() if paths}
        for folder in split_folders.plain_folders(root)
        if (inside := _classes_in(_unwrapped(folder)))
    }
    classes = {folder: names for folder, names in classes.items() if len(names) > 1}
    if len(classes) < 2:
        return None
    largest = max(classes.values(), key=len)
    if any(len(names & largest) * 2 < len(names) for names in classes.values()):
        return None
    sizes = {folder: sum(map(len, _classes_in(_unwrapped(folder)).values())) for folder in classes}
    by_name = {folder: _split_in(folder.name) for folder in classes}
    if None not in by_name.values() and len(set(by_name.values())) == len(by_name) and "train" in by_name.values():
        return _splits({split: folder for folder, split in by_name.items() if split})
    # The names do not tell which is which: the largest is probably train, but the user must confirm it.
    guessed = dict(zip(("train", "test", "valid"), sorted(sizes, key=lambda folder: -sizes[folder]), strict=False))
    return replace(_splits(guessed), guessed={split: folder.name for split, folder in guessed.items()})


def _split_in(name: str) -> str | None:
    """The split that a folder's name contains, as in "seg_train" or "images-test"."""
    words = {split_folders.split_of(word) for word in re.split(r"[\W_]+", name)} - {None}
    return next(iter(words)) if len(words) == 1 else None


def _named_splits(root: Path, folders: Mapping[str, str]) -> Layout:
    paths = {split: root / name for split, name in folders.items()}
    for split, path in paths.items():
        if not path.is_dir():
            raise DatasetError(f"{path}, the {split} split's folder, does not exist")
        if not any(_classes_in(_unwrapped(path)).values()):
            raise DatasetError(f"{path} has no class folders with pictures; expected <class>/<picture>")
    if "train" not in paths:
        raise DatasetError("name the folder of the train split as well: it defines the classes")
    return _splits(paths)


def _splits(folders: Mapping[str, Path]) -> Layout:
    rows = (
        (split, name, path)
        for split, folder in folders.items()
        for name, paths in _classes_in(_unwrapped(folder)).items()
        for path in paths
    )
    named = ", ".join(f"{folder.name} for {split}" for split, folder in folders.items())
    return Layout(f"splits with other names: {named}", _named(rows))


def _unwrapped(folder: Path) -> Path:
    """The folder itself, or its only sub-folder if that contains everything (seg_train/seg_train/<class>)."""
    inside = split_folders.plain_folders(folder)
    wraps = len(inside) == 1 and len([name for name, paths in _classes_in(inside[0]).items() if paths]) > 1
    return inside[0] if wraps else folder


def _inside(root: Path, depth: int) -> Layout | None:
    """A layout in the only folder that contains pictures, beside folders of annotations or lists."""
    below = split_folders.plain_folders(root)
    holding = [folder for folder in below if next(_all_pictures(folder), None)] or below
    if len(holding) != 1:
        return None
    folder = holding[0]
    if split_folders.is_divided(folder):
        return None  # from_folder names it
    deeper = _recognize(folder, depth - 1)
    if deeper is not None:
        return deeper
    classes = {name: paths for name, paths in _classes_in(folder).items() if paths}
    if len(classes) < 2:
        return None
    rows = ((None, name, path) for name, paths in classes.items() for path in paths)
    beside = " and ".join(other.name for other in below if other != folder)
    description = f"class folders in {folder.name}" + (f", beside {beside}" if beside else "")
    return Layout(description, _named(rows))


# Helpers


def _classes_in(folder: Path) -> Mapping[str, Sequence[Path]]:
    return list_splits({UNSPLIT: folder}).splits[UNSPLIT]


def _direct_pictures(folder: Path) -> list[Path]:
    """The pictures directly in a folder, if its sub-folders contain none."""
    listing = list_splits({UNSPLIT: folder})
    if any(listing.splits[UNSPLIT].values()):
        return []
    return [left_out.path for left_out in listing.left_out if left_out.kind == "outside-class"]


def _all_pictures(folder: Path) -> Iterator[Path]:
    listing = list_splits({UNSPLIT: folder})
    yield from (path for *_, path in listing.pictures())
    yield from (left_out.path for left_out in listing.left_out if left_out.kind == "outside-class")


def _class_folder(name: str, source: Path) -> str:
    """The folder of a class, checked: a table is not trusted, and its names become folders."""
    if (
        not name.strip()
        or name.startswith(".")
        or "/" in name
        or "\\" in name
        or not name.isprintable()
        or len(name) > 200
    ):
        raise DatasetError(f"{source.name} names the class {name[:60]!r}, which cannot be a folder's name; rename it")
    return name


def _named(rows: Iterable[tuple[str | None, str, Path]]) -> tuple[SourcePicture, ...]:
    """Pictures under their file names; if a class has several of a name, the later ones get a number."""
    taken: set[tuple[str | None, str, str]] = set()
    pictures = []
    for split, class_folder, path in rows:
        names = itertools.chain([path.name], (f"{path.stem}-{number}{path.suffix}" for number in itertools.count(2)))
        name = next(name for name in names if (split, class_folder, name) not in taken)
        taken.add((split, class_folder, name))
        pictures.append(SourcePicture(split, class_folder, name, path))
    return tuple(pictures)
