"""Turns the options that many commands share into the library's objects: a session, labels, parameters of rules."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util import optional
from dogbreed_sdk._util.paths import full_path
from dogbreed_sdk.aws.vpc import Vpc
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.session import Session, default_root

if TYPE_CHECKING:
    from dogbreed_sdk.labels import LabelMap

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


def session_of(place: str, options: argparse.Namespace) -> Session:
    """The session for a job, path or URI: SageMaker on AWS for an s3:// URI, also without ``--aws``; see `session`."""
    on_aws = options.aws or place.startswith("s3://")
    return session(argparse.Namespace(**{**vars(options), "aws": on_aws}))


def aws_session(options: argparse.Namespace) -> Session:
    """SageMaker on AWS, as the options describe it.

    Raises:
        ConfigurationError: A subnet was given without a security group, the other way round, or a value is not an id.
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
    return full_path(options.root) if options.root else default_root()


def check_data(data: Path | str) -> None:
    """Looks whether a data set is in a folder of this machine, before slow imports and calls.

    Raises:
        DatasetError: There is none. A URI is not looked up.
    """
    from dogbreed_sdk.datasets.dataset import BreedDataset  # noqa: PLC0415 - most commands read no data set

    if isinstance(data, Path):
        BreedDataset.from_folder(data)


def labels(path: Path | None) -> LabelMap | None:
    """The labels in a folder of classes or a JSON file; None without a path."""
    if path is None:
        return None
    from dogbreed_sdk.labels import LabelMap  # noqa: PLC0415 - rarely given

    return LabelMap.from_folder(path) if path.is_dir() else LabelMap.from_json(path)


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
