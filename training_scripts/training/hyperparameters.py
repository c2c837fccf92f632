"""The hyperparameters of every entry point: one table with their names, kinds, defaults and bounds.

Values arrive as SageMaker sends them: `--name value` pairs in which everything is a string. Nothing here
imports torch, so the SDK checks hyperparameters with the same table before a job is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from training_scripts import ScriptError
from training_scripts._util.suggestions import did_you_mean, known_as
from training_scripts.data.resize_mode import CHOICES as RESIZE_MODES
from training_scripts.models import test_time
from training_scripts.models.engines.engine import PRECISIONS
from training_scripts.training.parameters import TRAINING, Parameter, read, write

EVERYWHERE = (*TRAINING, "extract_features")
TRAIN_MODEL = ("train_model",)
PROFILED = ("train_model", "extract_features")


class HyperparameterError(ScriptError):
    """The hyperparameters are invalid; the message lists every problem and the allowed values."""


def _row(default: Any, kind: str, explanation: str, **limits: Any) -> Any:
    return field(default=default, metadata={"kind": kind, "help": explanation, **limits})


@dataclass(frozen=True)
class Hyperparameters:
    """The validated settings of one run. `Hyperparameters()` has all defaults."""

    model: str = _row("efficientnet_lite2", "text", "the backbone, by name", entry_points=EVERYWHERE, fixed=True)
    weights: str = _row(
        "pretrained", "text", "pretrained, none (random), or a state-dict file", entry_points=EVERYWHERE, fixed=True
    )
    hidden: tuple[int, ...] = _row(
        (), "widths", "widths of the head's hidden layers; empty for a linear head", fixed=True
    )
    dropout: float = _row(
        0.0, "number", "dropout before the head's last layer", minimum=0, maximum=1, open_maximum=True
    )
    lr: float = _row(2e-3, "number", "learning rate of the head", minimum=0, open_minimum=True, maximum=100)
    batch_size: int = _row(
        64,
        "integer",
        "pictures per step, in all processes together; set for a job that only computes features: views at a time",
        minimum=1,
        maximum=65536,
        entry_points=EVERYWHERE,
    )
    drop_last: bool = _row(
        False,
        "true|false",
        "leave out the last batch of each epoch if it is smaller than the others, and not the only one",
    )
    epochs: int = _row(10, "integer", "passes over the train split", minimum=1, maximum=100_000)
    optimizer: str = _row("adamw", "text", "the optimizer", choices=("adamw", "adam", "sgd"), fixed=True)
    weight_decay: float = _row(1e-2, "number", "weight decay", minimum=0, maximum=100)
    momentum: float = _row(0.9, "number", "momentum of sgd", minimum=0, maximum=1, open_maximum=True)
    label_smoothing: float = _row(
        0.0, "number", "label smoothing of the training loss", minimum=0, maximum=1, open_maximum=True
    )
    scheduler: str = _row(
        "cosine", "text", "how the learning rate changes over the run", choices=("cosine", "none", "step")
    )
    seed: int = _row(0, "integer", "seed of everything random", minimum=0, maximum=2**32 - 1)
    patience: int = _row(0, "integer", "stop after this many epochs without a better valid loss; 0 never", minimum=0)
    views: str = _row(
        "plain,flip",
        "text",
        "views of a train picture: plain, flip, crops:K, separated by commas",
        entry_points=EVERYWHERE,
        fixed=True,
    )
    resize_mode: Literal["crop", "squash"] = _row(
        "crop",
        "text",
        "crop: resize the shorter side and crop the center; squash: resize the whole picture to the square, as "
        "torchvision's Resize((224, 224)) does",
        choices=RESIZE_MODES,
        entry_points=EVERYWHERE,
        fixed=True,
    )
    tta: str = _row(
        test_time.NONE,
        "text",
        "test-time augmentation: none, or flip, which averages the features of a picture and its mirror image",
        choices=test_time.CHOICES,
        entry_points=EVERYWHERE,
        fixed=True,
    )
    precision: Literal["fp32", "bf16"] = _row(
        "fp32",
        "text",
        "fp32: exact features; bf16: features rounded to bfloat16, for a faster pass where processors support it",
        choices=PRECISIONS,
        entry_points=EVERYWHERE,
        fixed=True,
    )
    features: str = _row(
        "auto",
        "text",
        "auto: heads train on stored features; off: every epoch runs the backbone",
        choices=("auto", "off"),
    )
    features_dtype: str = _row(
        "float32",
        "text",
        "how features are stored: float16 takes half the space and is off by at most 1/2048 of each number",
        choices=("float32", "float16"),
        entry_points=EVERYWHERE,
        fixed=True,
    )
    unfreeze: int = _row(0, "integer", "how many of the backbone's last blocks to fine-tune", minimum=0, fixed=True)
    backbone_lr: float = _row(
        1e-5, "number", "learning rate of unfrozen blocks", minimum=0, open_minimum=True, maximum=100
    )
    amp: bool = _row(True, "true|false", "mixed precision on a GPU")
    workers: int = _row(
        0,
        "integer",
        "threads that decode pictures; 0: one per core, or in a feature pass as many as it turns out to need",
        minimum=0,
        maximum=256,
        entry_points=EVERYWHERE,
    )
    recorder: str = _row(
        "builtin",
        "text",
        "what records losses, weights and gradients: ours, smdebug's hook (if installed), or nothing",
        choices=("builtin", "smdebug", "off"),
        entry_points=TRAIN_MODEL,
        recording=True,
    )
    train_save_interval: int = _row(
        0,
        "integer",
        "record weights and gradients every N training steps, in short runs more often; 0: save_interval or 100",
        minimum=0,
        name="train.save_interval",
        entry_points=TRAIN_MODEL,
        recording=True,
    )
    eval_save_interval: int = _row(
        0,
        "integer",
        "record predictions at least every N evaluation steps; 0: at every evaluation, or at some of very many",
        minimum=0,
        name="eval.save_interval",
        entry_points=TRAIN_MODEL,
        recording=True,
    )
    save_interval: int = _row(
        0,
        "integer",
        "the interval of every mode without a separate one; losses are recorded every step",
        minimum=0,
        name="save_interval",
        entry_points=TRAIN_MODEL,
        recording=True,
    )
    full_tensors: bool = _row(
        False,
        "true|false",
        "record whole weights, gradients and activations too",
        entry_points=TRAIN_MODEL,
        recording=True,
    )
    on_finding: str = _row(
        "report",
        "text",
        "what a rule's finding does: a line in the log, or an early end with the best model so far",
        choices=("report", "stop"),
        entry_points=TRAIN_MODEL,
    )
    stop_rules: str = _row(
        # After any of these findings, more training does not help, whatever the data.
        "ExplodingTensor,VanishingGradient,LossNotDecreasing",
        "text",
        "the rules that end the job with on-finding=stop, separated by commas",
        entry_points=TRAIN_MODEL,
    )
    rule_parameters: str = _row(
        "default",
        "text",
        "the rules' parameters: ours, or exactly AWS's",
        choices=("default", "aws"),
        entry_points=TRAIN_MODEL,
    )
    profiler: str = _row(
        "on",
        "text",
        "profile machine, steps and operators",
        choices=("on", "off"),
        entry_points=PROFILED,
        recording=True,
    )
    profiler_interval_ms: int = _row(
        500,
        "integer",
        "milliseconds between two samples of the machine",
        minimum=100,
        maximum=60_000,
        entry_points=PROFILED,
        recording=True,
    )
    profile_operators: str = _row(
        "auto",
        "text",
        "trace a few steps with torch.profiler; auto: only in runs so long that the cost is negligible; on: always, "
        "and a feature pass then runs in torch",
        choices=("auto", "on", "off"),
        entry_points=PROFILED,
        recording=True,
    )
    profile_steps: int = _row(
        3,
        "integer",
        "training steps, or batches of a feature pass, that are traced",
        minimum=1,
        maximum=100,
        entry_points=PROFILED,
        recording=True,
    )

    def to_dict(self) -> dict[str, str]:
        """Name to value in SageMaker's string form; `validate` reads it back."""
        return {parameter.name: write(getattr(self, _attribute(parameter.name))) for parameter in table()}


