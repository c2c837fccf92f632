"""What a model card says, as plain values: `model_card` writes them as Markdown, the SDK also as a page.

Nothing is invented: what neither the bundle nor the caller states is said to be unknown or not recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from training_scripts._util.class_names import display_name
from training_scripts._util.number_text import counted, number_text, percent_text
from training_scripts._util.wilson import wilson
from training_scripts.models import backbones, weights_origin
from training_scripts.models.record import EvaluationRecord, ModelRecord, WeightsOrigin
from training_scripts.models.spec import BackboneError

if TYPE_CHECKING:
    from training_scripts.data.preprocessing import Preprocessing
    from training_scripts.models.description import BundleDescription
    from training_scripts.models.engines.engine import EngineChoice

NOT_RECORDED = "not recorded"
UNKNOWN_LICENSE = "unknown: it was not stated"
# Classes and pairs that the section on metrics lists; the table of all classes has the others.
_WORST, _PAIRS = 10, 10

_MEANINGS = {
    "accuracy": "share of pictures whose most probable class is correct",
    "loss": "mean cross-entropy, in nats",
    "ece": "calibration error of the probabilities, 0 to 1",
    "ece_uncalibrated": "the same without the temperature",
    "kept": "share of pictures that are not rejected",
}
_TTA = {"none": "", "flip": "; the features of the picture and of its mirror image are averaged (tta: flip)"}
_UNMEASURED = (
    "The metrics hold for pictures like those they were measured on. How the model does on others, or on some groups "
    "of them, was not measured."
)
_OTHERS = (
    "The model knows only its classes: a picture of something similar to one of them (a breed that is not among them) "
    "is usually taken for it."
)
_PROBABILITIES = "Probabilities are calibrated for pictures that show one of the classes, not for others."
_CHOSEN = (
    "These are results on the valid split, which also chose the epoch and fitted the temperature: expect slightly less "
    "on new pictures."
)
# Measured with benchmarks/feature_pass.py: efficientnet_lite0, 120 breeds, features of OpenVINO.
_BF16_DIFFERENCE = (
    "which moved the probability of the most probable of 120 breeds by 0.008 on average (of any by 0.0002, at most by "
    "0.08), and the accuracy by less than its standard error"
)


@dataclass(frozen=True)
class CardFacts:
    """What a bundle does not know. Empty texts are unknown.

    Attributes:
        name: The model's name, as the card's title; by default, the number of classes and the backbone.
        license: License of the model.
        data_source: Where the data are from.
        data_license: License of the data.
        weights_license: License of the weights that training began with; overrides what is known of them.
        intended_use: What the model is for.
        job: Facts about the training job, by name.
        evaluation: Results on other pictures, which replace those in the bundle.
        evaluated_on: What these pictures are.
    """

    name: str = ""
    license: str = ""
    data_source: str = ""
    data_license: str = ""
    weights_license: str = ""
    intended_use: str = ""
    job: Mapping[str, str] = field(default_factory=dict)
    evaluation: EvaluationRecord | None = None
    evaluated_on: str = ""


@dataclass(frozen=True)
class Table:
    """A table; its first column names the row.

    Attributes:
        head: The columns' headings.
        rows: The cells.
        numeric: Columns of numbers, from 0.
        label: What it shows; unique on the card.
        share: The column of shares from 0 to 1 that a page also draws as bars; None if there is none.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[int, ...] = ()
    label: str = ""
    share: int | None = None


@dataclass(frozen=True)
class Points:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True)
class Code:
    """Lines to copy."""

    language: str
    text: str


