"""The commands about data sets."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.command_line import as_command, command_line
from dogbreed_sdk.cli.output import Outcome, counter, note, say
from dogbreed_sdk.datasets.dataset import BreedDataset
from training_scripts.data.split_folders import SPLITS

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.report import DatasetReport
    from dogbreed_sdk.session import Session

# Longer lines are hard to read.
MAX_WIDTH = 100


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

    root = options.dest.expanduser().absolute()
    there = download_record.is_at(root, options.url, options.sha256)
    with counter("MB downloaded") as progress:

        def show(done: int, total: int) -> None:
            progress(done // 10**6, total // 10**6)
            if done == total:
                note(f"downloaded {done:,} bytes; unpacking the archive")

        dataset = BreedDataset.download(options.url, root, sha256=options.sha256, progress=show)
    if there:
        note(f"{root} already holds this download; nothing was downloaded")
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
        lines.append(f"All files: {command_line(None, 'data', 'check', report.root, '--json')}")
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


def _described(dataset: BreedDataset) -> Outcome:
    splits = dict(dataset.splits)
    counts = ", ".join(f"{name} {count}" for name, count in splits.items())
    return Outcome(
        {"root": str(dataset.root), "classes": list(dataset.classes), "splits": splits},
        say(f"{dataset.root}: {len(dataset.classes)} classes; pictures: {counts}"),
    )
