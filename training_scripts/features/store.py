"""Computes a backbone's features of a data set once, and reads them back."""

# ruff: noqa: PLC0415 - torch and NumPy load only when features are made or read

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts._util.atomic import write_atomically
from training_scripts._util.locking import exclusive
from training_scripts._util.relative_names import is_inside
from training_scripts.data import image_folder
from training_scripts.data.image_folder import DataError, DataSet
from training_scripts.data.preprocessing import PLAIN, Preprocessing, View, format_views, parse_views
from training_scripts.data.sharing import Division
from training_scripts.features import parts as feature_parts
from training_scripts.features.extraction import FeaturePass, Progress
from training_scripts.features.portions import PARTS, Work, part_path, portions
from training_scripts.models import backbones, folding, state_dicts
from training_scripts.models.spec import BackboneSpec
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.processes import PartDone, Processes
from training_scripts.training.runtime import available_cores, say

if TYPE_CHECKING:
    import numpy as np
    import torch

FORMAT = 1
MANIFEST = "features.json"
PICTURES_FILE = "pictures.json"
BACKBONE_FILE = "backbone.pth"
# The cost of the pass, for reports on the pass and on the jobs that train on its features.
COST_FILE = "feature_pass.json"
_MAX_COST_BYTES = 1 << 20
_KEY_FILE = "key.json"

# Pictures per part: the most that an interruption can lose.
CHUNK = 128

# Decoding takes at most a tenth of the time; two threads hide it behind the network.
_DEFAULT_WORKERS = 2


@dataclass(frozen=True)
class SplitFeatures:
    """Features float32 [n, views, width] (memory-mapped), targets int64 [n], names of the n pictures."""

    features: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class FeatureStore:
    """A finished pass, opened.

    Attributes:
        folder: Its folder.
        classes: Class folders in index order.
        backbone_name: The backbone.
        views: Views of a train picture; the other splits have the plain one.
        preprocessing: The preprocessing of the pictures.
        width: Width of its features.
        fingerprint: The fingerprint of the data set.
        skipped: Pictures that could not be read: "split", "name", "reason" of each.
        sizes: Pictures of each split.
        weights: Name of the weights: pretrained, none, or a file's name; empty in stores that do not record it.
        key: Everything that decides the features; two stores with the same key are equal.
    """

    folder: Path
    classes: tuple[str, ...]
    backbone_name: str
    views: tuple[View, ...]
    preprocessing: Preprocessing
    width: int
    fingerprint: str
    skipped: list[dict[str, str]]
    sizes: Mapping[str, int]
    weights: str
    key: Mapping[str, Any]

    @classmethod
    def open(cls, folder: Path) -> FeatureStore:
        """Opens a finished store; nothing large is read.

        Args:
            folder: A folder that `extract` has written.

        Returns:
            The store.

        Raises:
            DataError: The pass is not finished, or a file is missing or incompletely copied.
        """
        manifest = _read_json(folder / MANIFEST)
        if manifest is None:
            if (folder / PARTS).is_dir():
                raise DataError(
                    f"the features in {folder} are not finished: run the same extraction again; it resumes there."
                )
            raise DataError(f"{folder} contains no features: {MANIFEST} is missing. Run extract_features.py first.")
        key = manifest["key"]
        if key.get("format") != FORMAT:
            raise DataError(
                f"the features in {folder} have format {key.get('format')}, not {FORMAT}: compute them again."
            )
        for name, size in manifest["files"].items():
            there = (folder / name).stat().st_size if (folder / name).is_file() else 0
            if there != size:
                raise DataError(
                    f"{folder / name} has {there} of {size} bytes: copy the features again, or delete the folder "
                    "and compute them again."
                )
        return cls(
            folder=folder,
            classes=tuple(key["classes"]),
            backbone_name=key["backbone"],
            views=parse_views(key["views"]),
            preprocessing=Preprocessing.from_dict(key["preprocessing"]),
            width=key["width"],
            fingerprint=key["fingerprint"],
            skipped=manifest["skipped"],
            sizes=manifest["sizes"],
            weights=manifest.get("weights", ""),
            key=key,
        )

    def has(self, split: str) -> bool:
        """Whether the store has a split ("train", "valid", "test")."""
        return split in self.sizes

    def split(self, name: str) -> SplitFeatures:
        """Maps a split's features into memory.

        Args:
            name: "train" (features of every view), "valid" or "test" (of the plain view).

        Returns:
            Its features, targets and names.

        Raises:
            DataError: The store lacks the split, or a name leads out of the data set.
        """
        import numpy as np

        if not self.has(name):
            raise DataError(f"the features in {self.folder} have no {name} split, only {', '.join(self.sizes)}.")
        listing = json.loads((self.folder / PICTURES_FILE).read_bytes())[name]
        # Pages show the pictures of a data set by these names, and a store may come from somebody else.
        outside = next((each for each in listing["names"] if not is_inside(each)), None)
        if outside is not None:
            raise DataError(f"the features in {self.folder} name a picture outside of the data set: {outside!r}.")
        return SplitFeatures(
            features=np.load(self.folder / f"{name}.npy", mmap_mode="r"),
            targets=np.array(listing["labels"], np.int64),
            names=tuple(listing["names"]),
        )

    def pass_facts(self) -> dict[str, object] | None:
        """The recorded cost of the pass; None if it was not recorded."""
        path = self.folder / COST_FILE
        try:
            found = _read_json(path) if path.stat().st_size <= _MAX_COST_BYTES else None
        except OSError:
            return None
        return found if isinstance(found, dict) else None

    def backbone_state(self) -> dict[str, torch.Tensor]:
        """Loads the backbone's weights as the pass used them."""
        import torch

        state: dict[str, torch.Tensor] = torch.load(self.folder / BACKBONE_FILE, map_location="cpu", weights_only=True)
        return state