def table(entry_point: str | None = None) -> tuple[Parameter, ...]:
    """The hyperparameters, in order; with `entry_point` (train_model, hpo, extract_features) only those it reads."""
    rows = tuple(
        Parameter(**{"name": row.name.replace("_", "-"), "default": row.default, **row.metadata})
        for row in fields(Hyperparameters)
    )
    return tuple(row for row in rows if entry_point is None or entry_point in row.entry_points)


def names(entry_point: str | None = None) -> tuple[str, ...]:
    """The names that an entry point accepts, dashed; without one, all names."""
    return tuple(parameter.name for parameter in table(entry_point))


def describe(entry_point: str | None = None) -> str:
    """One line per hyperparameter: name, default, what is allowed, what it does."""
    return "\n".join(
        f"  --{parameter.name:<16} {write(parameter.default) or '(nothing)':<20} "
        f"{parameter.help} ({parameter.allowed()})"
        for parameter in table(entry_point)
    )


def validate(values: Mapping[str, object], *, entry_point: str | None = None) -> Hyperparameters:
    """The hyperparameters in a mapping of names to values, which may be strings or Python values.

    Args:
        values: Names in any of their usual spellings, such as batch-size or batch_size, lr or learning_rate, to values.
        entry_point: Accept only the names this script reads; None accepts all.

    Raises:
        HyperparameterError: Names or values are wrong; the message lists all of them.
    """
    return _check([(str(name), value) for name, value in values.items()], [], entry_point)


