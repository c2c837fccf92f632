"""``dogbreed data review``: wrong labels, near-copies, outliers and mixed-up classes, and a list of what to ignore."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk import defaults
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import data_place
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, counter, job_progress, next_steps, say
from training_scripts.data.ignore_list import FILE_NAME

if TYPE_CHECKING:
    from dogbreed_sdk.reviewing.review import DataReview


def add(command: argparse.ArgumentParser) -> None:
    """Adds the command's own arguments."""
    command.add_argument(
        "folder",
        type=data_place,
        metavar="DATA",
        help="a data set with train, valid and test folders: a path, or an s3:// URI, which is downloaded",
    )
    command.add_argument(
        "--html", type=Path, metavar="FILE", help="write a page with pictures, on which those to ignore can be ticked"
    )
    command.add_argument(
        "--ignore-list",
        type=Path,
        metavar="FILE",
        help=f"write the pictures to ignore; as {FILE_NAME} in DATA, training and all else leave them out",
    )
    command.add_argument("--model", default=defaults.BACKBONE, help="backbone (default: %(default)s)")
    command.add_argument(
        "--weights", default="pretrained", help="pretrained (default), none, or the path of a state-dict file"
    )
    command.add_argument(
        "--views",
        default=defaults.VIEWS,
        help="views whose features are computed, as for training, which then finds them (default: %(default)s)",
    )
    command.add_argument(
        "--instance-type",
        default=defaults.TRAINING_INSTANCE_TYPE,
        metavar="TYPE",
        help="with --aws: instance type of the job that computes the features (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> Outcome:
    """Reviews a data set; the command succeeds whatever it finds."""
    read.check_data(options.folder)
    with read.new_sagemaker(options) as session:
        from dogbreed_sdk.reviewing.review import examined, with_features  # noqa: PLC0415 - not needed for an error

        with job_progress() as progress:
            pictures, root = with_features(
                options.folder,
                session=session,
                model=options.model,
                weights=options.weights,
                views=options.views,
                instance_type=options.instance_type,
                progress=progress,
            )
        with counter("pictures read") as count:
            found = examined(pictures, root, progress=count)
    return _outcome(found, options)


def _outcome(found: DataReview, options: argparse.Namespace) -> Outcome:
    document = found.to_dict()
    lines = found.to_text().split("\n")
    steps = []
    if options.html is not None:
        document["html"] = str(found.to_html(options.html))
        lines.append(f"wrote {document['html']}")
    else:
        steps.append(command_line(options, "data", "review", options.folder, "--html", "review.html"))
    if options.ignore_list is not None:
        document["ignore_list_file"] = str(found.write_ignore_list(options.ignore_list))
        lines.append(f"wrote {document['ignore_list_file']}")
    elif isinstance(options.folder, Path):
        target = options.folder / FILE_NAME
        steps.append(command_line(options, "data", "review", options.folder, "--ignore-list", target))
    return Outcome(document, say(*lines, *(next_steps(steps) if steps else [])))
