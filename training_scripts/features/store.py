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
from training_scripts.data.image_folder import DataError, DataSet, Sample
from training_scripts.data.preprocessing import Preprocessing, View, format_views, parse_views
from training_scripts.data.sharing import Division
from training_scripts.features import names as feature_names
from training_scripts.features import pacing
from training_scripts.features import parts as feature_parts
from training_scripts.features.extraction import FeaturePass, Progress
from training_scripts.features.parts import Record
from training_scripts.features.portions import PARTS, Work, portions, shard_file, shard_size, views_of, views_of_splits
from training_scripts.models import backbones, state_dicts, test_time
from training_scripts.models.engines.engine import Engine, EngineChoice, Precision
from training_scripts.models.spec import BackboneSpec
from training_scripts.models.test_time import TestTimeAugmentation
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.processes import PartDone, Processes
from training_scripts.training.runtime import available_cores, say

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from training_scripts.features.rows import FeatureRows

FORMAT = 2
MANIFEST = "features.json"
# Names and labels of the pictures in stores of format 1, whose features are in one file per split.
PICTURES_FILE = "pictures.json"
BACKBONE_FILE = "backbone.pth"
# The cost of the pass, for reports on the pass and on the jobs that train on its features.
COST_FILE = "feature_pass.json"
_MAX_COST_BYTES = 1 << 20
_KEY_FILE = "key.json"
# The engine of the first parts, which a resumed pass uses again.
_ENGINE_FILE = "engine.json"
# Its batch size, unless that was set.
_BATCH_FILE = "batch_size.json"

# Pictures per shard of a small data set, and pictures that are at most computed together, as a multiple of it.
CHUNK = 128
_STEP = 8

# What the key has of how features are stored, which does not change them.
_FORM = ("format", "chunk", "shards")
# What the keys of earlier stores do not have.
_EARLIER = {"dtype": "float32", "precision": "fp32"}


@dataclass(frozen=True)
class SplitFeatures:
    """The features of a split.

    Attributes:
        features: Features float32 [n, views, width], read from their files as they are indexed.
        targets: int64 [n].
        names: Names of the n pictures, read from their file as they are needed.
    """

    features: FeatureRows
    targets: np.ndarray
    names: Sequence[str]

    def blocks(self, rows: int) -> Iterator[tuple[slice, np.ndarray]]:
        """The features in order, a few rows at a time: which rows, and their features float32 [rows, views, width]."""
        for start in range(0, len(self.targets), rows):
            part = slice(start, min(start + rows, len(self.targets)))
            yield part, self.features[part]


