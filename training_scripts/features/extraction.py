"""Computes a backbone's features of a data set, alone or with other processes, and stores them."""

# ruff: noqa: PLC0415 - torch loads only when features are made

from __future__ import annotations

import contextlib
import errno
import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training_scripts._util.atomic import write_atomically
from training_scripts._util.locking import exclusive
from training_scripts.data import image_folder
from training_scripts.data.image_folder import DataError, DataSet
from training_scripts.data.preprocessing import View
from training_scripts.data.resize_mode import ResizeMode
from training_scripts.data.sharing import Division
from training_scripts.features import manifest, parts, pass_choices
from training_scripts.features.feature_pass import FeaturePass, Progress
from training_scripts.features.files import BACKBONE_FILE, COST_FILE, MANIFEST, shard_file
from training_scripts.features.manifest import read_json
from training_scripts.features.parts import Record
from training_scripts.features.pass_record import PassRecord
from training_scripts.features.portions import PARTS, Work, portions, views_of_splits
from training_scripts.features.store import FeatureStore
from training_scripts.models import backbones, test_time
from training_scripts.models.engines.engine import Precision
from training_scripts.models.test_time import TestTimeAugmentation
from training_scripts.training.callbacks import Callbacks
from training_scripts.training.processes import PartDone, Processes
from training_scripts.training.runtime import say

if TYPE_CHECKING:
    import torch

_KEY_FILE = "key.json"
# The most pictures that are computed together, as a multiple of a small data set's shard.
_STEP = 8


def extract(
    dataset: DataSet,
    *,
    backbone_name: str,
    weights: str,
    views: Sequence[View],
    folder: Path,
    tta: TestTimeAugmentation = test_time.NONE,
    resize_mode: ResizeMode = "crop",
    precision: Precision = "fp32",
    batch_size: int | None = None,
    workers: int | None = None,
    report: Callable[[str], object] = say,
    check: Callable[[], object] = lambda: None,
    callbacks: Callbacks | None = None,
    processes: Processes | None = None,
    dtype: str = "float32",
    folders_are_merged: bool = False,
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
        resize_mode: How pictures become square; see `Preprocessing`.
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
        folders_are_merged: Whether the files in the folders of all processes are copied to one place, as SageMaker
            does with checkpoints. The first process then gets no shards of the others, but describes them all.

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
    made = backbones.spec(backbone_name).with_resize_mode(resize_mode)
    backbone = backbones.create(backbone_name, weights=weights)
    division = Division(dataset, joined)
    fingerprint = image_folder.fingerprint(dataset, is_mine=division.is_mine, gather=joined.gather)
    state = backbone.state_dict()
    key = manifest.key_of(dataset, fingerprint, made, state, views=views, tta=tta, dtype=dtype, precision=precision)
    with _explaining_full_disk(folder), _alone_in(folder, joined, report, check):
        if joined.from_first(lambda: _is_finished(folder, key, report)):
            if not joined.place.is_first:
                raise PartDone
            return _existing(folder, report)
        _prepare_parts(folder, key, joined, report)
        divided = list(portions(dataset, views_of_splits(dataset, views, tta), division, sizes=key["shards"]))
        work = Work(folder, joined, divided, made.feature_width, dtype, _STEP * manifest.CHUNK)
        engine = pass_choices.engine(
            backbone, made, work, precision, report, in_torch=callbacks is not None and callbacks.needs_torch
        )
        runner = FeaturePass(
            engine,
            made.preprocessing,
            width=made.feature_width,
            batch_size=batch_size or pass_choices.batch_size(engine, made, work, report),
            workers=workers,
            check=check,
            callbacks=callbacks,
        )
        recorded = PassRecord(callbacks or Callbacks(), made.name, runner)
        with runner:
            records = _compute_parts(dataset, work, runner, report=report, recorded=recorded)
        is_spread = folders_are_merged and division.is_complete
        shards = work.whole(records) if is_spread else work.collect(records)
        if not joined.place.is_first:
            raise PartDone
        skipped = _check_skipped(dataset, work, records)
        _write_backbone(folder, state)
        recorded.write(folder / COST_FILE)
        _assemble(dataset, work, key, skipped, shards, weights=Path(weights).name)
        store = FeatureStore.described(folder) if is_spread else FeatureStore.open(folder)
        shutil.rmtree(folder / PARTS, ignore_errors=True)
    for picture in skipped:
        report(f"skipped {picture['split']}/{picture['name']}: {picture['reason']}")
    return store


def _is_finished(folder: Path, key: Mapping[str, object], report: Callable[[str], object]) -> bool:
    """Whether a folder has these features.

    Raises:
        DataError: It has other features, or an incomplete store of format 1.
    """
    if not (folder / MANIFEST).is_file():
        return False
    store = FeatureStore.described(folder)
    other = manifest.differences(store.key, key)
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
        parts.write_record(folder / PARTS / f"{Path(name).stem}.json", record)
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


def _prepare_parts(
    folder: Path, key: Mapping[str, object], processes: Processes, report: Callable[[str], object]
) -> None:
    def prepare() -> None:
        _reopen(folder)
        parts = folder / PARTS
        # Compared after a round trip through JSON.
        if parts.is_dir() and read_json(parts / _KEY_FILE) != json.loads(json.dumps(key)):
            report(
                f"features: {parts} is left from a pass over other data or settings; the features are computed again"
            )
            shutil.rmtree(parts)
            for shard in folder.glob("*-[0-9][0-9][0-9][0-9][0-9][0-9].npy"):
                shard.unlink()
        write_atomically(parts / _KEY_FILE, json.dumps(key).encode())

    processes.from_first(prepare)
    # The first process of every other instance; processes of one instance must not delete the same files at once.
    if processes.place.local_rank == 0 and not processes.place.is_first:
        prepare()
    processes.gather(None)
    if processes.place.local_rank != 0:
        prepare()  # changes nothing in a folder that is prepared


def _compute_parts(
    dataset: DataSet, work: Work, runner: FeaturePass, *, report: Callable[[str], object], recorded: PassRecord
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
    manifest.finish(work.folder, key, skipped, weights=weights, shards=shards, kept=kept)


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