@dataclass(frozen=True)
class CardSection:
    """A section.

    Attributes:
        anchor: Its name in links.
        title: Its heading.
        blocks: Paragraphs, tables, lists and code.
    """

    anchor: str
    title: str
    blocks: tuple[str | Table | Points | Code, ...]


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
        title: Its heading.
        summary: The model in one or two sentences.
        sections: Everything else.
        description: The bundle's description.
        facts: What the caller stated.
        weights: Where the weights come from that training began with.
        evaluation: The results that the card shows; None if none were recorded.
    """

    title: str
    summary: str
    sections: tuple[CardSection, ...]
    description: BundleDescription
    facts: CardFacts
    weights: WeightsOrigin
    evaluation: EvaluationRecord | None


def card(description: BundleDescription, facts: CardFacts | None = None) -> Card:
    """The card of a bundle.

    Args:
        description: The bundle's.
        facts: What the bundle does not know.
    """
    given = facts or CardFacts()
    record = description.record or ModelRecord()
    evaluation = given.evaluation or record.evaluation
    weights = record.weights or _weights(description)
    sections = (
        CardSection("overview", "Overview", (_overview(description, evaluation, given),)),
        CardSection("use", "Intended use and limits", _use(description, given)),
        CardSection("data", "Data", _data(description, record, given)),
        CardSection("weights", "Backbone and its weights", (_backbone(description, record, weights, given),)),
        CardSection("training", "Training", _training(description, record, given)),
        CardSection("metrics", "Metrics", _metrics(description, evaluation, given)),
        CardSection("calibration", "Calibration", _calibration(description, evaluation)),
        CardSection("rejection", "Pictures of none of the classes", _rejection(description)),
        CardSection("usage", "How to use it", _usage()),
        CardSection("classes", "Classes in index order", (_classes(description, record, evaluation),)),
    )
    summary = (
        f"An image classifier made with dogbreed-sdk: {description.backbone} with a {_head_kind(description)} head. "
        f"It names the likeliest of {len(description.classes):,} classes for a picture."
    )
    title = given.name or f"Classifier of {counted(len(description.classes), 'class')} ({description.backbone})"
    return Card(title, summary, sections, description, given, weights, evaluation)


def evaluated_on(evaluation: EvaluationRecord, facts: CardFacts) -> str:
    """Which pictures an evaluation is of, such as `the test split, 1,200 pictures`."""
    where = facts.evaluated_on if facts.evaluation else f"the {evaluation.split} split"
    return f"{where}, {evaluation.n:,} pictures"


def _weights(description: BundleDescription) -> WeightsOrigin:
    """What follows from the backbone's name and the hyperparameters, for bundles that do not record more."""
    given = description.hyperparameters.get("weights")
    if given is None:
        return WeightsOrigin(NOT_RECORDED)
    try:
        spec = backbones.spec(description.backbone)
    except BackboneError:  # its package is not installed here
        return WeightsOrigin(f"{given} weights of {description.backbone}")
    return weights_origin.weights_origin(spec.name, spec.origin, given)


def _overview(description: BundleDescription, evaluation: EvaluationRecord | None, facts: CardFacts) -> Table:
    accuracy = NOT_RECORDED
    if evaluation:
        low, high = wilson(sum(evaluation.correct), evaluation.n)
        accuracy = (
            f"{percent_text(evaluation.accuracy)} (95% interval {percent_text(low)} to {percent_text(high)}) on "
            f"{evaluated_on(evaluation, facts)}"
        )
    return _facts_table(
        [
            ("Task", "image classification, one class per picture"),
            ("Accuracy", accuracy),
            ("Classes", f"{len(description.classes):,}"),
            ("Head", _head(description)),
            ("Input", f"RGB, {_resizing(description.preprocessing)}{_TTA[description.tta]}"),
            ("License of the model", facts.license or UNKNOWN_LICENSE),
            ("Model id", f"{description.model_id} (SHA-256 of model.pth)"),
        ],
        "Overview",
    )


def _resizing(made: Preprocessing) -> str:
    if made.resize_mode == "squash":
        return f"squashed to {made.crop} x {made.crop} without keeping the aspect ratio"
    return f"shorter side to {made.resize}, center {made.crop} x {made.crop}"


def _use(description: BundleDescription, facts: CardFacts) -> tuple[str | Points, ...]:
    classes = len(description.classes)
    stated = facts.intended_use or (
        f"Naming the likeliest of the {classes:,} classes for a picture that shows one of them. No intended "
        "use was stated, and no use that must be avoided."
    )
    return (stated, Points((_UNMEASURED, _OTHERS, _PROBABILITIES)))


def _data(description: BundleDescription, record: ModelRecord, facts: CardFacts) -> tuple[str | Table, ...]:
    about = _facts_table(
        [
            ("Source", facts.data_source or NOT_RECORDED),
            ("License", facts.data_license or UNKNOWN_LICENSE),
            ("Fingerprint", f"SHA-256 {description.fingerprint}"),
        ],
        "Data",
    )
    if not record.pictures:
        return about, f"Number of pictures: {NOT_RECORDED}."
    rows = tuple(
        (split, f"{sum(counts):,}", f"{sum(map(bool, counts)):,}", _range(min(counts), max(counts)))
        for split, counts in record.pictures.items()
    )
    head = ("Split", "Pictures", "Classes with pictures", "Pictures per class")
    return about, Table(head, rows, (1, 2, 3), "Pictures of each split")