@dataclass(frozen=True)
class FeatureStore:
    """A finished pass, opened.

    Attributes:
        folder: Its folder.
        classes: Class folders in index order.
        backbone_name: The backbone.
        views: Views of a train picture; the other splits have those of `tta`.
        preprocessing: The preprocessing of the pictures.
        width: Width of its features.
        fingerprint: The fingerprint of the data set.
        skipped: Pictures that could not be read: "split", "name", "reason" of each.
        sizes: Pictures of each split.
        weights: Name of the weights: pretrained, none, or a file's name; empty in stores that do not record it.
        key: Everything that decides the features; two stores with the same key are equal.
        files: Its files, and the size of each in bytes.
        shards: The files with the features of each split, in order, and the number of rows in each; empty in stores of
            format 1.
        digests: SHA-256 of each file; empty in stores of format 1.
        tta: The test-time augmentation whose views the other splits have.
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
    files: Mapping[str, int]
    shards: Mapping[str, Mapping[str, int]]
    digests: Mapping[str, str]
    tta: TestTimeAugmentation

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
        store = cls.described(folder)
        for name in store.incomplete():
            there = (folder / name).stat().st_size if (folder / name).is_file() else 0
            raise DataError(
                f"{folder / name} has {there} of {store.files[name]} bytes: copy the features again, or delete the "
                "folder and compute them again."
            )
        return store

    @classmethod
    def described(cls, folder: Path) -> FeatureStore:
        """Reads what the manifest says of a store, whose other files may be elsewhere.

        Raises:
            DataError: The pass is not finished.
        """
        manifest = _read_json(folder / MANIFEST)
        if manifest is None:
            if (folder / PARTS).is_dir():
                raise DataError(
                    f"the features in {folder} are not finished: run the same extraction again; it resumes there."
                )
            raise DataError(f"{folder} contains no features: {MANIFEST} is missing. Run extract_features.py first.")
        key = manifest["key"]
        if key.get("format") not in (1, FORMAT):
            raise DataError(
                f"the features in {folder} have format {key.get('format')}, not {FORMAT}: compute them again."
            )
        outside = next((name for name in manifest["files"] if Path(name).name != name), None)
        if outside is not None:
            raise DataError(f"{folder / MANIFEST} names a file that is not in its folder: {outside!r}.")
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
            files=manifest["files"],
            shards=manifest.get("shards", {}),
            digests=manifest.get("sha256", {}),
            tta=test_time.checked(key.get("tta", test_time.NONE)),
        )

    @property
    def precision(self) -> Precision:
        """Whether the features may be rounded: "fp32" or "bf16"."""
        return "bf16" if self.key.get("precision") == "bf16" else "fp32"

    @property
    def dtype(self) -> str:
        """The type in which the features are stored: float32 or float16."""
        return str(self.key.get("dtype", _EARLIER["dtype"]))

    def has(self, split: str) -> bool:
        """Whether the store has a split ("train", "valid", "test")."""
        return split in self.sizes

    def split(self, name: str) -> SplitFeatures:
        """A split's features, of which nothing is read yet.

        Args:
            name: "train" (features of every view), "valid" or "test" (of the views of `tta`, the plain one first).

        Returns:
            Its features, targets and names.

        Raises:
            DataError: The store lacks the split, or its files are damaged. Reading a name raises it too if the name
                leads out of the data set.
        """
        if not self.has(name):
            raise DataError(f"the features in {self.folder} have no {name} split, only {', '.join(self.sizes)}.")
        from training_scripts.features.rows import Shard, ShardedRows

        files = self.shards[name] if self.shards else {f"{name}.npy": self.sizes[name]}
        if not files.keys() <= self.files.keys():
            raise DataError(f"{self.folder / MANIFEST} does not list all of its shards: copy the features again.")
        features = ShardedRows(
            [Shard(self.folder / file, rows) for file, rows in files.items()],
            views=len(views_of(name, self.views, self.tta)),
            width=self.width,
            stored=self.dtype,
        )
        names, targets = self._pictures(name)
        if not len(features) == len(targets) == len(names) == self.sizes[name]:
            raise DataError(f"the features in {self.folder} are not as many as their names: copy them again.")
        return SplitFeatures(features, targets, names)

    def _pictures(self, split: str) -> tuple[Sequence[str], np.ndarray]:
        """The names and targets of a split."""
        import numpy as np

        if self.key["format"] == 1:
            return _pictures_of_format_1(self.folder, split)
        targets = np.load(self.folder / labels_file(split), mmap_mode="r", allow_pickle=False)
        return feature_names.StoredNames(self.folder / names_file(split)), targets

    def incomplete(self) -> Iterator[str]:
        """The files that are missing, or do not have their size; their content is not read."""
        for name, size in self.files.items():
            path = self.folder / name
            if not path.is_file() or path.stat().st_size != size:
                yield name

    def verify(self) -> None:
        """Reads every file and compares it with the digest that the manifest has.

        Raises:
            DataError: A file is missing or damaged.
        """
        for name, digest in self.digests.items():
            path = self.folder / name
            if not path.is_file() or feature_parts.sha256(path) != digest:
                raise DataError(f"{path} is damaged: copy the features again, or delete the folder and compute them.")

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
    tta: TestTimeAugmentation = test_time.NONE,
    precision: Precision = "fp32",
    batch_size: int | None = None,
    workers: int | None = None,
    report: Callable[[str], object] = say,
    check: Callable[[], object] = lambda: None,
    callbacks: Callbacks | None = None,
    processes: Processes | None = None,
    dtype: str = "float32",
    copied_to: str | None = None,
) -> FeatureStore:
    """Computes and stores the features of every split, or opens existing ones.

    An interrupted pass resumes where it stopped, and produces the same bytes as an uninterrupted one with the same
    batch size and thread count.

    Args:
        dataset: The pictures.
        backbone_name: As `backbones.spec` takes it.
        weights: As `backbones.create` takes it.
        views: Views of a train picture, from `parse_views`.
        folder: The folder for the features; it becomes a complete store, and can be copied as it is.
        tta: The test-time augmentation, whose views the other splits get.
        precision: "bf16" allows features that are rounded to bfloat16 where that is faster; see `engines.selection`.
        batch_size: Views that go through the network at a time; default: 64, or in a long pass what a measurement
            finds to be faster. A resumed pass keeps the size.
        workers: Threads that decode; default: two until the first pictures show how many the network needs.
        report: Takes one line of log at a time, every two seconds; an exception from it ends the pass, and the
            features computed so far are kept.
        check: Called after every batch, and while another process uses the folder; an exception from it ends the pass
            in the same way.
        callbacks: Called during the pass, if there is one.
        processes: The processes that share the pictures; default: a single one.
        dtype: The type in which the features are stored: "float32", or "float16", which takes half the space (the
            error is that of `parts.converted`).
        copied_to: Where the files in the folders of all processes come together, such as the S3 URI of checkpoints; the
            first process then gets no shards of the others, but describes them all. Default: it gets all shards.

    Returns:
        The finished store, opened; only described if its shards are in several folders.

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
    key = _key(dataset, fingerprint, made, backbone.state_dict(), views=views, tta=tta, dtype=dtype)
    key["precision"] = precision
    with _explaining_full_disk(folder), _alone_in(folder, joined, report, check):
        if joined.from_first(lambda: _is_finished(folder, key, report)):
            if not joined.place.is_first:
                raise PartDone
            return _existing(folder, report)
        _prepare_parts(folder, key, joined, report)
        divided = list(portions(dataset, views_of_splits(dataset, views, tta), division, sizes=key["shards"]))
        work = Work(folder, joined, divided, made.feature_width, dtype, _STEP * CHUNK)
        engine = _engine(backbone, made, work, precision, report)
        runner = FeaturePass(
            engine,
            made.preprocessing,
            width=made.feature_width,
            batch_size=batch_size or _batch_size(engine, made, work, report),
            workers=workers,
            check=check,
            callbacks=callbacks,
        )
        recorded = _PassRecord(callbacks or Callbacks(), made.name, runner)
        with runner:
            records = _compute_parts(dataset, work, runner, report=report, recorded=recorded)
        comes_together = copied_to is not None and division.is_complete
        shards = work.whole(records) if comes_together else work.collect(records)
        if not joined.place.is_first:
            raise PartDone
        skipped = _check_skipped(dataset, work, records)
        _write_backbone(folder, backbone.state_dict())
        recorded.write(folder / COST_FILE)
        _assemble(dataset, work, key, skipped, shards, weights=Path(weights).name)
        store = FeatureStore.described(folder) if comes_together else FeatureStore.open(folder)
        shutil.rmtree(folder / PARTS, ignore_errors=True)
    for picture in skipped:
        report(f"skipped {picture['split']}/{picture['name']}: {picture['reason']}")
    return store


