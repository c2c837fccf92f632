"""What AWS adds to the members of a request when it describes the resource: clients read some of it unconditionally.

Source: answers of SageMaker from 2021 to 2025 that their authors published, and the fixtures of its Python SDKs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dogbreed_sdk.local.api.common import Members
from dogbreed_sdk.local.store import Request
from dogbreed_sdk.local.tuning.resolution import SWITCHES

_PROFILING_INTERVAL_MILLISECONDS = 500
_SOURCE = {"S3DataDistributionType": "FullyReplicated"}
_ARCHIVE = (".tar.gz", ".tgz")


def training_job_members(request: Request) -> Members:
    """The members of a CreateTrainingJob request, with those that DescribeTrainingJob has in any case."""
    profiler = request.get("ProfilerConfig")
    members: Members = {
        **{name: request.get(name, False) for name in SWITCHES},
        "AlgorithmSpecification": {
            "EnableSageMakerMetricsTimeSeries": False,
            **(request.get("AlgorithmSpecification") or {}),
        },
        "InputDataConfig": [_channel(channel) for channel in request.get("InputDataConfig") or []] or None,
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **request["OutputDataConfig"]},
        "ProfilingStatus": "Disabled" if profiler is None or profiler.get("DisableProfiler") else "Enabled",
    }
    if request.get("DebugHookConfig"):
        members["DebugHookConfig"] = {"CollectionConfigurations": [], **request["DebugHookConfig"]}
    if profiler is not None:
        members["ProfilerConfig"] = _profiler(profiler)
    for name in ("DebugRuleConfigurations", "ProfilerRuleConfigurations"):
        if request.get(name):
            members[name] = [{"VolumeSizeInGB": 0, **rule} for rule in request[name]]
    return members


def container_members(container: Mapping[str, Any]) -> Members:
    """A model's container as in a CreateModel request, with the members that DescribeModel has in any case."""
    members: Members = {"Mode": "SingleModel", "Environment": {}, **container}
    url = container.get("ModelDataUrl")
    if url and not container.get("ModelDataSource"):
        is_archive = url.endswith(_ARCHIVE)
        members["ModelDataSource"] = {
            "S3DataSource": {
                "S3Uri": url,
                "S3DataType": "S3Object" if is_archive else "S3Prefix",
                "CompressionType": "Gzip" if is_archive else "None",
            }
        }
    return members


def _channel(channel: Mapping[str, Any]) -> Members:
    described: Members = {"CompressionType": "None", "RecordWrapperType": "None", **channel}
    source = channel.get("DataSource") or {}
    if source.get("S3DataSource"):
        described["DataSource"] = {**source, "S3DataSource": {**_SOURCE, **source["S3DataSource"]}}
    return described


def _profiler(profiler: Mapping[str, Any]) -> Members:
    if profiler.get("DisableProfiler"):
        return dict(profiler)
    interval = {"ProfilingIntervalInMilliseconds": _PROFILING_INTERVAL_MILLISECONDS}
    return {**interval, "DisableProfiler": False, **profiler}