def _range(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _backbone(description: BundleDescription, record: ModelRecord, weights: WeightsOrigin, facts: CardFacts) -> Table:
    unfrozen = description.hyperparameters.get("unfreeze", "0")
    trained = "none: it is frozen" if unfrozen == "0" else f"its last {unfrozen} blocks were fine-tuned"
    return _facts_table(
        [
            ("Backbone", description.backbone),
            ("Its training", trained if "unfreeze" in description.hyperparameters else NOT_RECORDED),
            ("Weights", weights.source),
            ("License of the weights", facts.weights_license or weights.license or UNKNOWN_LICENSE),
            ("Digest of the weights", f"SHA-256 {record.weights_sha256}" if record.weights_sha256 else NOT_RECORDED),
        ],
        "Backbone and its weights",
    )


def _training(description: BundleDescription, record: ModelRecord, facts: CardFacts) -> tuple[str | Table, ...]:
    versions = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    rows = [("Features", _features(description.engine)), ("Versions", versions or NOT_RECORDED)]
    rows += list(facts.job.items()) or [("Job and duration", f"{NOT_RECORDED} in a bundle; a card of the job has them")]
    settings = tuple((name, value or "—") for name, value in sorted(description.hyperparameters.items()))
    return _facts_table(rows, "Training"), Table(("Hyperparameter", "Value"), settings, (), "Hyperparameters")


def _head_kind(description: BundleDescription) -> str:
    return "hidden-layer" if description.head.hidden else "linear"


def _head(description: BundleDescription) -> str:
    widths = ", ".join(map(str, description.head.hidden))
    return f"hidden layers of {widths}, dropout {number_text(description.head.dropout)}" if widths else "linear"


def _features(engine: EngineChoice | None) -> str:
    if engine is None:
        return NOT_RECORDED
    if engine.precision == "fp32":
        return f"{engine}: exact" + ("" if engine.name == "torch" else ", within 1e-5 of torch")
    return f"{engine}: rounded to bfloat16 for training; endpoints compute exactly, {_BF16_DIFFERENCE}"


def _metrics(
    description: BundleDescription, evaluation: EvaluationRecord | None, facts: CardFacts
) -> tuple[str | Table, ...]:
    recorded = Table(
        ("Metric", "Value", "Meaning"),
        tuple(
            (name, number_text(value) if name == "epoch" else f"{value:.4f}", _meaning(name))
            for name, value in sorted(description.metrics.items())
        ),
        (1,),
        "Metrics at the end of training",
    )
    if evaluation is None:
        return recorded, f"Precision, recall and F1 of each class, and the most confused classes: {NOT_RECORDED}."
    worst = sorted(
        (index for index, pictures in enumerate(evaluation.pictures) if pictures),
        key=lambda index: (evaluation.f1(index) or 0.0, -evaluation.pictures[index]),
    )[:_WORST]
    some = f"The {len(worst)} classes with the lowest F1, lowest first; the last section has all of them:"
    by_class = (
        f"By class, on {evaluated_on(evaluation, facts)}: macro F1 {evaluation.macro_f1:.4f}, the mean over the "
        f"classes with pictures. {some if len(description.classes) > _WORST else 'The lowest F1 first:'}"
    )
    rows = tuple((display_name(description.classes[index]), *_scores(evaluation, index)) for index in worst)
    if evaluation.split == "valid":
        by_class = f"{_CHOSEN} {by_class}"
    lowest = Table(("Class", *_SCORES), rows, (1, 2, 3, 4), "Classes with the lowest F1", share=3)
    return (recorded, by_class, lowest, *_confused(description.classes, evaluation))


def _confused(classes: Sequence[str], evaluation: EvaluationRecord) -> tuple[str | Table, ...]:
    rows = tuple(
        (
            display_name(classes[actual]),
            display_name(classes[predicted]),
            f"{count:,} of {evaluation.pictures[actual]:,}",
        )
        for actual, predicted, count in evaluation.confused[:_PAIRS]
    )
    if not rows:
        return ("No picture was classified wrongly.",) if evaluation.accuracy == 1 else ()
    head = ("True class", "Classified as", "Pictures")
    return "The most confused pairs:", Table(head, rows, (2,), "The most confused pairs")


_SCORES = ("Precision", "Recall", "F1", "Pictures")


def _scores(evaluation: EvaluationRecord, index: int) -> tuple[str, str, str, str]:
    return (
        _share(evaluation.precision(index)),
        _share(evaluation.recall(index)),
        _share(evaluation.f1(index)),
        f"{evaluation.pictures[index]:,}",
    )


def _share(value: float | None) -> str:
    return "—" if value is None else f"{value:.3f}"


def _meaning(name: str) -> str:
    return "the epoch whose weights were kept" if name == "epoch" else _MEANINGS.get(name.partition(":")[2], "")


def _calibration(description: BundleDescription, evaluation: EvaluationRecord | None) -> tuple[str | Table, ...]:
    temperature = (
        f"Temperature {description.temperature:.4f}: probabilities are softmax(logits / temperature). "
        "It is fitted on the valid split; 1 if there is none."
    )
    error = evaluation.calibration_error if evaluation else None
    if evaluation is None or error is None:
        return temperature, f"Reliability of the probabilities: {NOT_RECORDED}."
    count = len(evaluation.reliability)
    rows = tuple(
        (
            f"{at / count:.0%} to {(at + 1) / count:.0%}",
            f"{each.pictures:,}",
            percent_text(each.probability),
            percent_text(each.accuracy),
        )
        for at, each in enumerate(evaluation.reliability)
        if each.pictures
    )
    return (
        temperature,
        f"Expected calibration error of the calibrated probabilities: {error:.4f} (0 is perfect), over {count} bins.",
        Table(("Probability", "Pictures", "Mean probability", "Correct"), rows, (1, 2, 3), "Reliability"),
    )


def _rejection(description: BundleDescription) -> tuple[str, ...]:
    rule = description.rejection
    if rule is None:
        return ("The model has no rejection rule: every picture is taken for one of the classes.",)
    fitted = (
        f"Method {rule.method}: a picture's score is 1 minus the cosine between its features and the nearest class's "
        f"mean. A score above {rule.threshold:.4f} means that the picture probably shows none of the classes. "
        f"The threshold was fitted on {rule.parameters.get('pictures', 0):,.0f} pictures so that "
        f"{percent_text(rule.kept)} of pictures that do show one are kept; the others, about "
        f"{percent_text(1 - rule.kept)}, are rejected wrongly."
    )
    kept = description.metrics.get("test:kept")
    measured = (
        f"Of the test pictures, all of which show one of the classes, {percent_text(kept)} are kept."
        if kept is not None
        else f"Share of the test pictures that are kept: {NOT_RECORDED}."
    )
    return fitted, f"{measured} How many pictures of other things are rejected was not measured."


def _usage() -> tuple[str | Code, ...]:
    return (
        "Install the SDK, and classify in Python, without a server:",
        Code("sh", "pip install 'dogbreed-sdk[local]'"),
        Code(
            "python",
            "from dogbreed_sdk import BreedClassifier\n\n"
            'with BreedClassifier.from_bundle("model.tar.gz") as classifier:\n'
            '    print(classifier.classify("picture.jpg"))',
        ),
        "On the command line:",
        Code(
            "sh",
            "dogbreed classify ./model.tar.gz picture.jpg\ndogbreed evaluate ./model.tar.gz DATA --html mistakes.html",
        ),
        "As an endpoint on this machine; with Session.aws() instead of Session.local() on Amazon SageMaker:",
        Code(
            "python",
            "from dogbreed_sdk import Session, deploy\n\n"
            'with Session.local() as session, deploy("model.tar.gz", session=session) as deployment:\n'
            '    print(deployment.classifier().classify("picture.jpg"))',
        ),
    )


def _classes(description: BundleDescription, record: ModelRecord, evaluation: EvaluationRecord | None) -> Table:
    splits = tuple(record.pictures)
    scores = _SCORES if evaluation else ()
    rows = tuple(
        (
            str(index),
            name,
            *(f"{record.pictures[split][index]:,}" for split in splits),
            *(_scores(evaluation, index) if evaluation else ()),
        )
        for index, name in enumerate(description.classes)
    )
    head = ("Index", "Class", *splits, *(f"{name} evaluated" if name == "Pictures" else name for name in scores))
    share = head.index("F1") if evaluation else None
    return Table(head, rows, (0, *range(2, len(head))), "Classes in index order", share)


def _facts_table(rows: Sequence[tuple[str, str]], label: str) -> Table:
    return Table(("What", "Value"), tuple(rows), (), label)