def _key(
    dataset: DataSet,
    fingerprint: str,
    made: BackboneSpec,
    state: Mapping[str, torch.Tensor],
    *,
    views: Sequence[View],
    tta: TestTimeAugmentation,
    dtype: str,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "fingerprint": fingerprint,
        "classes": list(dataset.classes),
        "backbone": made.name,
        "weights": state_dicts.digest(state),
        "width": made.feature_width,
        "preprocessing": made.preprocessing.to_dict(),
        "views": format_views(views),
        # Absent without one: such a run can use the features of any.
        **({"tta": tta} if tta != test_time.NONE else {}),
        "dtype": dtype,
        "chunk": CHUNK,
        "shards": shard_sizes(dataset, views_of_splits(dataset, views, tta), width=made.feature_width, dtype=dtype),
    }


def shard_sizes(dataset: DataSet, views: Mapping[str, tuple[View, ...]], *, width: int, dtype: str) -> dict[str, int]:
    """Pictures per shard of each split, which do not depend on who computes them.

    Args:
        dataset: The pictures.
        views: The views of a picture, by split.
        width: The width of the features.
        dtype: The type in which they are stored: "float32" or "float16".
    """
    number = {"float32": 4, "float16": 2}[dtype]
    return {
        split: shard_size(len(samples), len(views[split]) * width * number, least=CHUNK)
        for split, samples in dataset.splits.items()
    }


