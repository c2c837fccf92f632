"""The part of a training job's request that switches the managed Debugger and Profiler on."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from sagemaker.core.debugger import FrameworkProfile, get_rule_container_image_uri
from sagemaker.core.shapes import (
    CollectionConfiguration,
    DebugHookConfig,
    DebugRuleConfiguration,
    ProfilerConfig,
    ProfilerRuleConfiguration,
)

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.jobs.managed_debugger import Debugger

RULE_PARAMETER = "rule_to_invoke"
# Framework profiling was taken out of AWS's PyTorch images with 2.0 (developer guide, Debugger release notes).
_LAST_MAJOR_WITH_FRAMEWORK_PROFILING = 1
_PYTORCH_IMAGE = re.compile(r"/pytorch-training:(\d+)\.")


def arguments(debugger: Debugger, *, output_uri: str, image_uri: str, region: str) -> dict[str, Any]:
    """Arguments for ``sagemaker.core.resources.TrainingJob.create``, beside those of the job itself.

    Args:
        debugger: What is wanted.
        output_uri: SageMaker writes to ``<output_uri>/<job>/{debug-output,profiler-output,rule-output}``.
        image_uri: The training image, which decides on framework profiling.
        region: Where the rules' container image comes from.

    Raises:
        ConfigurationError: AWS has no rule container in this region.
    """
    profile: dict[str, Any] = {
        "s3_output_path": output_uri,
        "profiling_interval_in_milliseconds": debugger.system_monitor_interval_ms,
    }
    if debugger.framework_steps and has_framework_profiling(image_uri):
        profile["profiling_parameters"] = dict(
            FrameworkProfile(num_steps=debugger.framework_steps).profiling_parameters
        )
    hook = DebugHookConfig(
        s3_output_path=output_uri,
        hook_parameters={
            "train.save_interval": str(debugger.train_save_interval),
            "eval.save_interval": str(debugger.eval_save_interval),
        },
        collection_configurations=[CollectionConfiguration(collection_name=name) for name in debugger.collections],
    )
    image = _rule_image(region) if debugger.rules or debugger.profiler_rules else ""
    return {
        "debug_hook_config": hook,
        "debug_rule_configurations": [
            DebugRuleConfiguration(**_rule(debugger, name, image)) for name in debugger.rules
        ],
        "profiler_config": ProfilerConfig(**profile),
        "profiler_rule_configurations": [
            ProfilerRuleConfiguration(**_rule(debugger, name, image)) for name in debugger.profiler_rules
        ],
    }


def notes(debugger: Debugger, *, image_uri: str) -> Sequence[str]:
    """What of the request the training image cannot do, a sentence each."""
    if not debugger.framework_steps or has_framework_profiling(image_uri):
        return ()
    note = (
        f"framework profiling of {debugger.framework_steps} steps is left out: the image {image_uri} has no PyTorch "
        "before 2.0, the last with it. The training script profiles its steps by itself."
    )
    return (note,)


def has_framework_profiling(image_uri: str) -> bool:
    """Whether a training image is known to be an AWS PyTorch image from before 2.0."""
    version = _PYTORCH_IMAGE.search(image_uri)
    return version is not None and int(version[1]) <= _LAST_MAJOR_WITH_FRAMEWORK_PROFILING


def _rule(debugger: Debugger, name: str, image: str) -> dict[str, Any]:
    return {
        "rule_configuration_name": name,
        "rule_evaluator_image": image,
        "rule_parameters": {RULE_PARAMETER: name, **debugger.rule_parameters.get(name, {})},
    }


def _rule_image(region: str) -> str:
    try:
        return str(get_rule_container_image_uri(None, region))
    except ValueError as error:
        raise ConfigurationError(
            f"The managed Debugger has no rule container in {region}: {error} Leave debugger out; the training script "
            "records and judges by itself."
        ) from error