def parse(arguments: Sequence[str], *, entry_point: str | None = None) -> Hyperparameters:
    """The hyperparameters of a command line: `--name value` (as SageMaker sends it) or `--name=value`.

    Raises:
        HyperparameterError: Names or values are wrong; the message lists all of them.
    """
    pairs: list[tuple[str, object]] = []
    problems: list[str] = []
    waiting = list(arguments)
    while waiting:
        token = waiting.pop(0)
        if not _is_name(token):
            problems.append(f"{token!r} is not a --name")
            continue
        name, equals, value = token.lstrip("-").partition("=")
        if equals:
            pairs.append((name, value))
        elif waiting and not _is_name(waiting[0]):
            pairs.append((name, waiting.pop(0)))
        else:
            problems.append(f"{name}: the value is missing")
    return _check(pairs, problems, entry_point)


def is_given(name: str, arguments: Sequence[str]) -> bool:
    """Whether a command line sets a hyperparameter, rather than leaving it at its default.

    >>> is_given("batch-size", ["--batch_size", "64"]), is_given("batch-size", ["--views=plain"])
    (True, False)
    """
    return any(meant(token.lstrip("-").partition("=")[0]) == name for token in arguments if _is_name(token))


def _is_name(token: str) -> bool:
    """`--lr` and SageMaker's one-letter `-n` are names; `-1` and `-inf` are values."""
    if token.startswith("--"):
        return token[2:3].isalpha() or token[2:3] == "_"
    return len(token) == 2 and token[0] == "-" and token[1].isalpha()


def meant(written: str, entry_point: str | None = None) -> str | None:
    """The hyperparameter that a name means, in any of its usual spellings; None if the name is unknown.

    >>> meant("batch_size"), meant("learning-rate"), meant("Epochs"), meant("e")
    ('batch-size', 'lr', 'epochs', None)
    """
    return known_as(written, names(entry_point), synonyms=SYNONYMS)


def typed(name: str, value: object) -> object:
    """Converts a hyperparameter's value from a string to its Python type; returns any other value unchanged.

    >>> typed("lr", "0.001"), typed("epochs", "6"), typed("amp", "true"), typed("hidden", "512,256")
    (0.001, 6, True, '512,256')
    """
    parameter = {row.name: row for row in table()}.get(name)
    if parameter is None or parameter.kind == "widths":
        return value
    try:
        return read(parameter, value)
    except ValueError:
        return value


def _check(pairs: Sequence[tuple[str, object]], problems: list[str], entry_point: str | None) -> Hyperparameters:
    rows = {parameter.name: parameter for parameter in table(entry_point)}
    settled: dict[str, Any] = {}
    wrong_name = False
    for written, value in pairs:
        parameter = rows.get(meant(written, entry_point) or "")
        if parameter is None:
            problems.append(_unknown(written, entry_point))
            wrong_name = True
            continue
        try:
            found = read(parameter, value)
        except ValueError as problem:
            problems.append(f"{parameter.name}: {problem}")
            continue
        if settled.setdefault(_attribute(parameter.name), found) != found:
            problems.append(f"{parameter.name}: given twice, with different values")
    if settled.get("precision") == "bf16" and (settled.get("features") == "off" or settled.get("unfreeze")):
        problems.append("precision: bf16 is for stored features; use fp32 with features=off or unfreeze")
    if problems:
        raise HyperparameterError(_message(problems, names(entry_point) if wrong_name else ()))
    made = Hyperparameters(**settled)
    if made.tta != test_time.NONE and made.tta not in made.views:
        raise HyperparameterError(
            f"tta is {made.tta}, but the views {made.views} lack it: a head that never saw mirrored pictures gains "
            f"little. Add {made.tta} to views, or set tta to {test_time.NONE}."
        )
    return made


def _message(problems: Sequence[str], allowed: Sequence[str]) -> str:
    """The message that lists the problems, and the allowed names if they are passed."""
    heading = "this hyperparameter is" if len(problems) == 1 else f"{len(problems)} hyperparameters are"
    listing = "".join(f"\n  {problem}" for problem in problems)
    names_there_are = f"\nallowed names: {', '.join(allowed)}" if allowed else ""
    return f"{heading} wrong:{listing}{names_there_are}"


def _unknown(name: str, entry_point: str | None) -> str:
    if meant(name) is not None:
        return f"{name}: {entry_point} does not use it"
    return f"{name}: unknown hyperparameter{did_you_mean(name, names(entry_point), synonyms=RELATED)}"


# Names that other tools use for the same thing.
SYNONYMS = {
    "learning-rate": "lr",
    "arch": "model",
    "backbone": "model",
    "architecture": "model",
    "network": "model",
    "bs": "batch-size",
    "num-epochs": "epochs",
    "l2": "weight-decay",
    "wd": "weight-decay",
    "crop-mode": "resize-mode",
}
# Names with a similar meaning but different values.
RELATED = SYNONYMS | {"early-stopping": "patience"}


def _attribute(name: str) -> str:
    return name.replace("-", "_").replace(".", "_")
