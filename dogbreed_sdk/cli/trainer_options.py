"""Turns the options of ``tune``, ``train`` and ``plan`` into a trainer, search ranges and hyperparameters."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dogbreed_sdk import defaults
from dogbreed_sdk.aws.requests.ranges import CategoricalParameter, ContinuousParameter, IntegerParameter
from dogbreed_sdk.cli import training_options
from dogbreed_sdk.cli.options import rule_parameters
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.managed_debugger import Debugger, by_kind
from dogbreed_sdk.jobs.trainer import BreedTrainer
from dogbreed_sdk.session import Session
from training_scripts.data import resize_mode
from training_scripts.models import test_time
from training_scripts.training.hyperparameters import meant, table

if TYPE_CHECKING:
    from dogbreed_sdk.aws.requests.ranges import ParameterRange

_HYPERPARAMETER = "hp:"
_SCALES = {"log": "Logarithmic", "linear": "Linear", "reverse-log": "ReverseLogarithmic"}
_TRAINER_DEFAULTS = {
    "model": defaults.BACKBONE,
    "hidden": "",
    "weights": "pretrained",
    "views": defaults.VIEWS,
    "resize-mode": "crop",
    "tta": test_time.NONE,
    "precision": "fp32",
}


def trainer(
    options: argparse.Namespace, where: Session, earlier: Mapping[str, object] | None = None
) -> tuple[BreedTrainer, dict[str, object]]:
    """The trainer that the options of ``tune`` and ``train`` describe, and the hyperparameters to pass to it.

    Args:
        options: The command's.
        where: The session.
        earlier: Hyperparameters of an earlier job to start with; options override them.
    """
    before = dict(earlier or {})
    mode = before.pop("features", None)
    chosen = {
        name: _given(options, name) if _given(options, name) is not None else before.get(name, default)
        for name, default in _TRAINER_DEFAULTS.items()
    }
    made = BreedTrainer(
        where,
        model=str(chosen["model"]),
        hidden=str(chosen["hidden"]),
        weights=str(chosen["weights"]),
        views=str(chosen["views"]),
        resize_mode=resize_mode.checked(chosen["resize-mode"]),
        tta=test_time.checked(chosen["tta"]),
        precision="bf16" if chosen["precision"] == "bf16" else "fp32",
        features=options.features or ("off" if mode == "off" else "stored"),
        instance_type=options.instance_type,
        instance_count=options.instance_count,
        volume_size_gb=options.volume_size_gb,
        max_runtime=defaults.MAX_RUNTIME_SECONDS if options.max_runtime is None else options.max_runtime,
        spot=training_options.spot(options),
        keep_alive=options.keep_alive,
        image_uri=options.image_uri,
        framework_version=options.framework_version,
        environment=dict(options.environment),
        tags=dict(options.tags),
        options=training_options.job_options(options),
        debugger=_debugger(options),
    )
    rest = {name: value for name, value in before.items() if name not in _TRAINER_DEFAULTS}
    return made, {**rest, **hyperparameters(options)}


def _given(options: argparse.Namespace, hyperparameter: str) -> object:
    return getattr(options, hyperparameter.replace("-", "_"))


def _debugger(options: argparse.Namespace) -> Debugger | None:
    """The managed Debugger that the options of ``train`` turn on; a search cannot have one."""
    given: Sequence[str] | None = getattr(options, "managed_rules", None)
    overrides: Sequence[str] | None = getattr(options, "managed_overrides", None)
    if not (given or overrides or getattr(options, "managed_debugger", False)):
        return None
    parameters = rule_parameters(overrides or (), option="--managed-set")
    if not given:
        return Debugger.managed(rule_parameters=parameters)
    rules, profiler_rules = by_kind(given)
    return Debugger.managed(rules=rules, profiler_rules=profiler_rules, rule_parameters=parameters)


def hyperparameters(options: argparse.Namespace) -> dict[str, object]:
    """The hyperparameters that were given."""
    return {
        name.removeprefix(_HYPERPARAMETER): value
        for name, value in vars(options).items()
        if name.startswith(_HYPERPARAMETER) and value is not None
    }


def search(texts: Sequence[str] | None) -> dict[str, ParameterRange] | None:
    """SageMaker's parameter ranges from ``NAME=LOW:HIGH[:SCALE]`` and ``NAME=A,B,C``.

    Raises:
        ConfigurationError: A text has neither form.
    """
    if not texts:
        return None
    ranges = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name or not value:
            raise ConfigurationError(f"--search {text}: write NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=A,B,C.")
        known = meant(name, "hpo") or name
        if known in ranges:
            raise ConfigurationError(
                f"--search {text}: {known} already has a range; pass one range per hyperparameter."
            )
        ranges[known] = _range(known, value)
    return ranges


def _range(name: str, value: str) -> ParameterRange:
    low, colon, rest = value.partition(":")
    if not colon:
        return CategoricalParameter(value.split(","))
    high, _, scale = rest.partition(":")
    whole = any(row.name == name and row.kind == "integer" for row in table())
    if scale and scale not in _SCALES:
        raise ConfigurationError(f"--search {name}={value}: unknown scale {scale!r}; use {' or '.join(_SCALES)}.")
    # Without a scale the library's default applies, as in Python.
    scaling = {"scaling_type": _SCALES[scale]} if scale else {}
    try:
        if whole:
            return IntegerParameter(int(low), int(high), **scaling)
        return ContinuousParameter(float(low), float(high), **scaling)
    except ValueError as error:
        kinds = "whole numbers" if whole else "numbers"
        raise ConfigurationError(f"--search {name}={value}: the bounds must be {kinds}.") from error