def extract(
    dataset: DataSet,
    *,
    backbone_name: str,
    weights: str,
    views: Sequence[View],
    folder: Path,
    batch_size: int = 32,
    workers: int | None = None,
    report: Callable[[str], object] = say,
    check: Callable[[], object] = lambda: None,
    callbacks: Callbacks | None = None,
    processes: Processes | None = None,
) -> FeatureStore:
    """Computes and stores the features of every split, or opens existing ones.

    An interrupted pass resumes where it stopped, and produces the same bytes as an uninterrupted one with the same
    batch size and thread count.

    Args:
        dataset: The pictures.
        backbone_name: As `backbones.spec` takes it.
        weights: As `backbones.create` takes it.
        views: Views of a train picture, from `parse_views`; the other splits get the plain one.
        folder: The folder for the features; it becomes a complete store, and can be copied as it is.
        batch_size: Views that go through the network at a time; from 16 on the speed hardly changes on a CPU.
        workers: Threads that decode; default 2.
        report: Takes one line of log at a time, every two seconds; an exception from it ends the pass, and the
            features computed so far are kept.
        check: Called after every batch, and while another process uses the folder; an exception from it ends the pass
            in the same way.
        callbacks: Called during the pass, if there is one.
        processes: The processes that share the pictures; default: a single one.

    Returns:
        The finished store, opened.

    Raises:
        PartDone: The features are complete, and another process stores them.
        DataError: The folder contains other features, too many pictures are unreadable, or the disk is full.
        BackboneError: The backbone is unknown, or its weights are not available.
    """
    joined = processes or Processes()
    for line in dataset.ignored:
        report(line)
    made = backbones.spec(backbone_name)
    backbone = backbones.create(backbone_name, weights=weights)
    division = Division(dataset, joined)
    fingerprint = image_folder.fingerprint(dataset, is_mine=division.is_mine, gather=joined.gather)
    key = _key(dataset, fingerprint, made, backbone.state_dict(), views)
    with _explaining_full_disk(folder), _alone_in(folder, joined, report, check):
        if joined.from_first((folder / MANIFEST).is_file):
            if not joined.place.is_first:
                raise PartDone
            return _existing(folder, key, report)
        _prepare_parts(folder, key, joined, report)
        recorded = _PassRecord(callbacks or Callbacks(), backbone=made.name, batch_size=batch_size, workers=workers)
        runner = FeaturePass(
            folding.for_inference(backbone),
            made.preprocessing,
            width=made.feature_width,
            batch_size=batch_size,
            workers=workers or _DEFAULT_WORKERS,
            check=check,
            callbacks=callbacks,
        )
        work = Work(folder, joined, list(portions(dataset, views, division, size=CHUNK)), made.feature_width)
        with runner:
            skipped = _compute_parts(dataset, work, runner, report=report, recorded=recorded)
        work.collect()
        if not joined.place.is_first:
            raise PartDone
        _write_backbone(folder, backbone.state_dict())
        recorded.write(folder / COST_FILE, runner)
        _assemble(dataset, folder, key, skipped, weights=Path(weights).name)
        store = FeatureStore.open(folder)
        shutil.rmtree(folder / PARTS, ignore_errors=True)
    for picture in skipped:
        report(f"skipped {picture['split']}/{picture['name']}: {picture['reason']}")
    return store


