"""Puts messages and advice in a run's own words.

Rules and insights are written for runs of train_model, which names its hyperparameters and trains on pictures. In the
loops of other authors, hyperparameters have other names, or none that is known, and samples need not be pictures. All
texts of rules and insights pass through here, so that each is written only once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from training_scripts.recording.trial.layout import INPUT_IMAGE
from training_scripts.rules.findings import RuleResult


class _Names(NamedTuple):
    """What a hyperparameter of train_model is called elsewhere.

    Attributes:
        spellings: Names that other authors use for it, without underscores, hyphens and capitals.
        words: What to call it if the run has no such name.
    """

    spellings: frozenset[str]
    words: str


NAMES: Mapping[str, _Names] = {
    "lr": _Names(
        frozenset({"lr", "learningrate", "baselr", "initlr", "initiallr", "maxlr", "stepsize", "eta"}),
        "the learning rate",
    ),
    "batch-size": _Names(
        frozenset({"batchsize", "bs", "batch", "trainbatchsize", "perdevicetrainbatchsize", "samplesperbatch"}),
        "the batch size",
    ),
    "weight-decay": _Names(frozenset({"weightdecay", "wd", "l2", "l2reg"}), "the weight decay"),
    "epochs": _Names(
        frozenset({"epochs", "numepochs", "nepochs", "maxepochs", "numtrainepochs", "nbepochs"}), "the number of epochs"
    ),
    "dropout": _Names(
        frozenset({"dropout", "drop", "droprate", "dropoutrate", "pdrop", "pdropout", "dropoutprob"}), "dropout"
    ),
    "label-smoothing": _Names(
        frozenset({"labelsmoothing", "smoothing", "labelsmoothingfactor"}), "the label smoothing"
    ),
}
"""Hyperparameters that most loops have, by train_model's name."""

_MENTIONED = re.compile(
    r"(?<![\w./-])(?:(lr|batch-size|weight-decay|label-smoothing)(?![\w/-])(=?)|(epochs|dropout)(=))"
)
"""Hyperparameters in a text, some of them with a value. The last ones are also ordinary words."""

_OURS_ALONE = re.compile(
    r" \((?:train_model does|patience|hidden|views)\)"
    r"| \(recorder=builtin.*\)(?=[.;]|$)"
    r"|: train with profiler=on \(train_model's default\)"
)
"""What a text says to users of train_model alone, in brackets: its options, and that it does something by itself."""

_PICTURES, _LABELS = re.compile(r"\b([Pp])icture(s?)\b"), re.compile(r"\b([Ll])abel(s?)\b")


@dataclass(frozen=True)
class Words:
    """The words of one run.

    Attributes:
        is_ours: Whether train_model made the run.
        has_pictures: Whether its samples are pictures.
        has_labels: Whether its targets are labels of classes, or may be.
        own: The run's own names of hyperparameters, by train_model's names; only those that are known.
        values: Their values, if they are numbers.
    """

    is_ours: bool = True
    has_pictures: bool = True
    has_labels: bool = True
    own: Mapping[str, str] = field(default_factory=dict)
    values: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, facts: Mapping[str, Any], names: Iterable[str]) -> Words:
        """The words of a recorded run.

        Args:
            facts: The content of `run.json`; empty for recordings of other tools.
            names: Names of the recorded tensors.
        """
        recorder = facts.get("recorder")
        if recorder == "builtin":
            return cls()
        classes = facts.get("classes")
        named = " ".join(map(str, classes)) if isinstance(classes, (list, tuple)) else ""
        # The word is not replaced if it may be part of the name of a class.
        pictures = recorder != "loop" or INPUT_IMAGE in names or "picture" in named.lower()
        own = _own_names(facts)
        values = {name: float(value) for name, (_, value) in own.items() if value is not None}
        names_of = {name: spelled for name, (spelled, _) in own.items()}
        return cls(False, pictures, facts.get("task") != "regression", names_of, values)

    def name(self, hyperparameter: str) -> str:
        """What to call a hyperparameter of train_model: the run's own name for it, or plain words."""
        if self.is_ours or hyperparameter not in NAMES:
            return hyperparameter
        return self.own.get(hyperparameter, NAMES[hyperparameter].words)

    def put(self, text: str) -> str:
        """A text in the run's own words."""
        if not self.is_ours:
            text = _MENTIONED.sub(self._mention, _OURS_ALONE.sub("", text))
        if not self.has_pictures:
            text = _PICTURES.sub(lambda found: ("S" if found[1] == "P" else "s") + "ample" + found[2], text)
        if not self.has_labels:
            text = _LABELS.sub(lambda found: ("T" if found[1] == "L" else "t") + "arget" + found[2], text)
        return text

    def _mention(self, found: re.Match[str]) -> str:
        name, equals = found[1] or found[3], found[2] or found[4]
        if name in self.own:
            return f"{self.own[name]}{equals or ''}"
        return f"{NAMES[name].words} to " if equals else NAMES[name].words

    def put_result(self, result: RuleResult) -> RuleResult:
        """The result of a rule in the run's own words."""
        findings = tuple(replace(one, message=self.put(one.message)) for one in result.findings)
        return replace(result, message=self.put(result.message), advice=self.put(result.advice), findings=findings)


def _own_names(facts: Mapping[str, Any]) -> dict[str, tuple[str, float | None]]:
    """The run's own name and number for each of `NAMES` that its parameters have."""
    found: dict[str, tuple[str, float | None]] = {}
    for source in (facts.get("parameters"), facts.get("hyperparameters")):
        for spelled, value in source.items() if isinstance(source, Mapping) else ():
            name = known_as(str(spelled))
            if name is not None and name not in found:
                found[name] = str(spelled), _number(value)
    return found


def plain_name(spelled: str) -> str:
    """A hyperparameter's name without underscores, hyphens, spaces and capitals."""
    return re.sub(r"[^a-z0-9]", "", spelled.lower())


def known_as(spelled: str) -> str | None:
    """The one of `NAMES` that a hyperparameter's name is a spelling of; None if it is another one.

    >>> known_as("base_lr"), known_as("Batch Size"), known_as("width")
    ('lr', 'batch-size', None)
    """
    plain = plain_name(spelled)
    return next((name for name, names in NAMES.items() if plain in names.spellings), None)


def _number(value: object) -> float | None:
    try:
        return None if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
