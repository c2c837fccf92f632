"""What the options of a command line mean: a session, a trainer, ranges, hyperparameters."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dogbreed_sdk import _optional
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.session import Session, default_root
from dogbreed_sdk.search import dashed
from training_scripts.hyperparameters import table

_HYPERPARAMETER = "hp:"


def session(options: argparse.Namespace) -> Session:
    """Local SageMaker, or SageMaker on AWS where ``--aws`` says so."""
    if not options.aws:
        return Session.local(root(options))
    return Session.aws(region=options.region, role=options.role, bucket=options.bucket, profile=options.profile)


def root(options: argparse.Namespace) -> Path:
    """The folder of local SageMaker."""
    return Path(options.root).expanduser().absolute() if options.root else default_root()


def trainer(options: argparse.Namespace, where: Session) -> BreedTrainer:
    """A trainer with the options of ``tune`` and ``train``."""
    return BreedTrainer(
        where,
        model=options.model,
        head=options.hidden,
        weights=options.weights,
        views=options.views,
        features=options.features,
        instance_type=options.instance_type,
    )


def hyperparameters(options: argparse.Namespace) -> dict[str, object]:
    """The hyperparameters that were given."""
    return {
        name.removeprefix(_HYPERPARAMETER): value
        for name, value in vars(options).items()
        if name.startswith(_HYPERPARAMETER) and value is not None
    }


def search(texts: Sequence[str] | None) -> dict[str, Any] | None:
    """SageMaker's parameter ranges from ``NAME=LOW:HIGH[:log]`` and ``NAME=A,B,C``.

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
        ranges[dashed(name)] = _range(dashed(name), value)
    return ranges


def _range(name: str, value: str) -> Any:
    parameter = _optional.load("sagemaker.core.parameter", extra="aws", purpose="tune")
    low, colon, rest = value.partition(":")
    if not colon:
        return parameter.CategoricalParameter(value.split(","))
    high, _, scale = rest.partition(":")
    whole = any(row.name == name and row.kind == "integer" for row in table())
    number = int if whole else float
    kind = parameter.IntegerParameter if whole else parameter.ContinuousParameter
    if scale not in ("", "log", "linear"):
        raise ConfigurationError(f"--search {name}={value}: the scale is {scale!r}; use log or linear.")
    try:
        return kind(number(low), number(high), scaling_type="Logarithmic" if scale == "log" else "Linear")
    except ValueError as error:
        kinds = "whole numbers" if whole else "numbers"
        raise ConfigurationError(f"--search {name}={value}: the bounds must be {kinds}.") from error