def _key(
    dataset: DataSet, fingerprint: str, made: BackboneSpec, state: Mapping[str, torch.Tensor], views: Sequence[View]
) -> dict[str, object]:
    return {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "classes": list(dataset.classes),
        "backbone": made.name,
        "weights": state_dicts.digest(state),
        "width": made.feature_width,
        "preprocessing": made.preprocessing.to_dict(),
        "views": format_views(views),
        "chunk": CHUNK,
    }


def _existing(folder: Path, key: Mapping[str, object], report: Callable[[str], object]) -> FeatureStore:
    store = FeatureStore.open(folder)
    other = [name for name in key if store.key.get(name) != key[name]]
    if other:
        raise DataError(
            f"{folder} already contains other features (different: {', '.join(other)}). Use another "
            "folder (for a training job: another CheckpointConfig S3Uri), or delete this one."
        )
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    report(f"features are already in {folder}: nothing to compute")
    return store


@contextlib.contextmanager
def _alone_in(
    folder: Path, processes: Processes, report: Callable[[str], object], check: Callable[[], object]
) -> Iterator[None]:
    """Keeps other jobs out of the folder; the processes of this job, which may share it, work in it together."""
    if not processes.place.is_first:
        yield
        return
    with exclusive(folder, report=report, check=check):
        yield


def _prepare_parts(
    folder: Path, key: Mapping[str, object], processes: Processes, report: Callable[[str], object]
) -> None:
    def prepare() -> None:
        parts = folder / PARTS
        # Compared after a round trip through JSON.
        if parts.is_dir() and _read_json(parts / _KEY_FILE) != json.loads(json.dumps(key)):
            report(
                f"features: {parts} is left from a pass over other data or settings; the features are computed again"
            )
            shutil.rmtree(parts)
        write_atomically(parts / _KEY_FILE, json.dumps(key).encode())

    processes.from_first(prepare)
    if not processes.place.is_first:
        prepare()  # changes nothing if it has the folder of the first process


def _compute_parts(
    dataset: DataSet, work: Work, runner: FeaturePass, *, report: Callable[[str], object], recorded: _PassRecord
) -> list[dict[str, str]]:
    """Computes the missing parts of this process; returns the pictures that no process could read."""
    pictures = sum(len(portion.mine) for portion in work.mine)
    progress = Progress(pictures, sum(len(portion.mine) * len(portion.views) for portion in work.mine), report)
    there: dict[int, dict[int, str]] = {}
    for number, portion in enumerate(work.portions):
        chunk = work.read(portion) if portion.mine else None
        if chunk is not None:
            there[number] = chunk.skipped
    done = [(len(work.portions[number].mine), len(work.portions[number].views)) for number in there]
    progress.resume(sum(count for count, _ in done), sum(count * each for count, each in done))
    _report_beginning(work, sum(count for count, _ in done), report)

    missing = [number for number, portion in enumerate(work.portions) if portion.mine and number not in there]
    sizes = [(len(work.portions[number].mine), len(work.portions[number].views)) for number in missing]
    recorded.begin(runner, sizes, total=pictures)
    for number in missing:
        there[number] = work.compute(work.portions[number], runner, progress).skipped
        _check_skipped(dataset, work, there)
    everywhere: dict[int, dict[int, str]] = {}
    for found in work.processes.gather(there):
        for number, reasons in found.items():
            everywhere.setdefault(number, {}).update(reasons)
    return _check_skipped(dataset, work, everywhere)


def _report_beginning(work: Work, done: int, report: Callable[[str], object]) -> None:
    total = sum(len(portion.samples) for portion in work.portions)
    views = next((portion.views for portion in work.portions if portion.split == "train"), (PLAIN,))
    mine = sum(len(portion.mine) for portion in work.portions)
    shared = f", {mine} of them in this process" if mine < total else ""
    resumed = f", {done} of them already there" if done else ""
    report(f"features: {total} pictures, views {','.join(map(str, views))}{shared}{resumed}")


