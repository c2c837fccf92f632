"""The command ``explain``: a heat map of where an answer came from, and the training pictures that are alike."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dogbreed_sdk._util import optional
from dogbreed_sdk.cli import models
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import at_least_one
from dogbreed_sdk.cli.output import Outcome, note, say, waiting
from dogbreed_sdk.client.classifier import BreedClassifier
from dogbreed_sdk.client.images import is_url
from dogbreed_sdk.errors import ConfigurationError, JobError
from training_scripts._util.atomic import write_atomically
from training_scripts._util.number_text import probability_text
from training_scripts.data.split_folders import locate

if TYPE_CHECKING:
    from dogbreed_sdk.client.explanation import Explanation
    from dogbreed_sdk.client.resemblance import Resemblance

_SIMILAR = 5


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed explain``."""
    command.add_argument(
        "model",
        metavar="MODEL",
        help="path of a bundle, such as ./model.tar.gz, or name of a training or tuning job for its (best) model",
    )
    command.add_argument("picture", metavar="PICTURE", help="a file or a URL")
    command.add_argument("--label", metavar="BREED", help="the class to explain (default: the most probable one)")
    command.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="the picture to write, .png or .jpg (default: PICTURE-why.png in this folder; none with --html)",
    )
    command.add_argument("--html", type=Path, metavar="FILE", help="write one HTML page")
    command.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="the data set with the training pictures, to compare with and to show; a job has their features stored",
    )
    command.add_argument(
        "--similar",
        type=at_least_one,
        default=_SIMILAR,
        metavar="N",
        help="number of similar training pictures (default: %(default)s)",
    )


@dataclass(frozen=True)
class _Found:
    """The model, and where its training pictures or their features are, if anywhere."""

    classifier: BreedClassifier
    features: Path | str | None
    why_none: str = ""


def run(options: argparse.Namespace) -> Outcome:
    """Explains the answer for one picture."""
    optional.require({"local": ("torch", "numpy")}, purpose="explain predictions on this machine")
    written = _picture_to_write(options)
    with _opened(options) as found:
        explanation = found.classifier.explain(options.picture, label=options.label)
        similar = _similar(options, found)
    if written is not None:
        _save(explanation, written)
    if options.html is not None:
        from dogbreed_sdk.client import explanation_page  # noqa: PLC0415 - only with --html

        write_atomically(options.html, explanation_page.document(explanation, similar, name=_name(options.picture)))
    files = {"output": written, "html": options.html}
    document = {
        "picture": options.picture,
        **explanation.to_dict(),
        "similar": [each.to_dict() for each in similar],
        **{name: None if path is None else str(path) for name, path in files.items()},
    }
    lines = _lines(explanation, similar, found.why_none)
    return Outcome(document, say(*lines, *(f"wrote {path}" for path in files.values() if path is not None)))


@contextlib.contextmanager
def _opened(options: argparse.Namespace) -> Iterator[_Found]:
    with models.found(options.model, options) as model:
        if model.kind != "bundle":
            raise ConfigurationError(
                f"{options.model} is {'an endpoint' if model.kind == 'endpoint' else 'a model server'}, which returns "
                "predictions only. Pass the bundle or the job behind it: the network must run on this machine."
            )
        with waiting("loading the model"):
            classifier = BreedClassifier.from_bundle(model.address)
        with classifier:
            features, why_none = _compared(options)
            yield _Found(classifier, features, why_none)


def _compared(options: argparse.Namespace) -> tuple[Path | str | None, str]:
    """What to compare with, the stored features of a job before the pictures of --data; or why there is nothing."""
    if "." in options.model or "/" in options.model:
        return options.data, "pass --data DIR to see the training pictures that it resembles"
    with read.sagemaker(options) as session:
        job = models.training_job(options.model, session)
        try:
            uri = job.features_uri
        except JobError as error:
            return options.data, f"{error} (--data DIR)"
    if uri.startswith("s3://"):
        return options.data, "the job's features are on S3: pass --data DIR to compare with pictures"
    return uri, ""


def _similar(options: argparse.Namespace, found: _Found) -> tuple[Resemblance, ...]:
    if found.features is None:
        return ()
    similar = found.classifier.find_similar(options.picture, found.features, limit=options.similar, progress=note)
    return similar if options.data is None else tuple(_with_path(each, options.data) for each in similar)


def _with_path(similar: Resemblance, data: Path) -> Resemblance:
    """Stored features have only names; the file is looked for in the data set."""
    if similar.path is not None:
        return similar
    train = locate(data).folders.get("train", (data,))[0]
    path = train / similar.picture
    return replace(similar, path=path) if path.is_file() else similar


def _picture_to_write(options: argparse.Namespace) -> Path | None:
    if options.output is None:
        return None if options.html is not None else Path(f"{Path(_name(options.picture)).stem}-why.png")
    output: Path = options.output
    if output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise ConfigurationError(f"{output} must end with .png or .jpg; --html writes a page.")
    return output


def _name(picture: str) -> str:
    """The name of a picture's file, or of the file that a URL names."""
    if is_url(picture):
        return "picture" if picture.startswith("data:") else Path(urlsplit(picture).path).name or "picture"
    return Path(picture).name


def _save(explanation: Explanation, path: Path) -> None:
    try:
        explanation.overlay().save(path)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {path}: {error.strerror or error}.") from error


def _lines(explanation: Explanation, similar: tuple[Resemblance, ...], why_none: str) -> list[str]:
    from dogbreed_sdk.client.explanation import nothing_for  # noqa: PLC0415 - other commands do not need it

    prediction = explanation.prediction
    rejected = ["  probably none of these classes; the most likely are"] if prediction.rejected else []
    lines = [
        *rejected,
        *(f"  {probability_text(score.probability):>4}  {score.label}" for score in prediction.scores),
        nothing_for(explanation) or f"the evidence for {explanation.label} is strongest {_place(explanation)}",
    ]
    if similar:
        lines.append("the training pictures that it resembles most:")
        lines += [f"  {each.similarity:7.3f}  {each.label}  {each.picture}" for each in similar]
    elif why_none:
        lines.append(why_none)
    return lines


def _place(explanation: Explanation) -> str:
    """The third of the picture, down and across, with the strongest part."""
    grid = explanation.contributions
    row, column = max(
        ((row, column) for row in range(len(grid)) for column in range(len(grid[0]))), key=lambda at: grid[at[0]][at[1]]
    )
    left, top, right, bottom = explanation.box
    x = (left + (column + 0.5) / len(grid[0]) * (right - left)) / explanation.picture.width
    y = (top + (row + 0.5) / len(grid) * (bottom - top)) / explanation.picture.height
    names = (("top left", "top", "top right"), ("left", "middle", "right"), ("bottom left", "bottom", "bottom right"))
    where = names[min(2, int(y * 3))][min(2, int(x * 3))]
    return f"in the {where}" if where == "middle" else f"at the {where}"
