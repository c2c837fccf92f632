"""The command ``card``: writes the model card of a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path

from dogbreed_sdk.cli import models
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli.argument_types import data_place
from dogbreed_sdk.cli.output import Outcome, counter, say
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.endpoints.evaluation import Evaluation, evaluate
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_cards.card import CardOptions, ModelCard
from training_scripts._util.safe_text import redacted


def add(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed card``."""
    command.add_argument(
        "model",
        metavar="MODEL",
        help="a training or tuning job, for its (best) model; or a bundle: a path such as ./model.tar.gz, or an s3:// "
        "URI",
    )
    command.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write the card as Markdown (default: print it, without --html)"
    )
    command.add_argument("--html", type=Path, metavar="FILE", help="write the card as one HTML page")
    command.add_argument(
        "--data",
        type=data_place,
        metavar="DIR",
        help="measure the model on these labeled pictures instead of showing the results of its training; of a data "
        "set, its test split is used",
    )
    command.set_defaults(labels=None)  # for `models.classifier`: a bundle knows its classes
    for option, what in (
        ("--name", "the card's title (default: the number of classes and the backbone)"),
        ("--license", "license of the model"),
        ("--data-source", "where the training data are from"),
        ("--data-license", "license of the training data"),
        ("--weights-license", "license of the pretrained weights, where it is not known"),
        ("--intended-use", "what the model is for"),
    ):
        command.add_argument(option, metavar="TEXT", default="", help=what)


def run(options: argparse.Namespace) -> Outcome:
    """Writes or prints the card of a model."""
    stated = CardOptions(
        name=options.name,
        license=options.license,
        data_source=options.data_source,
        data_license=options.data_license,
        weights_license=options.weights_license,
        intended_use=options.intended_use,
    )
    if options.data is not None:
        stated["evaluation"] = _evaluated(options)
        stated["evaluated_on"] = models.shown(options.data)
    card = _card(options, stated)
    document, wrote = card.to_dict(), []
    if options.markdown is not None:
        card.to_markdown(options.markdown)
        wrote.append(str(options.markdown))
    if options.html is not None:
        wrote.append(str(card.to_html(options.html)))
    if not wrote:
        return Outcome(document, say(*card.to_markdown().splitlines()))
    return Outcome(document | {"wrote": wrote}, say(*(f"wrote {path}" for path in wrote)))


def _card(options: argparse.Namespace, stated: CardOptions) -> ModelCard:
    model = str(options.model)
    if model.startswith("s3://"):
        with read.session_of(model, options) as session:
            return ModelCard.load(model, session=session, **stated)
    if "." in model or "/" in model:
        read.refuse_place(options, f"The bundle {redacted(model)}")
        return ModelCard.load(model, **stated)
    with read.sagemaker(options) as session:
        return models.training_job(model, session).model_card(**stated)


def _evaluated(options: argparse.Namespace) -> Evaluation:
    if str(options.model).startswith("s3://"):
        raise ConfigurationError("--data needs the bundle on this machine: download it, and pass its path.")
    with models.classifier(options) as classifier:
        dataset = BreedDataset.open(options.data, session=read.session(options))
        with counter("pictures classified") as progress:
            return evaluate(classifier, dataset, progress=progress)