def _is_finished(folder: Path, key: Mapping[str, object], report: Callable[[str], object]) -> bool:
    """Whether a folder has these features.

    Raises:
        DataError: It has other features, or an incomplete store of format 1.
    """
    if not (folder / MANIFEST).is_file():
        return False
    store = FeatureStore.described(folder)
    there = {**_EARLIER, **store.key}
    other = [name for name in key if name not in _FORM and there.get(name) != key[name]]
    if other:
        raise DataError(
            f"{folder} already contains other features (different: {', '.join(other)}). Use another "
            "folder (for a training job: another CheckpointConfig S3Uri), or delete this one."
        )
    lacking = list(store.incomplete()) if store.shards else []
    if lacking:
        report(f"features: {len(lacking)} of the {len(store.files)} files in {folder} are missing or incomplete")
    return not lacking


def _existing(folder: Path, report: Callable[[str], object]) -> FeatureStore:
    store = FeatureStore.open(folder)
    shutil.rmtree(folder / PARTS, ignore_errors=True)
    report(f"features are already in {folder}: nothing to compute")
    return store


def _reopen(folder: Path) -> None:
    """Makes an incomplete store one in progress again, whose shards are as good as they were."""
    try:
        store = FeatureStore.described(folder)
    except DataError:  # it is in progress
        return
    for name, rows in (item for files in store.shards.values() for item in files.items()):
        record = Record(rows, store.files[name], store.digests[name])
        feature_parts.write_record(folder / PARTS / f"{Path(name).stem}.json", record)
    write_atomically(folder / PARTS / _KEY_FILE, json.dumps(store.key).encode())
    (folder / MANIFEST).unlink(missing_ok=True)


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


def _engine(
    backbone: nn.Module, made: BackboneSpec, work: Work, precision: Precision, report: Callable[[str], object]
) -> Engine:
    """The engine of the first process for all of them, and that of an interrupted pass for the resumed one.

    Engines agree to 1e-5, but not to the last digit.
    """
    from training_scripts.models import folding
    from training_scripts.models.engines import selection

    network, side = folding.for_inference(backbone), made.preprocessing.crop
    path = work.folder / PARTS / _ENGINE_FILE
    held: list[Engine] = []

    def first() -> EngineChoice:
        earlier = EngineChoice.from_dict(_read_json(path))
        if earlier is not None:
            return earlier
        views = sum(len(portion.samples) * len(portion.views) for portion in work.portions)
        engine = selection.fastest(network, side=side, precision=precision, views=views, report=report)
        write_atomically(path, json.dumps(engine.choice.to_dict()).encode())
        held.append(engine)
        return engine.choice

    choice = work.processes.from_first(first)
    return held[0] if held else selection.chosen(choice, network, side=side, report=report)


def _batch_size(engine: Engine, made: BackboneSpec, work: Work, report: Callable[[str], object]) -> int:
    """The batch size that the first process chooses for all of them, and a resumed pass keeps.

    The last digits of features may depend on it.
    """
    path = work.folder / PARTS / _BATCH_FILE

    def first() -> int:
        earlier = _read_json(path)
        if isinstance(earlier, int) and earlier > 0:
            return earlier
        views = sum(len(portion.samples) * len(portion.views) for portion in work.portions)
        chosen = pacing.batch_size(engine, side=made.preprocessing.crop, views=views, report=report)
        write_atomically(path, json.dumps(chosen).encode())
        return chosen

    return work.processes.from_first(first)


