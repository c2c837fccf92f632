"""Lists an image-folder data set, with a reason for every path that is left out; everything else uses this list."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

from training_scripts.data import formats, ignore_list, signatures, split_folders
from training_scripts.data.class_folders import ClassPictures, FolderSamples
from training_scripts.data.packed_names import PackedNames
from training_scripts.data.samples import Samples
from training_scripts.data.shards import files as shard_files
from training_scripts.data.shards import reading as shard_reading
from training_scripts.data.shards.split import ShardSplit

# The one split of a plain folder of classes.
UNSPLIT = "unsplit"

# Files with these suffixes count as pictures. If their content is anything else, they are broken pictures, which are
# counted and reported, not foreign files, which are left out. Other files are recognized by their first bytes.
PICTURE_SUFFIXES = formats.SUFFIXES
# Cameras' raw files begin like TIFF files and contain a thumbnail that Pillow would open.
_RAW_SUFFIXES = frozenset(
    {".3fr", ".arw", ".cr2", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".nef", ".nrw", ".pef", ".sr2", ".srw"}
)

Kind = Literal[
    "hidden",
    "system-folder",
    "not-a-picture",
    "unread-format",
    "outside-class",
    "outside-splits",
    "listed-already",
    "ignored",
]


# Class folder -> its pictures.
SplitPictures = Mapping[str, ClassPictures] | ShardSplit


class Names(NamedTuple):
    """What one process of a job lists: split -> class folder -> paths of pictures below it, and its ignore list."""

    splits: Mapping[str, Mapping[str, PackedNames] | ShardSplit]
    ignore_list: Mapping[str, str]
    ignored_nothing: tuple[str, ...]


@dataclass(frozen=True)
class LeftOut:
    """A path below a data set's folder that is not listed.

    Attributes:
        path: A file, or a folder with everything below it.
        kind: Why, as a word.
        reason: Why, to follow the path in a sentence: "is hidden".
    """

    path: Path
    kind: Kind
    reason: str


@dataclass(frozen=True)
class Unreadable:
    """A path that belongs to a data set and cannot be listed or read, and why."""

    path: Path
    reason: str

    @classmethod
    def of(cls, error: OSError, path: Path | str | None = None) -> Unreadable:
        """Describes an error for a path; default: the path that the error names. Errors from reads name none."""
        return cls(Path(os.fsdecode(path or error.filename)), error.strerror or type(error).__name__)


@dataclass(frozen=True)
class Listing:
    """The contents of a data set's folder.

    Attributes:
        folders: Split -> its folders; `UNSPLIT` -> the data set's folder if it has no splits. More than one folder
            for a split is a mistake; the pictures of the first one are listed.
        splits: Split -> class folder -> its pictures, all in a fixed order.
        left_out: Every other path, with the reason.
        unreadable: What could not be listed or read.
        ignore_list: The data set's ignore list: path -> reason. `splits` has none of its pictures.
        ignored_nothing: The paths in it that name no picture.
    """

    folders: Mapping[str, tuple[Path, ...]]
    splits: Mapping[str, SplitPictures]
    left_out: tuple[LeftOut, ...]
    unreadable: tuple[Unreadable, ...]
    ignore_list: Mapping[str, str] = field(default_factory=dict)
    ignored_nothing: tuple[str, ...] = ()

    @property
    def taught(self) -> str:
        """The split that decides the classes: "train", or `UNSPLIT`."""
        return UNSPLIT if UNSPLIT in self.splits else "train"

    @property
    def classes(self) -> SplitPictures:
        """The class folders and pictures of the split that decides the classes; empty if there is none."""
        return self.splits.get(self.taught, {})

    @property
    def in_shards(self) -> bool:
        """Whether its pictures are in shards, and not in class folders."""
        return any(isinstance(classes, ShardSplit) for classes in self.splits.values())

    def samples(self) -> dict[str, Samples]:
        """Split -> its pictures; the class indices count the classes of the split itself."""
        return {
            split: samples_of(classes, {name: place for place, name in enumerate(classes)})
            for split, classes in self.splits.items()
        }

    def pictures(self) -> Iterator[tuple[str, str, Path]]:
        """Every picture, as (split, class folder, path)."""
        for split, classes in self.splits.items():
            for class_folder, paths in classes.items():
                for path in paths:
                    yield split, class_folder, path


def samples_of(classes: SplitPictures, index: Mapping[str, int]) -> Samples:
    """The pictures of a split, in the order in which they are best read.

    Args:
        classes: The split.
        index: Class folder -> its class index.
    """
    return classes.samples(index) if isinstance(classes, ShardSplit) else FolderSamples(classes, index)


def list_data_set(root: Path) -> Listing:
    """Lists a data set: train/<class>/<picture>, likewise valid and test; or, without splits, <class>/<picture>.

    It refuses nothing and decodes no picture. `faults.find` lists what training would refuse.

    Args:
        root: The data set's folder. Links to folders are followed.

    Returns:
        The listing. A folder that cannot be listed is among the unreadable paths.
    """
    lister = _Lister()
    if found := shard_files.find(root):
        return lister.list_shards(root, found)
    try:
        layout = split_folders.locate(root)
    except OSError as error:
        lister.unreadable.append(Unreadable.of(error))
        return lister.listing({UNSPLIT: (root,)}, {UNSPLIT: {}})
    if not layout.folders:
        return lister.list_splits({UNSPLIT: (root,)})
    for path in layout.others:
        if split_folders.is_foreign(path.name):
            lister.leave_out_foreign(path)
        elif path.name != ignore_list.FILE_NAME:
            lister.leave_out(path, "outside-splits", "is not below train, valid or test")
    return lister.list_splits(layout.folders)


def list_splits(folders: Mapping[str, Path]) -> Listing:
    """Lists the split folders of a data set, which may lie anywhere.

    Args:
        folders: Split -> its folder; `UNSPLIT` -> a plain folder of classes.
    """
    return _Lister().list_splits({split: (folder,) for split, folder in folders.items()})


def list_whole(folders: Mapping[str, Path]) -> Listing:
    """As `list_splits`, with the pictures of the ignore list, too."""
    return _Lister().list_whole({split: (folder,) for split, folder in folders.items()})


def with_others(listed: Listing, gather: Callable[[Names], list[Names]]) -> Listing:
    """A listing with the pictures that only other instances of a job have; their files do not exist here.

    Args:
        listed: The pictures of this instance.
        gather: Returns the names of all processes, given those of this one.
    """
    names = Names(
        {
            split: classes
            if isinstance(classes, ShardSplit)
            else {name: pictures.names for name, pictures in classes.items()}
            for split, classes in listed.splits.items()
        },
        listed.ignore_list,
        listed.ignored_nothing,
    )
    everybody = gather(names)
    if all(others == names for others in everybody):
        return listed
    root = next(iter(listed.folders.values()))[0].parent
    every = [others.splits for others in everybody]
    folders = {split: listed.folders.get(split, (root / split,)) for others in every for split in others}
    # Distributed by key, the file with the class names is on one instance.
    of_shards = [classes for others in every for classes in others.values() if isinstance(classes, ShardSplit)]
    named = next((classes.classes for classes in of_shards if not classes.is_numbered), ())
    splits = {
        split: _merged(folders[split][0], [others[split] for others in every if split in others], named)
        for split in folders
    }
    # The list may be on one instance, and its pictures on others.
    reasons = {path: reason for others in everybody for path, reason in others.ignore_list.items()}
    merged = without_ignored(replace(listed, folders=folders, splits=splits, ignore_list=reasons))
    found = {path for others in everybody for path in others.ignore_list if path not in others.ignored_nothing}
    return replace(merged, ignored_nothing=tuple(path for path in merged.ignored_nothing if path not in found))


def _merged(
    folder: Path, splits: Sequence[Mapping[str, PackedNames] | ShardSplit], named: Sequence[str]
) -> SplitPictures:
    """A split with the pictures of all processes."""
    shards = [split.with_names(named) for split in splits if isinstance(split, ShardSplit)]
    if shards:
        return ShardSplit.merged(shards, folder)
    held = [split for split in splits if not isinstance(split, ShardSplit)]
    return {
        name: ClassPictures(str(folder / name), _union(split.get(name, ()) for split in held))
        for name in sorted({name for split in held for name in split})
    }


def _union(names: Iterable[Sequence[str]]) -> list[str]:
    """The pictures of a class that the processes have, as one process would list them."""
    return sorted({inside for each in names for inside in each}, key=_place)


def without_ignored(listed: Listing) -> Listing:
    """A listing without the pictures of its ignore list, which it leaves out."""
    if not listed.ignore_list:
        return listed

    names = (
        ("" if split == UNSPLIT else split, name)
        for split, classes in listed.splits.items()
        for name in samples_of(classes, dict.fromkeys(classes, 0)).names()
    )
    found, nothing = ignore_list.matching(listed.ignore_list, names)
    left_out = list(listed.left_out)
    splits: dict[str, SplitPictures] = {}
    for split, classes in listed.splits.items():
        prefix = "" if split == UNSPLIT else f"{split}/"
        of_split = {name[len(prefix) :]: reason for name, reason in found.items() if name.startswith(prefix)}
        for sample in samples_of(classes, dict.fromkeys(classes, 0)) if of_split else ():
            if sample.name in of_split:
                why = ": ".join(filter(None, (f"is in {ignore_list.FILE_NAME}", of_split[sample.name])))
                left_out.append(LeftOut(sample.path, "ignored", why))
        splits[split] = _without(classes, of_split)
    return replace(listed, splits=splits, left_out=tuple(left_out), ignored_nothing=nothing)


def _without(classes: SplitPictures, ignored: Mapping[str, str]) -> SplitPictures:
    if isinstance(classes, ShardSplit):
        return classes.without(ignored)
    return {
        name: ClassPictures(pictures.folder, [each for each in pictures.names if f"{name}/{each}" not in ignored])
        for name, pictures in classes.items()
    }


def _place(inside: str) -> list[tuple[bool, str]]:
    """The place of a picture in its class: files come before folders, as `_Lister` lists them."""
    *folders, file = inside.split("/")
    return [*((True, folder) for folder in folders), (False, file)]


_name = attrgetter("name")


class _Entries(NamedTuple):
    """The contents of a folder: folders by name, files that are called as pictures are, in no order, and others."""

    folders: list[os.DirEntry[str]]
    pictures: list[os.DirEntry[str]]
    others: list[os.DirEntry[str]]


@dataclass
class _Lister:
    left_out: list[LeftOut] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)

    def list_splits(self, folders: Mapping[str, tuple[Path, ...]]) -> Listing:
        return without_ignored(self.list_whole(folders))

    def list_whole(self, folders: Mapping[str, tuple[Path, ...]]) -> Listing:
        """The listing with the pictures of the ignore list, which it contains."""
        shards = {split: shard_files.of_split(paths[0], split) for split, paths in folders.items()}
        if any(shards.values()):
            return self._of_shards(folders, shards)
        splits = {split: self._classes(paths[0]) for split, paths in folders.items()}
        roots = {paths[0] if split == UNSPLIT else paths[0].parent for split, paths in folders.items()}
        reasons = {path: reason for root in sorted(roots) for path, reason in self._ignore_list(root).items()}
        return replace(self.listing(folders, splits), ignore_list=reasons)

    def list_shards(self, root: Path, found: Mapping[str | None, Sequence[shard_files.ShardFile]]) -> Listing:
        """Lists a data set's folder of shards."""
        splits = shard_files.split_folders_of(found)
        if not splits:
            return without_ignored(self._of_shards({UNSPLIT: (root,)}, {UNSPLIT: found[None]}))
        for shard in found.get(None, ()):
            self.leave_out(shard.path, "outside-splits", "does not state its split")
        return without_ignored(
            self._of_shards(
                {split: (folder,) for split, folder in splits.items()}, {split: found[split] for split in splits}
            )
        )

    def _of_shards(
        self, folders: Mapping[str, tuple[Path, ...]], shards: Mapping[str, Sequence[shard_files.ShardFile]]
    ) -> Listing:
        """The listing of shards. A file with class names may lie in the folders or beside the shards."""
        inside = [paths[0] for paths in folders.values()]
        # Where each split has a folder, files for all of them are above.
        above = [] if UNSPLIT in folders or len(set(inside)) < len(inside) else [folder.parent for folder in inside]
        roots = dict.fromkeys([*inside, *(file.path.parent for files in shards.values() for file in files), *above])
        splits = shard_reading.read(
            shards,
            list(roots),
            lambda path, reason: self.unreadable.append(Unreadable(Path(path), reason)),
        )
        lists = [root for root in roots if (root / ignore_list.FILE_NAME).is_file()]
        reasons = {path: reason for root in lists[:1] for path, reason in self._ignore_list(root).items()}
        return replace(self.listing(folders, splits), ignore_list=reasons)

    def _ignore_list(self, root: Path) -> dict[str, str]:
        """The ignore list in a data set's folder. If it cannot be read, nobody knows what to ignore: a fault."""
        try:
            return ignore_list.read(root)
        except OSError as error:
            self.unreadable.append(Unreadable.of(error, root / ignore_list.FILE_NAME))
            return {}

    def listing(self, folders: Mapping[str, tuple[Path, ...]], splits: Mapping[str, SplitPictures]) -> Listing:
        return Listing(folders, splits, tuple(self.left_out), tuple(self.unreadable))

    def leave_out(self, path: Path | str, kind: Kind, reason: str) -> None:
        self.left_out.append(LeftOut(Path(path), kind, reason))

    def leave_out_foreign(self, path: Path | str) -> None:
        """Leaves out a path whose name shows that it is not part of the data."""
        name = os.path.basename(path)  # noqa: PTH119 - a Path for each file costs more
        if split_folders.is_system_folder(name):
            self.leave_out(path, "system-folder", "is a folder that the operating or storage system created")
        else:
            self.leave_out(path, "hidden", "is macOS's metadata" if name.startswith("._") else "is hidden")

    def _classes(self, split_folder: Path) -> dict[str, ClassPictures]:
        entries = self._entries(str(split_folder))
        for entry in sorted([*entries.pictures, *entries.others], key=_name):
            if entry.name != ignore_list.FILE_NAME and self._is_picture(entry):
                self.leave_out(entry.path, "outside-class", "is not in a class folder")
        return {entry.name: self._class(entry.path) for entry in entries.folders}

    def _class(self, folder: str) -> ClassPictures:
        return ClassPictures(folder, list(self._pictures(folder, "", set())))

    def _pictures(self, folder: str, prefix: str, listed: set[tuple[int, int]]) -> Iterator[str]:
        """The pictures of a class: those of a folder first, then those of the folders below it."""
        if not self._is_new(folder, listed):
            return
        entries = self._entries(folder)
        # Most are ordinary files with the suffix of a picture, and may be read; the others are looked at one by one.
        denied = [entry for entry in entries.pictures if not os.access(entry.path, os.R_OK)]
        names = {entry.name for entry in entries.pictures} if denied or entries.others else None
        if names is None:
            yield from sorted([prefix + entry.name for entry in entries.pictures])
        else:
            names.difference_update(entry.name for entry in denied)
            names.update(
                entry.name for entry in sorted([*denied, *entries.others], key=_name) if self._is_picture(entry)
            )
            yield from (prefix + name for name in sorted(names))
        for entry in entries.folders:
            yield from self._pictures(entry.path, f"{prefix}{entry.name}/", listed)

    def _is_new(self, folder: str, listed: set[tuple[int, int]]) -> bool:
        """Whether a folder is new: links may lead to a parent or to a listed folder, and each folder counts once."""
        try:
            status = os.stat(folder)  # noqa: PTH116 - likewise
        except OSError as error:
            self.unreadable.append(Unreadable.of(error))
            return False
        place = status.st_dev, status.st_ino
        # Some file systems have no inode numbers.
        if status.st_ino and place in listed:
            self.leave_out(folder, "listed-already", "leads to a folder that is already listed")
            return False
        listed.add(place)
        return True

    def _entries(self, folder: str) -> _Entries:
        """The contents of a folder, without broken links and entries whose names are left out."""
        pictures: list[os.DirEntry[str]] = []
        odd: list[os.DirEntry[str]] = []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    name = entry.name
                    is_plain = (
                        name[name.rfind(".") :].lower() in PICTURE_SUFFIXES
                        and name[0] != "."
                        and entry.is_file(follow_symlinks=False)
                    )
                    (pictures if is_plain else odd).append(entry)
        except OSError as error:
            self.unreadable.append(Unreadable.of(error))
            return _Entries([], [], [])
        folders, others = [], []
        for entry in sorted(odd, key=_name):
            if split_folders.is_foreign(entry.name):
                self.leave_out_foreign(entry.path)
            elif split_folders.is_folder(entry):
                folders.append(entry)
            elif problem := _broken_link(entry):
                self.unreadable.append(Unreadable(Path(entry.path), problem))
            else:
                others.append(entry)
        return _Entries(folders, pictures, others)

    def _is_picture(self, entry: os.DirEntry[str]) -> bool:
        if not entry.is_file():
            self.leave_out(entry.path, "not-a-picture", "is not a regular file")
            return False
        suffix = os.path.splitext(entry.name)[1].lower()  # noqa: PTH122 - likewise
        if suffix in PICTURE_SUFFIXES:
            if not os.access(entry.path, os.R_OK):
                self.unreadable.append(Unreadable(Path(entry.path), "Permission denied"))
                return False
            return True
        try:
            with open(entry.path, "rb", buffering=0) as file:  # noqa: PTH123 - likewise
                found = signatures.format_of(file.read(signatures.LENGTH))
        except OSError as error:
            self.unreadable.append(Unreadable.of(error, entry.path))
            return False
        if found in formats.READ_FORMATS and suffix not in _RAW_SUFFIXES:
            return True
        if found:
            kind = "a camera's raw file" if suffix in _RAW_SUFFIXES else f"a {found} picture"
            self.leave_out(entry.path, "unread-format", f"is {kind}, which training does not read")
        else:
            self.leave_out(entry.path, "not-a-picture", "is not a picture")
        return False


def _broken_link(entry: os.DirEntry[str]) -> str:
    """Why a link does not lead to a file; empty if it does, or if the path is not a link."""
    if not entry.is_symlink():
        return ""
    try:
        entry.stat()
    except FileNotFoundError:
        return f"it is a link to {os.readlink(entry.path)}, which does not exist"  # noqa: PTH115 - likewise
    except OSError as error:
        return f"it is a link to {os.readlink(entry.path)}: {error.strerror}"  # noqa: PTH115 - likewise
    return ""
