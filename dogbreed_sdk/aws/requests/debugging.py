"""The part of a training job's request that enables the managed Debugger and Profiler, as boto3 takes it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

from sagemaker.core.debugger import FrameworkProfile, get_rule_container_image_uri

from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from types_boto3_sagemaker.type_defs import (
        DebugHookConfigTypeDef,
        DebugRuleConfigurationTypeDef,
        ProfilerConfigTypeDef,
        ProfilerRuleConfigurationTypeDef,
    )


class DebuggingMembers(TypedDict, total=False):
    """The members of a CreateTrainingJob request that enable the managed Debugger and Profiler."""

    DebugHookConfig: DebugHookConfigTypeDef
    DebugRuleConfigurations: Sequence[DebugRuleConfigurationTypeDef]
    ProfilerConfig: ProfilerConfigTypeDef
    ProfilerRuleConfigurations: Sequence[ProfilerRuleConfigurationTypeDef]


RULE_PARAMETER = "rule_to_invoke"
# Framework profiling was taken out of AWS's PyTorch images with 2.0 (developer guide, Debugger release notes).
_LAST_MAJOR_WITH_FRAMEWORK_PROFILING = 1
_PYTORCH_IMAGE = re.compile(r"/pytorch-training:(\d+)\.")


def members(
    *,
    rules: Sequence[str],
    profiler_rules: Sequence[str],
    rule_parameters: Mapping[str, Mapping[str, str]],
    collections: Sequence[str],
    save_intervals: Mapping[str, int],
    system_monitor_interval_ms: int,
    framework_steps: int,
    output_uri: str,
    image_uri: str,
    region: str,
) -> DebuggingMembers:
    """Members of a CreateTrainingJob request, beside those of the job itself.

    Args:
        rules: AWS's names of the debugging rules.
        profiler_rules: AWS's names of the profiling rules.
        rule_parameters: Rule -> parameter -> value.
        collections: Tensor collections to record.
        save_intervals: Mode (train, eval) -> steps between two recordings of tensors.
        system_monitor_interval_ms: Milliseconds between two samples of the machine's metrics.
        framework_steps: Steps of framework profiling; 0 for none.
        output_uri: SageMaker writes to ``<output_uri>/<job>/{debug-output,profiler-output,rule-output}``.
        image_uri: The training image, which decides whether framework profiling is possible.
        region: Region of the rules' container image.

    Raises:
        ConfigurationError: AWS has no rule container in this region.
    """
    profile: ProfilerConfigTypeDef = {
        "S3OutputPath": output_uri,
        "ProfilingIntervalInMilliseconds": system_monitor_interval_ms,
    }
    if framework_steps and has_framework_profiling(image_uri):
        profile["ProfilingParameters"] = dict(FrameworkProfile(num_steps=framework_steps).profiling_parameters)
    made: DebuggingMembers = {
        "DebugHookConfig": {
            "S3OutputPath": output_uri,
            "HookParameters": {f"{mode}.save_interval": str(steps) for mode, steps in save_intervals.items()},
            "CollectionConfigurations": [{"CollectionName": name} for name in collections],
        },
        "ProfilerConfig": profile,
    }
    image = _rule_image(region) if rules or profiler_rules else ""
    if rules:
        made["DebugRuleConfigurations"] = [_rule(name, image, rule_parameters.get(name, {})) for name in rules]
    if profiler_rules:
        made["ProfilerRuleConfigurations"] = [
            _profiler_rule(name, image, rule_parameters.get(name, {})) for name in profiler_rules
        ]
    return made


def notes(*, framework_steps: int, image_uri: str) -> Sequence[str]:
    """What the training image does not support, one sentence each."""
    if not framework_steps or has_framework_profiling(image_uri):
        return ()
    note = (
        f"framework profiling of {framework_steps} steps is omitted: it needs PyTorch before 2.0, which the image "
        f"{image_uri} does not have. The training script profiles its steps itself."
    )
    return (note,)


def has_framework_profiling(image_uri: str) -> bool:
    """Whether a training image is known to be an AWS PyTorch image from before 2.0."""
    version = _PYTORCH_IMAGE.search(image_uri)
    return version is not None and int(version[1]) <= _LAST_MAJOR_WITH_FRAMEWORK_PROFILING


def _rule(name: str, image: str, parameters: Mapping[str, str]) -> DebugRuleConfigurationTypeDef:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": image,
        "RuleParameters": {RULE_PARAMETER: name, **parameters},
    }


def _profiler_rule(name: str, image: str, parameters: Mapping[str, str]) -> ProfilerRuleConfigurationTypeDef:
    return {
        "RuleConfigurationName": name,
        "RuleEvaluatorImage": image,
        "RuleParameters": {RULE_PARAMETER: name, **parameters},
    }


def _rule_image(region: str) -> str:
    try:
        return str(get_rule_container_image_uri(None, region))
    except ValueError as error:
        raise ConfigurationError(
            f"The managed Debugger has no rule container in {region}: {error} Omit debugger; the training script "
            "records and evaluates rules itself."
        ) from error
