"""The model card of a bundle: Markdown, HTML, JSON values, and a notebook's view."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from dogbreed_sdk import container
from dogbreed_sdk._util.bundle_files import bundle_path
from dogbreed_sdk._util.scratch import scratch_folder
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_cards.evaluated import evaluation_record
from training_scripts._util.atomic import write_atomically

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from dogbreed_sdk.endpoints.evaluation import Evaluation
    from dogbreed_sdk.session import Session
    from training_scripts.models.card_content import Card, CardFacts
    from training_scripts.models.description import BundleDescription

MARKDOWN_FILE, HTML_FILE = "MODEL_CARD.md", "model_card.html"


class CardOptions(TypedDict, total=False):
    """The keyword arguments of everything that makes a model card; `ModelCard.load` explains them."""

    name: str
    license: str
    data_source: str
    data_license: str
    weights_license: str
    intended_use: str
    evaluation: Evaluation | None
    evaluated_on: str


class ModelCard:
    """A model card: data, backbone, training, metrics by class, calibration, rejection, terms and limits of a model.

    It marks as unknown or not recorded whatever neither the bundle nor the caller states.

    Args:
        content: What the card says; `load` collects it.

    Examples:
        >>> card = ModelCard.load("model.tar.gz", name="Drawn dogs", data_license="CC0 1.0")
        >>> print(card.to_markdown("README.md").partition("## Overview")[0])
        ---
        ...
        # Drawn dogs
        ...
        >>> card.to_html("card.html"), card.to_dict()["data_license"]
        (PosixPath('card.html'), 'CC0 1.0')
    """

    def __init__(self, content: Card) -> None:
        """Makes a card from its content; use `load`, or `TrainingJob.model_card`."""
        self._content = content

    @classmethod
    def load(
        cls,
        model: str | os.PathLike[str],
        *,
        session: Session | None = None,
        job: Mapping[str, str] | None = None,
        **options: Unpack[CardOptions],
    ) -> ModelCard:
        """Reads the card of a bundle, without loading the model; needs neither torch nor NumPy.

        Args:
            model: A bundle: its folder, its model.tar.gz, or a file:// or s3:// URI of the archive.
            session: Whose credentials read a bundle on S3; default: AWS's own search for them.
            job: Further facts about the training, by name, such as its duration.
            options: name: the card's title; default: the number of classes and the backbone. license: of the model.
                data_source and data_license: of the data that it was trained on. weights_license: of the weights that
                training began with, instead of what is known of them. intended_use: what the model is for. evaluation:
                a result of `evaluate` of this model, which replaces the results in the bundle; evaluated_on: what its
                pictures are.

        Raises:
            ConfigurationError: It is not a bundle, its description is invalid, or the evaluation is of another model.
            AccessError: The bundle on S3 cannot be read.
        """
        from training_scripts.models.card_content import card  # noqa: PLC0415 - few programs make cards

        description = _description(model, session)
        return cls(card(description, _facts(description, job or {}, options)))

    def to_markdown(self, path: str | os.PathLike[str] | None = None) -> str:
        """The card as Markdown, with the metadata that the Hugging Face hub reads from a model's README.md.

        Args:
            path: Also writes it to this file, or to ``MODEL_CARD.md`` in this folder.
        """
        from training_scripts.models.model_card import written  # noqa: PLC0415

        text = written(self._content)
        if path is not None:
            target = Path(path).expanduser()
            write_atomically(target / MARKDOWN_FILE if target.is_dir() else target, text.encode())
        return text

    def to_html(self, path: str | os.PathLike[str]) -> Path:
        """Writes the card as one HTML page that needs no network.

        Args:
            path: The file, or a folder for ``model_card.html``.

        Returns:
            The path of the file written.
        """
        from dogbreed_sdk.model_cards.page import document  # noqa: PLC0415
        from dogbreed_sdk.pages.document import write_page  # noqa: PLC0415

        return write_page(document(self._content), path, name=HTML_FILE)

    def to_dict(self) -> dict[str, object]:
        """The card as JSON-ready values, with stable keys.

        Returns:
            title, summary, license, data_source, data_license, intended_use: null where unknown; model_id, backbone,
            classes, fingerprint, temperature, metrics, hyperparameters, rejection: those of the bundle; job: facts
            about the training; weights: source, license, base_model, sha256; versions; pictures: split to the number
            of pictures of each class; evaluation: null, or on, n, accuracy, macro_f1, calibration_error, per_class
            (class_folder, label, precision, recall, f1, pictures), most_confused (actual, predicted, pictures).
        """
        from dogbreed_sdk.model_cards.values import card_values  # noqa: PLC0415

        return card_values(self._content)

    def __str__(self) -> str:
        return self.to_markdown()

    def __repr__(self) -> str:
        return f"ModelCard({self._content.title!r}, {self._content.description.backbone})"

    def _repr_markdown_(self) -> str:
        return self.to_markdown().partition("\n---\n")[2].strip()  # notebooks would show the metadata as text


def _description(model: str | os.PathLike[str], session: Session | None) -> BundleDescription:
    from training_scripts.models.bundle import read_description  # noqa: PLC0415
    from training_scripts.models.description import BundleError  # noqa: PLC0415

    place = os.fspath(model)
    try:
        if not place.startswith("s3://"):
            return read_description(bundle_path(place))
        from dogbreed_sdk.session import Session  # noqa: PLC0415 - loads boto3; other bundles need none

        with scratch_folder("dogbreed-card") as folder:
            archive = folder / container.MODEL_ARCHIVE
            (session or Session.aws()).storage.download_file(place, archive)
            return read_description(archive)
    except BundleError as error:
        raise ConfigurationError(
            f"{error}. Pass a bundle: the model.tar.gz of a training job, or the folder that it was unpacked to."
        ) from error


def _facts(description: BundleDescription, job: Mapping[str, str], options: CardOptions) -> CardFacts:
    from training_scripts.models.card_content import CardFacts  # noqa: PLC0415

    evaluation = options.get("evaluation")
    return CardFacts(
        name=options.get("name", ""),
        license=options.get("license", ""),
        data_source=options.get("data_source", ""),
        data_license=options.get("data_license", ""),
        weights_license=options.get("weights_license", ""),
        intended_use=options.get("intended_use", ""),
        job=dict(job),
        evaluation=None if evaluation is None else evaluation_record(evaluation, description.classes),
        evaluated_on=options.get("evaluated_on", "") or "pictures that were not named",
    )
