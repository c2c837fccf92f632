"""The model card in every bundle: describes the model in Markdown, for people who open the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from training_scripts._util.number_text import number_text

if TYPE_CHECKING:
    from training_scripts.data.preprocessing import Preprocessing
    from training_scripts.models.description import BundleDescription
    from training_scripts.models.engines.engine import EngineChoice
    from training_scripts.models.rejection import Rejection

_MEANINGS = {
    "accuracy": "share of pictures whose most probable class is correct",
    "loss": "mean cross-entropy, in nats",
    "ece": "calibration error of the probabilities, 0 to 1",
    "ece_uncalibrated": "the same without the temperature",
    "kept": "share of pictures that are not rejected",
}
_TTA = {"none": "", "flip": "; the features of the picture and of its mirror image are averaged (tta: flip)"}
_LIMITS = (
    "The metrics hold for pictures like those they were measured on. The model knows only its classes: a picture "
    "of something similar to one of them (a breed that is not among them) is usually taken for it. Probabilities are "
    "calibrated for pictures that show one of the classes, not for others."
)
# Measured with benchmarks/feature_pass.py: efficientnet_lite0, 120 breeds, features of OpenVINO.
_BF16_DIFFERENCE = (
    "which moved the probability of the most probable of 120 breeds by 0.008 on average (of any by 0.0002, at most by "
    "0.08), and the accuracy by less than its standard error"
)
# The name of a class folder must not break a table, or become a link or a tag.
_UNSAFE = str.maketrans({"\\": "\\\\", "|": "\\|", "[": "\\[", "\n": " ", "\r": " ", "<": "&lt;", "`": "'"})


def write(description: BundleDescription, sizes: Mapping[str, int]) -> str:
    """The card of a bundle.

    Args:
        description: The content of model.json.
        sizes: Pictures of each split; empty if unknown.
    """
    made = description.preprocessing
    rows = [
        ("Model id", description.model_id),
        ("Backbone", f"{description.backbone}, pretrained unless the hyperparameters say otherwise"),
        ("Head", _head(description)),
        ("Input", f"RGB, {_resizing(made)}{_TTA[description.tta]}"),
        ("Classes", str(len(description.classes))),
        ("Pictures", ", ".join(f"{split} {count}" for split, count in sizes.items() if count) or "not recorded"),
        ("Data set", f"SHA-256 {description.fingerprint}"),
        ("Features", _features(description.engine)),
        ("Temperature", f"{description.temperature:.4f}; probabilities are softmax(logits / temperature)"),
    ]
    parts = [
        "# Model card",
        "An image classifier made with dogbreed-sdk. It names the likeliest of the classes below for a picture.",
        _table(("What", "Value"), rows),
        "## Metrics",
        _metrics(description.metrics),
        "## Pictures of none of the classes",
        _rejection(description.rejection),
        "## Limits",
        _LIMITS,
        "## Hyperparameters",
        _table(("Name", "Value"), sorted(description.hyperparameters.items())),
        "## Classes in index order",
        "\n".join(f"{index}. {_safe(name)}" for index, name in enumerate(description.classes)),
    ]
    return "\n\n".join(parts) + "\n"


def _resizing(made: Preprocessing) -> str:
    if made.resize_mode == "squash":
        return f"squashed to {made.crop} x {made.crop} without keeping the aspect ratio"
    return f"shorter side to {made.resize}, center {made.crop} x {made.crop}"


def _head(description: BundleDescription) -> str:
    widths = ", ".join(map(str, description.head.hidden))
    return f"hidden layers of {widths}, dropout {number_text(description.head.dropout)}" if widths else "linear"


def _features(engine: EngineChoice | None) -> str:
    if engine is None:
        return "not recorded"
    if engine.precision == "fp32":
        return f"{engine}: exact, within 1e-5 of torch"
    return f"{engine}: rounded to bfloat16 for training; endpoints compute exactly, {_BF16_DIFFERENCE}"


def _metrics(metrics: Mapping[str, float]) -> str:
    rows = [(name, f"{metrics[name]:.4f}", _MEANINGS.get(name.partition(":")[2], "")) for name in sorted(metrics)]
    return _table(("Metric", "Value", "Meaning"), rows)


def _rejection(rule: Rejection | None) -> str:
    if rule is None:
        return "The model has no rejection rule: every picture is taken for one of the classes."
    return (
        f"Method `{rule.method}`: a picture's score is 1 minus the cosine between its features and the nearest class's "
        f"mean. A score above **{rule.threshold:.4f}** means that the picture probably shows none of the classes. "
        f"The threshold was fitted on {rule.parameters.get('pictures', 0):.0f} pictures so that {rule.kept:.1%} of "
        f"pictures that do show one are kept; the others, about {1 - rule.kept:.1%}, are rejected wrongly."
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(_safe, cells)) + " |" for cells in lines)


def _safe(text: str) -> str:
    # A folder's name may not be valid Unicode, and then it could not be written to the file.
    return text.translate(_UNSAFE).encode("utf-8", "backslashreplace").decode()