def _prepare_parts(
    folder: Path, key: Mapping[str, object], processes: Processes, report: Callable[[str], object]
) -> None:
    def prepare() -> None:
        _reopen(folder)
        parts = folder / PARTS
        # Compared after a round trip through JSON.
        if parts.is_dir() and _read_json(parts / _KEY_FILE) != json.loads(json.dumps(key)):
            report(
                f"features: {parts} is left from a pass over other data or settings; the features are computed again"
            )
            shutil.rmtree(parts)
            for shard in folder.glob("*-[0-9][0-9][0-9][0-9][0-9][0-9].npy"):
                shard.unlink()
        write_atomically(parts / _KEY_FILE, json.dumps(key).encode())

    processes.from_first(prepare)
    if not processes.place.is_first:
        prepare()  # changes nothing if it has the folder of the first process


def _compute_parts(
    dataset: DataSet, work: Work, runner: FeaturePass, *, report: Callable[[str], object], recorded: _PassRecord
) -> list[dict[int, Record]]:
    """Computes the missing shards of this process; returns the records of the shards of each process."""
    pictures = sum(len(portion.mine) for portion in work.mine)
    progress = Progress(pictures, sum(len(portion.mine) * len(portion.views) for portion in work.mine), report)
    there: dict[int, Record] = {}
    for number, portion in enumerate(work.portions):
        record = work.read(portion) if portion.mine else None
        if record is not None:
            there[number] = record
    done = [(len(work.portions[number].mine), len(work.portions[number].views)) for number in there]
    progress.resume(sum(count for count, _ in done), sum(count * each for count, each in done))
    _report_beginning(work, sum(count for count, _ in done), report)

    missing = [number for number, portion in enumerate(work.portions) if portion.mine and number not in there]
    sizes = [(len(work.portions[number].mine), len(work.portions[number].views)) for number in missing]
    recorded.begin(sizes, total=pictures)
    for number in missing:
        there[number] = work.compute(work.portions[number], runner, progress)
        if there[number].skipped:
            _check_skipped(dataset, work, [there])
    records = work.processes.gather(there)
    _check_skipped(dataset, work, records)
    return records


def _report_beginning(work: Work, done: int, report: Callable[[str], object]) -> None:
    total = sum(len(portion.samples) for portion in work.portions)
    views = max((portion.views for portion in work.portions), key=len, default=())
    mine = sum(len(portion.mine) for portion in work.portions)
    shared = f", {mine} of them in this process" if mine < total else ""
    resumed = f", {done} of them already there" if done else ""
    report(f"features: {total} pictures, views {','.join(map(str, views))}{shared}{resumed}")


def _check_skipped(dataset: DataSet, work: Work, records: Sequence[Mapping[int, Record]]) -> list[dict[str, str]]:
    """The unreadable pictures in the order of the data set, given the records of the shards of some processes.

    Raises:
        DataError: A split has lost too many pictures, or a class all pictures to train on.
    """
    reasons: dict[int, dict[int, str]] = {}
    for number, record in (item for of_process in records for item in of_process.items()):
        if record.skipped:
            reasons.setdefault(number, {}).update(record.skipped)
    skipped = [
        one
        for number in sorted(reasons)
        for one in work.portions[number].skipped(dict(sorted(reasons[number].items())))
    ]
    for split, samples in dataset.splits.items():
        listing = [f"{one['name']} ({one['reason']})" for one in skipped if one["split"] == split]
        image_folder.check_skipped(split, len(samples), listing)
    image_folder.check_every_class(dataset, {one["name"] for one in skipped if one["split"] == "train"})
    return skipped


