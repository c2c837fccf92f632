"""The commands about data sets."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util.paths import full_path, shown_path
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import data_place, one_of
from dogbreed_sdk.cli.command_line import as_command, command_line
from dogbreed_sdk.cli.output import Outcome, counter, note, say
from dogbreed_sdk.datasets.dataset import DOG_BREEDS_URL, BreedDataset
from training_scripts.data.split_folders import SPLITS

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.report import DatasetReport
    from dogbreed_sdk.session import Session

_FORMATS = ("webdataset", "parquet")
# Longer lines are hard to read.
MAX_WIDTH = 100


def add_sample(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed data sample``."""
    command.add_argument("folder", type=Path, metavar="DIR", help="the folder to create")
    command.add_argument("--breeds", type=int, default=8, metavar="N", help="number of classes (default: %(default)s)")
    command.add_argument(
        "--per-breed", type=int, default=36, metavar="N", help="pictures per class (default: %(default)s)"
    )
    command.add_argument(
        "--seed", type=int, default=0, help="the same seed draws the same pictures (default: %(default)s)"
    )


def add_download(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed data download``."""
    command.add_argument(
        "url",
        nargs="?",
        default=DOG_BREEDS_URL,
        metavar="URL",
        help="http:// or https:// URL of a zip or tar archive (default: 8,351 pictures of 133 dog breeds, 1.1 GB)",
    )
    command.add_argument(
        "dest", type=Path, metavar="DEST", help="the folder to create; an interrupted download is resumed"
    )
    command.add_argument("--sha256", metavar="HEX", help="expected SHA-256 of the archive, 64 hexadecimal digits")


def add_check(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed data check``."""
    command.add_argument(
        "folder",
        type=data_place,
        metavar="DIR",
        help="the data set: contains train, valid and test, or one folder per class; a path or an s3:// URI",
    )


def add_split(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed data split``."""
    command.add_argument(
        "folder",
        type=data_place,
        metavar="DIR",
        help="contains one folder per class, or some of the splits; a path or an s3:// URI",
    )
    _split_options(command)
    command.add_argument("--from-train", action="store_true", help="make the missing splits out of train")


def add_convert(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed data convert``."""
    command.add_argument(
        "folder",
        type=Path,
        metavar="SOURCE",
        help="the download: an archive, or the unpacked folder, whose layout 'data check' recognizes",
    )
    _split_options(command)
    command.add_argument("--labels", type=Path, metavar="CSV", help="the table that lists pictures and their classes")
    for name in SPLITS:
        command.add_argument(
            f"--{name}-folder", metavar="NAME", help=f"the folder in SOURCE that holds the {name} split"
        )


def add_pack(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed data pack``."""
    command.add_argument("folder", type=Path, metavar="DIR", help="the data set")
    command.add_argument("dest", type=Path, metavar="DEST", help="the folder to create")
    command.add_argument(
        "--format",
        type=one_of(_FORMATS),
        choices=_FORMATS,
        default="webdataset",
        help="tar shards or parquet files (default: %(default)s)",
    )
    command.add_argument(
        "--shard-mb", type=int, default=256, metavar="MB", help="megabytes of pictures per shard (default: %(default)s)"
    )
    command.add_argument(
        "--seed", type=int, default=0, help="the same seed packs in the same order (default: %(default)s)"
    )


def add_unpack(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed data unpack``."""
    command.add_argument("folder", type=Path, metavar="DIR", help="contains .tar or .parquet shards")
    command.add_argument("dest", type=Path, metavar="DEST", help="the folder to create")


def _split_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "dest", type=Path, metavar="DEST", help="the folder to create; files are linked where possible"
    )
    for name in ("valid", "test"):
        command.add_argument(
            f"--{name}",
            type=float,
            default=0.15,
            metavar="SHARE",
            help=f"share of the pictures for {name} if it is missing, 0 to 1 (default: %(default)s)",
        )
    command.add_argument(
        "--seed", type=int, default=0, help="the same seed makes the same split (default: %(default)s)"
    )


def sample(options: argparse.Namespace) -> Outcome:
    """Draws a data set."""
    with counter("pictures drawn") as progress:
        dataset = BreedDataset.sample(
            options.folder,
            breeds=options.breeds,
            per_breed=options.per_breed,
            seed=options.seed,
            progress=progress,
        )
    return _described(dataset)


def download(options: argparse.Namespace) -> Outcome:
    """Downloads a data set, unless it is there already."""
    from dogbreed_sdk.datasets import download_record  # noqa: PLC0415 - only needed here

    root = full_path(options.dest)
    there = download_record.is_at(root, options.url, options.sha256)
    with counter("MB downloaded") as progress:

        def show(done: int, total: int) -> None:
            progress(done // 10**6, total // 10**6)
            if done == total:
                note(f"downloaded {done:,} bytes; unpacking the archive")

        dataset = BreedDataset.download(options.url, root, sha256=options.sha256, progress=show)
    if there:
        note(f"{shown_path(root)} already holds this download; nothing was downloaded")
    return _described(dataset)


def check(options: argparse.Namespace) -> Outcome:
    """Checks a data set; the exit status is 1 if it has an error."""
    with counter("pictures checked") as progress:
        report = BreedDataset.open(options.folder, session=_session(options)).check(progress=progress)
    return Outcome(report.to_dict(), say(*_shown(report)), exit_code=0 if report.ok else 1)


def _session(options: argparse.Namespace) -> Session | None:
    """The session with ``--aws``; None for the default one, which only a folder on S3 needs."""
    if options.aws:
        return read.aws_session(options)
    read.refuse_aws(options, "reads S3 with your default credentials")
    return None


def _shown(report: DatasetReport) -> list[str]:
    """The report in lines as wide as the terminal, with commands instead of Python methods."""
    from dogbreed_sdk.datasets import report_text  # noqa: PLC0415 - only needed here

    findings = tuple(replace(finding, remedy=as_command(finding.remedy)) for finding in report.findings)
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH) if sys.stdout.isatty() else None
    lines = replace(report, findings=findings).to_text(width=width).split("\n")
    if report_text.is_abridged(report.findings, report.root):
        lines.append(f"All files: {command_line(None, 'data', 'check', shown_path(report.root), '--json')}")
    return lines


def split(options: argparse.Namespace) -> Outcome:
    """Splits a folder of classes, or makes the missing splits of a data set."""
    dataset = BreedDataset.open(options.folder, session=_session(options))
    method = dataset.split_from_train if options.from_train else dataset.split
    with counter("pictures read") as progress:
        result = method(options.dest, valid=options.valid, test=options.test, seed=options.seed, progress=progress)
    return _described(result)


def convert(options: argparse.Namespace) -> Outcome:
    """Converts a data set from another layout."""
    folders = {split: name for split in SPLITS if (name := getattr(options, f"{split}_folder"))}
    with counter("pictures read") as progress:
        dataset = BreedDataset.convert(
            options.folder,
            options.dest,
            labels=options.labels,
            folders=folders,
            valid=options.valid,
            test=options.test,
            seed=options.seed,
            progress=progress,
        )
    return _described(dataset)


def pack(options: argparse.Namespace) -> Outcome:
    """Packs a data set into shards."""
    dataset = BreedDataset.open(options.folder)
    with counter("pictures packed") as progress:
        packed = dataset.pack(
            options.dest, format=options.format, shard_mb=options.shard_mb, seed=options.seed, progress=progress
        )
    return _described(packed)


def unpack(options: argparse.Namespace) -> Outcome:
    """Writes the pictures of shards as files."""
    dataset = BreedDataset.open(options.folder)
    with counter("pictures unpacked") as progress:
        unpacked = dataset.unpack(options.dest, progress=progress)
    return _described(unpacked)


def _described(dataset: BreedDataset) -> Outcome:
    splits = dict(dataset.splits)
    counts = ", ".join(f"{name} {count}" for name, count in splits.items()) or f"{len(dataset)}"
    return Outcome(
        {"root": str(dataset.root), "classes": list(dataset.classes), "splits": splits},
        say(f"{shown_path(dataset.root)}: {len(dataset.classes)} classes; pictures: {counts}"),
    )