def _check_skipped(dataset: DataSet, work: Work, reasons: Mapping[int, Mapping[int, str]]) -> list[dict[str, str]]:
    """The unreadable pictures in the order of the data set, given the reasons in each portion.

    Raises:
        DataError: A split has lost too many pictures, or a class all pictures to train on.
    """
    skipped = [
        one
        for number, portion in enumerate(work.portions)
        for one in portion.skipped(dict(sorted(reasons.get(number, {}).items())))
    ]
    for split, samples in dataset.splits.items():
        listing = [f"{one['name']} ({one['reason']})" for one in skipped if one["split"] == split]
        image_folder.check_skipped(split, len(samples), listing)
    image_folder.check_every_class(dataset, {one["name"] for one in skipped if one["split"] == "train"})
    return skipped


class _PassRecord:
    """Records the cost of a pass beside the features, and calls the callbacks at its beginning and end."""

    def __init__(self, callbacks: Callbacks, *, backbone: str, batch_size: int, workers: int | None) -> None:
        self._callbacks = callbacks
        self._facts = {"backbone": backbone, "batch_size": batch_size, "workers": workers or _DEFAULT_WORKERS}
        self._total = self._earlier = 0

    def begin(self, runner: FeaturePass, chunks: Sequence[tuple[int, int]], *, total: int) -> None:
        """Begins a pass.

        Args:
            runner: Computes the pass.
            chunks: Pictures and views of each chunk to compute.
            total: Pictures of the whole pass, including those that an interrupted pass has computed.
        """
        self._total, self._earlier = total, total - sum(count for count, _ in chunks)
        self._facts["device"] = runner.device
        batches = sum(math.ceil(count / runner.pictures_at_once(views)) for count, views in chunks)
        self._callbacks.pass_begins(batches, self._facts)

    def write(self, path: Path, runner: FeaturePass) -> None:
        """Ends the pass. If the record cannot be written, the features are kept without it."""
        cost = {name: round(value, 4) for name, value in vars(runner.cost).items()}
        facts = {
            "job": os.environ.get("TRAINING_JOB_NAME"),
            "ended": time.time(),
            "cores": available_cores(),
            "total": self._total,
            "computed_earlier": self._earlier,
            **self._facts,
            **cost,
            **self._callbacks.pass_ends(),
        }
        with contextlib.suppress(OSError):
            write_atomically(path, json.dumps(facts, indent=1).encode())


def _write_backbone(folder: Path, state: Mapping[str, torch.Tensor]) -> None:
    import torch

    content = io.BytesIO()
    torch.save(dict(state), content)
    write_atomically(folder / BACKBONE_FILE, content.getvalue())


def _assemble(
    dataset: DataSet, folder: Path, key: Mapping[str, Any], skipped: list[dict[str, str]], *, weights: str
) -> None:
    """Joins the parts into one array per split; the manifest, which completes the store, is written last."""
    lost = {(one["split"], one["name"]) for one in skipped}
    listing: dict[str, dict[str, list[int] | list[str]]] = {}
    for split, samples in dataset.splits.items():
        kept = [sample for sample in samples if (split, sample.name) not in lost]
        listing[split] = {"names": [sample.name for sample in kept], "labels": [sample.class_index for sample in kept]}
        views = len(parse_views(key["views"])) if split == "train" else 1
        parts = [part_path(folder, split, number) for number in range(math.ceil(len(samples) / CHUNK))]
        feature_parts.join(parts, folder / f"{split}.npy", shape=(len(kept), views, key["width"]))
    write_atomically(folder / PICTURES_FILE, json.dumps(listing).encode())
    files = [*(f"{split}.npy" for split in dataset.splits), PICTURES_FILE, BACKBONE_FILE]
    manifest = {
        "key": key,
        "sizes": {split: len(listing[split]["names"]) for split in listing},
        "skipped": skipped,
        "weights": weights,
        "files": {name: (folder / name).stat().st_size for name in files},
    }
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1).encode())


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


@contextlib.contextmanager
def _explaining_full_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DataError(
            f"the disk that holds {folder} is full: free some space or choose a larger volume, and run the job again; "
            "the features computed so far are kept."
        ) from error
