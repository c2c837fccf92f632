"""Checks a training job's channels, and where it keeps checkpoints, before it is accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dogbreed_sdk.local.api.common import first_duplicate
from dogbreed_sdk.local.api.wire import validation_error
from dogbreed_sdk.local.jobs.checkpoints import is_below_opt_ml

# API reference, Channel: members for Pipe mode, with the values that mean nothing elsewhere.
_FOR_PIPES = {"CompressionType": (None, "None"), "RecordWrapperType": (None, "None"), "ShuffleConfig": (None,)}


def check_channels(request: Mapping[str, Any]) -> None:
    """Refuse channels whose members contradict each other.

    Args:
        request: CreateTrainingJob's parameters, or a tuning job's training job definition.

    Raises:
        ApiError: ValidationException.
    """
    channels = request.get("InputDataConfig") or []
    duplicate = first_duplicate([channel["ChannelName"] for channel in channels])
    if duplicate is not None:
        raise validation_error(f"Channel name {duplicate!r} is used more than once; channel names must be unique.")
    default = request["AlgorithmSpecification"].get("TrainingInputMode", "File")
    for channel in channels:
        _check_channel(channel, channel.get("InputMode") or default)


def check_checkpoints(request: Mapping[str, Any]) -> None:
    """Refuse a folder of checkpoints that local jobs can't have.

    Raises:
        ApiError: ValidationException.
    """
    path = (request.get("CheckpointConfig") or {}).get("LocalPath")
    if path and not is_below_opt_ml(path):
        raise validation_error(
            f"CheckpointConfig.LocalPath is {path}. Local jobs keep checkpoints below /opt/ml, which each of them has "
            "for itself; the default is /opt/ml/checkpoints."
        )


def _check_channel(channel: Mapping[str, Any], mode: str) -> None:
    name, source = channel["ChannelName"], channel["DataSource"].get("S3DataSource")
    if not source:
        raise validation_error(f"Channel {name!r} has no S3DataSource, the only kind that local SageMaker reads.")
    augmented = source["S3DataType"] == "AugmentedManifestFile"
    if mode != "Pipe":
        if augmented:
            raise validation_error(f"Channel {name!r} is an augmented manifest, which needs InputMode Pipe.")
        for member, meaningless in _FOR_PIPES.items():
            if channel.get(member) not in meaningless:
                raise validation_error(f"Channel {name!r}: {member} is for InputMode Pipe, and this one is {mode}.")
    if bool(source.get("AttributeNames")) != augmented:
        raise validation_error(
            f"Channel {name!r}: AttributeNames are for S3DataType AugmentedManifestFile, which needs them."
        )
    if augmented and channel.get("RecordWrapperType") != "RecordIO":
        raise validation_error(
            f"Channel {name!r}: an augmented manifest is streamed as records; set RecordWrapperType to RecordIO."
        )
