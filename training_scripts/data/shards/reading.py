"""Lists the splits of a data set in shards."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from training_scripts.data.shards import labels, parquet_shard, tar_shard
from training_scripts.data.shards.files import PARQUET, ShardFile
from training_scripts.data.shards.labels import Label, LabelError
from training_scripts.data.shards.rows import IndexedShard
from training_scripts.data.shards.split import Part, ShardSplit

# Files on S3 answer slowly; a few at a time hide that.
_AT_A_TIME = 4
# With more faults than this, the shard is of another kind, and a list of all its rows would help nobody.
_MOST_FAULTS = 100


@dataclass(frozen=True)
class _Indexed:
    file: ShardFile
    content: IndexedShard


def read(
    splits: Mapping[str, Sequence[ShardFile]], folders: Sequence[Path], report: Callable[[str, str], object]
) -> dict[str, ShardSplit]:
    """Lists the pictures of shards.

    Args:
        splits: Split -> its shards.
        folders: Where a file with class names may be.
        report: Called with the path and the reason for whatever cannot be read.

    Returns:
        Split -> its pictures. Its classes are all in the file of class names, or those that the shards state, or else
        those of its labels.
    """
    stated = _class_file(folders, report)
    indexed = {split: _index(files, report) for split, files in splits.items()}
    contents = [one for each in indexed.values() for one in each]
    if _are_captioned(contents, report):
        return {split: ShardSplit((), ()) for split in splits}
    named = stated or _stated_by_shards(contents, report)
    return {split: _split(each, named, report) for split, each in indexed.items()}


def index(path: str) -> IndexedShard:
    """Lists the pictures of one shard.

    Raises:
        OSError: It cannot be read, or is not what its name says.
    """
    kind = parquet_shard if path.lower().endswith(PARQUET) else tar_shard
    content: IndexedShard = kind.index(path)
    return content


def _class_file(folders: Sequence[Path], report: Callable[[str, str], object]) -> tuple[str, ...]:
    try:
        found = labels.read_class_file(folders)
    except (LabelError, ValueError, OSError) as error:
        place = next(folder / name for folder in folders for name in labels.CLASS_FILES if (folder / name).is_file())
        report(str(place), getattr(error, "strerror", None) or str(error))
        return ()
    return found[1] if found else ()


def _index(files: Sequence[ShardFile], report: Callable[[str, str], object]) -> list[_Indexed]:
    def content_or_error(file: ShardFile) -> IndexedShard | OSError:
        try:
            return index(str(file.path))
        except OSError as error:
            return error

    found = []
    with ThreadPoolExecutor(min(_AT_A_TIME, max(1, len(files)))) as pool:
        for file, content in zip(files, pool.map(content_or_error, files), strict=True):
            if isinstance(content, OSError):
                report(str(file.path), content.strerror or str(content))
                continue
            for fault in content.faults[:_MOST_FAULTS]:
                report(f"{file.path}/{fault.name}", fault.reason)
            if len(content.faults) > _MOST_FAULTS:
                report(str(file.path), f"{len(content.faults) - _MOST_FAULTS} more rows have such faults")
            found.append(_Indexed(file, content))
    return found


def _are_captioned(shards: Sequence[_Indexed], report: Callable[[str, str], object]) -> bool:
    """Whether the labels are captions, which is reported once for each folder of shards."""
    texts = sum(one.content.texts for one in shards)
    reason = texts and labels.captions([label for one in shards for label in one.content.labels], texts)
    if reason:
        for first in {one.file.folder: one.file for one in reversed(shards)}.values():
            report(str(first.path), reason)
    return bool(reason)


def _stated_by_shards(shards: Sequence[_Indexed], report: Callable[[str, str], object]) -> tuple[str, ...]:
    stating = [one for one in shards if one.content.class_names]
    for one in stating[1:]:
        if one.content.class_names != stating[0].content.class_names:
            report(str(one.file.path), f"its class names differ from those of {stating[0].file.path}")
            break
    return stating[0].content.class_names if stating else ()


def _split(shards: Sequence[_Indexed], named: tuple[str, ...], report: Callable[[str, str], object]) -> ShardSplit:
    found = labels.order(label for one in shards for label in one.content.labels)
    classes = named or tuple(str(label) for label in found)
    code = _codes(found, classes, bool(named))
    parts = []
    for one in shards:
        codes = array("i", (code.get(label, -1) for label in one.content.labels))
        part = Part(one.file.name, one.content.shard, one.content.names, codes)
        if -1 in codes:
            wrong = [row for row, value in enumerate(codes) if value < 0]
            for row in wrong[:_MOST_FAULTS]:
                reason = f"its label is {one.content.labels[row]!r}, which is not one of the {len(classes)} class names"
                report(f"{one.file.path}/{one.content.names[row]}", reason)
            part = part.kept(_is_known(codes))
        parts.append(part)
    return ShardSplit(classes, parts)


def _is_known(codes: array[int]) -> Callable[[int], bool]:
    return lambda row: codes[row] >= 0


def _codes(found: Sequence[Label], classes: Sequence[str], named: bool) -> dict[Label, int]:
    """Label -> place of its class; labels that are not a class are left out."""
    place = {name: number for number, name in enumerate(classes)}
    codes: dict[Label, int] = {}
    for label in found:
        if isinstance(label, str) or not named:
            number = place.get(str(label), -1)
        else:
            number = label if label < len(classes) else -1
        if number >= 0:
            codes[label] = number
    return codes