class _PassRecord:
    """Records the cost of a pass beside the features, and calls the callbacks at its beginning and end."""

    def __init__(self, callbacks: Callbacks, backbone: str, runner: FeaturePass) -> None:
        self._callbacks = callbacks
        self._runner = runner
        self._facts = {"backbone": backbone, "batch_size": runner.batch_size, "workers": runner.workers}
        self._facts |= {"device": runner.engine.device, **runner.engine.choice.to_dict()}
        self._total = self._earlier = 0

    def begin(self, chunks: Sequence[tuple[int, int]], *, total: int) -> None:
        """Begins a pass.

        Args:
            chunks: Pictures and views of each chunk to compute.
            total: Pictures of the whole pass, including those that an interrupted pass has computed.
        """
        self._total, self._earlier = total, total - sum(count for count, _ in chunks)
        batches = sum(math.ceil(count / self._runner.pictures_at_once(views)) for count, views in chunks)
        self._callbacks.pass_begins(batches, self._facts)

    def write(self, path: Path) -> None:
        """Ends the pass. If the record cannot be written, the features are kept without it."""
        cost = {name: round(value, 4) for name, value in vars(self._runner.cost).items()}
        facts = {
            "job": os.environ.get("TRAINING_JOB_NAME"),
            "ended": time.time(),
            "cores": available_cores(),
            "total": self._total,
            "computed_earlier": self._earlier,
            **self._facts,
            "workers": self._runner.workers,
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
    dataset: DataSet,
    work: Work,
    key: Mapping[str, Any],
    skipped: list[dict[str, str]],
    records: Mapping[int, Record],
    *,
    weights: str,
) -> None:
    """Writes names and labels, and then the manifest, which completes the store; the shards stay as they are."""
    shards: dict[str, dict[str, Record]] = {split: {} for split in dataset.splits}
    for number, portion in enumerate(work.portions):
        shards[portion.split][shard_file(portion.split, portion.number)] = records[number]
    lost = {(one["split"], one["name"]) for one in skipped}
    kept = {
        split: [sample for sample in samples if (split, sample.name) not in lost] if skipped else samples
        for split, samples in dataset.splits.items()
    }
    finish(work.folder, key, skipped, weights=weights, shards=shards, kept=kept)


def finish(
    folder: Path,
    key: Mapping[str, Any],
    skipped: list[dict[str, str]],
    *,
    weights: str,
    shards: Mapping[str, Mapping[str, Record]],
    kept: Mapping[str, Sequence[Sample]],
) -> None:
    """Completes a store whose shards and backbone are written.

    Args:
        folder: Its folder.
        key: Everything that decides the features.
        skipped: The pictures that could not be read.
        weights: Name of the weights.
        shards: The record of each file, by split.
        kept: The pictures of each split that have features, in their order.
    """
    import numpy as np

    others = [BACKBONE_FILE]
    for split, samples in kept.items():
        labels = np.fromiter((sample.class_index for sample in samples), np.int64, len(samples))
        feature_names.write_array(folder / labels_file(split), labels)
        feature_names.write(folder / names_file(split), (sample.name for sample in samples))
        others += [labels_file(split), names_file(split), feature_names.ends_path(Path(names_file(split))).name]
    of_shards = {name: record for files in shards.values() for name, record in files.items()}
    manifest = {
        "key": key,
        "sizes": {split: len(samples) for split, samples in kept.items()},
        "skipped": skipped,
        "weights": weights,
        "shards": {split: {name: record.rows for name, record in files.items()} for split, files in shards.items()},
        "files": {name: record.size for name, record in of_shards.items()}
        | {name: (folder / name).stat().st_size for name in others},
        "sha256": {name: record.sha256 for name, record in of_shards.items()}
        | {name: feature_parts.sha256(folder / name) for name in others},
    }
    write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1).encode())


def names_file(split: str) -> str:
    """The file with the names of a split's pictures; where they end is beside it (`names.ends_path`)."""
    return f"{split}.names"


def labels_file(split: str) -> str:
    """The file with the labels of a split's pictures: int64, in NumPy's format."""
    return f"{split}.labels.npy"


def _pictures_of_format_1(folder: Path, split: str) -> tuple[Sequence[str], np.ndarray]:
    import numpy as np

    listing = json.loads((folder / PICTURES_FILE).read_bytes())[split]
    # Pages show the pictures of a data set by these names, and a store may come from somebody else.
    outside = next((each for each in listing["names"] if not is_inside(each)), None)
    if outside is not None:
        raise DataError(f"the features in {folder} name a picture outside of the data set: {outside!r}.")
    return tuple(listing["names"]), np.array(listing["labels"], np.int64)


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
