"""Turns command-line options into the library's objects: a session, a trainer, search ranges, hyperparameters."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk import defaults
from dogbreed_sdk._util import optional
from dogbreed_sdk.aws.vpc import Vpc
from dogbreed_sdk.cli import training_options
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.managed_debugger import Debugger, by_kind
from dogbreed_sdk.jobs.trainer import BreedTrainer
from dogbreed_sdk.labels import LabelMap
from dogbreed_sdk.session import Session, default_root
from training_scripts.training.hyperparameters import meant, table

if TYPE_CHECKING:
    from sagemaker.core.parameter import ParameterRange

# The packages that local SageMaker needs.
LOCAL_PACKAGES = ("h11", "numpy", "optuna", "psutil", "sagemaker", "starlette", "torch", "uvicorn")
# What only SageMaker on AWS has: attribute of the options -> option.
OF_AWS = {
    "region": "--region",
    "profile": "--profile",
    "role": "--role",
    "bucket": "--bucket",
    "kms_key": "--kms-key",
    "subnets": "--subnet",
    "security_groups": "--security-group",
}
ADD_AWS = "For SageMaker on AWS add --aws."
_HYPERPARAMETER = "hp:"
_SCALES = {"log": "Logarithmic", "linear": "Linear", "reverse-log": "ReverseLogarithmic"}
_TRAINER_DEFAULTS = {
    "model": defaults.BACKBONE,
    "hidden": "linear",
    "weights": "pretrained",
    "views": defaults.VIEWS,
}


def session(options: argparse.Namespace) -> Session:
    """Local SageMaker if its folder exists; SageMaker on AWS with ``--aws``.

    Raises:
        ConfigurationError: An AWS option was given without ``--aws``, or one of local SageMaker with it.
    """
    if not options.aws:
        refuse_aws(options, "uses local SageMaker")
        return Session.existing(root(options))
    if options.root:
        raise ConfigurationError("--root is a folder of local SageMaker and cannot be combined with --aws.")
    return aws_session(options)


def aws_session(options: argparse.Namespace) -> Session:
    """SageMaker on AWS, as the options describe it.

    Raises:
        ConfigurationError: A subnet was given without a security group, the other way round, or something is no id.
    """
    vpc = None
    if options.subnets or options.security_groups:
        if not (options.subnets and options.security_groups):
            raise ConfigurationError("A VPC needs both: pass --subnet and --security-group, each once or more.")
        vpc = Vpc(subnets=options.subnets, security_groups=options.security_groups)
    return Session.aws(
        region=options.region,
        role=options.role,
        bucket=options.bucket,
        profile=options.profile,
        kms_key=options.kms_key,
        vpc=vpc,
    )


def refuse_aws(options: argparse.Namespace, does: str) -> None:
    """Refuses options of AWS without ``--aws``.

    Args:
        options: The command's.
        does: What the command does without ``--aws``, for the message.

    Raises:
        ConfigurationError: One was given; it would be ignored.
    """
    stray = [option for name, option in OF_AWS.items() if getattr(options, name)]
    if stray:
        raise ConfigurationError(f"{stray[0]} needs --aws; without --aws the command {does}.")


def refuse_place(options: argparse.Namespace, model: str) -> None:
    """Refuses options that name the place of SageMaker, for a model that is used without SageMaker.

    Args:
        options: The command's.
        model: The model, as the beginning of "… does not use SageMaker".

    Raises:
        ConfigurationError: One was given; it would be ignored.
    """
    places = {"aws": "--aws", **OF_AWS, "root": "--root"}
    stray = [option for name, option in places.items() if getattr(options, name)]
    if stray:
        raise ConfigurationError(f"{model} does not use SageMaker: leave out {stray[0]}.")


def new_sagemaker(options: argparse.Namespace) -> Session:
    """As `sagemaker`, for commands that may be the first one: creates the folder of local SageMaker."""
    made = sagemaker(options)
    return Session.local(made.root) if made.is_local else made


def sagemaker(options: argparse.Namespace) -> Session:
    """The session of a command that needs SageMaker; does not create the folder of local SageMaker.

    Raises:
        ConfigurationError: Packages of local SageMaker are missing, or an AWS option was given without ``--aws``.
    """
    made = session(options)
    if made.is_local:
        optional.require({"local": LOCAL_PACKAGES}, purpose="run local SageMaker", otherwise=ADD_AWS)
    return made


def root(options: argparse.Namespace) -> Path:
    """The folder of local SageMaker."""
    return Path(options.root).expanduser().absolute() if options.root else default_root()


def check_data(data: Path | str) -> None:
    """Looks whether a data set is in a folder of this machine, before slow imports and calls.

    Raises:
        DatasetError: There is none. A URI is not looked up.
    """
    if isinstance(data, Path):
        BreedDataset.from_folder(data)


def labels(path: Path | None) -> LabelMap | None:
    """The labels in a folder of classes or a JSON file; None without a path."""
    if path is None:
        return None
    return LabelMap.from_folder(path) if path.is_dir() else LabelMap.from_json(path)


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
        name: getattr(options, name) if getattr(options, name) is not None else before.get(name, default)
        for name, default in _TRAINER_DEFAULTS.items()
    }
    made = BreedTrainer(
        where,
        model=str(chosen["model"]),
        head=str(chosen["hidden"]),
        weights=str(chosen["weights"]),
        views=str(chosen["views"]),
        features=options.features or ("off" if mode == "off" else "stored"),
        instance_type=options.instance_type,
        instance_count=options.instance_count,
        volume_size_gb=options.volume_size_gb,
        max_runtime_seconds=defaults.MAX_RUNTIME_SECONDS if options.max_runtime is None else options.max_runtime,
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


def rule_parameters(texts: Sequence[str], *, option: str) -> dict[str, dict[str, str]]:
    """The parameters of each rule, as texts that the rule converts.

    Raises:
        ConfigurationError: A text is not RULE.PARAMETER=VALUE; the message names the option.
    """
    found: dict[str, dict[str, str]] = {}
    for text in texts:
        target, equals, value = text.partition("=")
        rule, dot, parameter = target.partition(".")
        if not equals or not dot or not rule or not parameter:
            raise ConfigurationError(f"{option} {text}: write RULE.PARAMETER=VALUE, such as Overfit.patience=3.")
        found.setdefault(rule, {})[parameter] = value
    return found


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
    with optional.needed(extra="aws", purpose="tune"):
        from sagemaker.core.parameter import (  # noqa: PLC0415
            CategoricalParameter,
            ContinuousParameter,
            IntegerParameter,
        )

    low, colon, rest = value.partition(":")
    if not colon:
        return CategoricalParameter(value.split(","))
    high, _, scale = rest.partition(":")
    whole = any(row.name == name and row.kind == "integer" for row in table())
    number = int if whole else float
    kind = IntegerParameter if whole else ContinuousParameter
    if scale and scale not in _SCALES:
        raise ConfigurationError(f"--search {name}={value}: unknown scale {scale!r}; use {' or '.join(_SCALES)}.")
    # Without a scale the library's default applies, as in Python.
    scaling = {"scaling_type": _SCALES[scale]} if scale else {}
    try:
        return kind(number(low), number(high), **scaling)
    except ValueError as error:
        kinds = "whole numbers" if whole else "numbers"
        raise ConfigurationError(f"--search {name}={value}: the bounds must be {kinds}.") from error
