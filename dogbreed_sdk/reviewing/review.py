"""`review`: finds wrong labels, near-copies, outliers and mixed-up classes with the features that training uses."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk import defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk._util.progress import JobProgress, ProgressCallback, no_progress, show_progress
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import DatasetError
from dogbreed_sdk.jobs.trainer import BreedTrainer
from dogbreed_sdk.reviewing import proposal
from dogbreed_sdk.reviewing.contents import ReviewContents
from dogbreed_sdk.session import Session
from training_scripts._util.number_text import counted

if TYPE_CHECKING:
    from dogbreed_sdk.datasets.examination import Progress
    from dogbreed_sdk.reviewing.stored import StoredPictures

LEAST_PICTURES = 10
_STEP = "review"
_PROGRESS_SECONDS = 2.0


@dataclass(frozen=True, repr=False)
class DataReview(ReviewContents):
    """What `review` found in a data set.

    Attributes:
        root: The data set's folder; the paths of pictures are relative to it.
        classes: The class folders in index order.
        splits: Split -> number of reviewed pictures.
        labels: Every picture, the most suspicious label first; `flagged` ones are more likely wrong than right.
            Pictures whose class has too few others to learn from are missing.
        near_copies: Groups of pictures that look the same; those in several splits first.
        outliers: Pictures that are unlike all others or show nothing, the least similar first.
        indistinct_classes: Pairs of classes that a head distinguishes hardly better than chance.
        label_counts: How many pictures of one class confidently belong to another, by confident learning; the largest
            first. Classes that look alike have large counts, too, although their labels may be right.
        expected_wrong: The expected number of wrong labels.
        accuracy: Share of the labels that heads predict which were trained on other pictures.
        not_judged: Number of pictures whose labels could not be judged.
        skipped: Pictures that cannot be read.
        backbone: The backbone whose features were compared.
        seconds: Seconds that reading the pictures ("pictures") and comparing them ("comparison") took; the features
            are not included.

    Examples:
        >>> found = review("dogs", session=session, model="efficientnet_lite0")
        >>> [label.picture for label in found.flagged], found.near_copies
        ([], ())
        >>> found.to_html("review.html").name
        'review.html'
    """

    def write_ignore_list(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Writes the proposal as a text file, with the outliers as comments. An existing file is extended.

        Args:
            path: Default: dogbreed-ignore.txt in the data set's folder, where training and all else honor it. For a
                data set on S3, pass a path, and upload the file beside its splits.

        Raises:
            ConfigurationError: The file cannot be written.
        """
        from training_scripts.data.ignore_list import FILE_NAME  # noqa: PLC0415 - only needed here

        return proposal.write(path or self.root / FILE_NAME, self.ignore_list(), self.outliers)

    def to_text(self) -> str:
        """The review as text: the numbers, and the first findings of each kind."""
        from dogbreed_sdk.reviewing.text import describe  # noqa: PLC0415 - only needed here

        return describe(self)

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the review as one HTML page with thumbnails, on which pictures can be ticked for an ignore list.

        Args:
            path: The file, or a folder for ``review.html``.

        Returns:
            The path of the file written.
        """
        from dogbreed_sdk.pages.document import write_page  # noqa: PLC0415 - few look at a page
        from dogbreed_sdk.reviewing.page import document  # noqa: PLC0415 - imports Pillow

        return write_page(document(self), path, name="review.html")

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        from dogbreed_sdk.reviewing.card import review_card  # noqa: PLC0415 - only notebooks need it

        return review_card(self)

    def __repr__(self) -> str:
        return (
            f"DataReview({str(self.root)!r}: {len(self.labels)} labels, {len(self.flagged)} flagged, "
            f"{counted(len(self.near_copies), 'group')} of near-copies, {counted(len(self.outliers), 'outlier')})"
        )


def review(
    dataset: BreedDataset | str | Path,
    *,
    session: Session | None = None,
    model: str = defaults.BACKBONE,
    weights: str | Path = "pretrained",
    views: str = defaults.VIEWS,
    instance_type: str = defaults.TRAINING_INSTANCE_TYPE,
    progress: ProgressCallback | None = show_progress,
) -> DataReview:
    """Reviews the pictures of a data set: wrong labels, near-copies, outliers, and classes that look the same.

    All splits are reviewed together, on the features that training uses: a job computes them unless they are stored
    already, and training then finds them. Every label is compared with the prediction of a linear head that was trained
    on other pictures (in five folds). Pictures that the data set's dogbreed-ignore.txt lists are not reviewed again.

    Args:
        dataset: A data set with a train split, or its folder: a path or an s3:// URI, which is downloaded.
        session: Where the features are computed and stored. Default: `Session.default()`.
        model: Backbone, as for `BreedTrainer`.
        weights: Its weights, as for `BreedTrainer`.
        views: Views of a training picture whose features are computed; the review uses the plain one.
        instance_type: Instance type of the job; local SageMaker uses this machine.
        progress: Called while features are computed and pictures are read; None for no output.

    Returns:
        What was found.

    Raises:
        DatasetError: The data cannot be trained on, or has too few pictures for a review.
        JobFailedError: The features could not be computed.

    Examples:
        >>> found = review(dataset, session=session, model="efficientnet_lite0")
        >>> print(found.to_text())
        dogs: 3 classes; pictures: train 48, valid 12, test 12
        ...
        Labels: 0 of 72 are probably wrong (none expected)
        ...
    """
    progress = progress or no_progress
    where = session or Session.default()
    pictures, root = with_features(
        dataset,
        session=where,
        model=model,
        weights=weights,
        views=views,
        instance_type=instance_type,
        progress=progress,
    )
    return examined(pictures, root, progress=_in_steps(progress))


def with_features(
    dataset: BreedDataset | str | Path,
    *,
    session: Session,
    model: str,
    weights: str | Path,
    views: str,
    instance_type: str,
    progress: ProgressCallback,
) -> tuple[StoredPictures, Path]:
    """The pictures of a data set with their features, which a job computes if need be, and the folder with the files.

    The arguments and errors are those of `review`.
    """
    optional.require({"local": ["numpy"]}, purpose="review a data set")
    trainer = BreedTrainer(session, model=model, weights=weights, views=views, instance_type=instance_type)
    pictures = dataset if isinstance(dataset, BreedDataset) else BreedDataset.open(dataset, session=session)
    uri = trainer.extract_features(pictures, progress=progress)
    from dogbreed_sdk.reviewing import stored  # noqa: PLC0415 - needs NumPy

    local = pictures.materialize()
    return stored.read(local, uri, session), local.root


def examined(pictures: StoredPictures, root: Path, *, progress: Progress | None = None) -> DataReview:
    """Reviews pictures whose features are at hand.

    Args:
        pictures: The pictures.
        root: Their data set's folder.
        progress: Called with (read pictures, all pictures).

    Raises:
        DatasetError: There are too few.
    """
    from dogbreed_sdk.datasets.examination import examine_files  # noqa: PLC0415 - imports Pillow when it reads
    from dogbreed_sdk.reviewing.examine import examine  # noqa: PLC0415 - needs NumPy

    if len(pictures) < LEAST_PICTURES:
        raise DatasetError(f"{root} has {len(pictures)} readable pictures; a review needs at least {LEAST_PICTURES}.")
    begun = time.monotonic()
    facts = examine_files(pictures.paths, progress=progress)
    unread = [path for path in pictures.paths if not facts[path].thumbnail]
    if unread:
        raise DatasetError(f"{unread[0]} has changed since its features were computed: review the data set again.")
    read = time.monotonic()
    found = examine(
        pictures, [facts[path].digest for path in pictures.paths], [facts[path].thumbnail for path in pictures.paths]
    )
    return DataReview(
        root=root,
        classes=pictures.classes,
        splits={split: pictures.splits.count(split) for split in dict.fromkeys(pictures.splits)},
        labels=found.labels,
        near_copies=found.near_copies,
        outliers=found.outliers,
        indistinct_classes=found.indistinct,
        label_counts=found.counts,
        expected_wrong=round(found.expected_wrong, 1),
        accuracy=round(found.accuracy, 4),
        not_judged=found.not_judged,
        skipped=pictures.skipped,
        backbone=pictures.backbone,
        seconds={"pictures": round(read - begun, 2), "comparison": round(time.monotonic() - read, 2)},
    )


def _in_steps(progress: ProgressCallback) -> Progress:
    """Turns counted pictures into steps: one every two seconds, and one at the end."""
    begun = shown = time.monotonic()

    def count(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= _PROGRESS_SECONDS or done == total:
            shown = now
            progress(JobProgress(_STEP, "Reading", f"{done:,}/{total:,} pictures", now - begun, done / total))

    return count
