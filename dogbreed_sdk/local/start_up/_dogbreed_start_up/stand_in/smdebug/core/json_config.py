"""Reads a hook's configuration as SageMaker writes it from DebugHookConfig: every parameter is a text."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .modes import ModeKeys
from .reduction_config import ReductionConfig, is_true
from .save_config import SaveConfig, SaveConfigMode

_FOLDER = "/opt/ml/input/config"
_HOOK = "SMDEBUG_CONFIG_FILE_PATH", f"{_FOLDER}/debughookconfig.json"
_TENSORBOARD = "TENSORBOARD_CONFIG_FILE_PATH", f"{_FOLDER}/tensorboardoutputconfig.json"
_PROFILER = "SMPROFILER_CONFIG_PATH", f"{_FOLDER}/profilerconfig.json"
_DEFAULT_OUT_DIR = "/opt/ml/output/tensors"
_SAVING = ("save_interval", "start_step", "end_step")


def create_hook(hook_class: Any, path: str | None = None) -> Any:
    """A hook as a file configures it.

    Args:
        hook_class: The hook's class.
        path: The file; None for the job's.

    Raises:
        FileNotFoundError: There is no such file: the job has no DebugHookConfig.
    """
    content = json.loads(Path(path or os.environ.get(*_HOOK)).read_text(encoding="utf-8"))
    parameters = content.get("HookParameters") or {}
    configured = content.get("CollectionConfigurations")
    modes = _modes(parameters, {})
    hook = hook_class(
        out_dir=content.get("LocalPath", _DEFAULT_OUT_DIR),
        reduction_config=ReductionConfig.from_dict(parameters) if "reductions" in parameters else None,
        save_config=_save_config(modes),
        include_regex=_texts(parameters["include_regex"]) if "include_regex" in parameters else None,
        include_collections=None if configured is None else [each["CollectionName"] for each in configured],
        include_workers=parameters.get("include_workers", "one"),
        save_all=is_true(parameters.get("save_all", False)),
        tensorboard_dir=_content(_TENSORBOARD).get("LocalPath"),
    )
    for each in configured or ():
        _configure(hook.get_collection(each["CollectionName"]), each.get("CollectionParameters") or {}, modes)
    return hook


def profiles_framework() -> bool:
    """Whether the job asks smdebug to profile the framework."""
    return bool(_content(_PROFILER).get("ProfilingParameters"))


def _content(variable: tuple[str, str]) -> dict[str, Any]:
    """The content of a configuration file; empty if the job has none."""
    path = Path(os.environ.get(*variable))
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _configure(collection: Any, parameters: Mapping[str, str], modes: Mapping[ModeKeys, Mapping[str, Any]]) -> None:
    collection.save_config = _save_config(_modes(parameters, modes))
    if "reductions" in parameters:
        collection.reduction_config = ReductionConfig.from_dict(parameters)
    if "include_regex" in parameters:
        collection.include(_texts(parameters["include_regex"]))
    if "save_histogram" in parameters:
        collection.save_histogram = is_true(parameters["save_histogram"])


def _modes(
    parameters: Mapping[str, str], before: Mapping[ModeKeys, Mapping[str, Any]]
) -> dict[ModeKeys, dict[str, Any]]:
    """What the parameters say of each mode: `train.save_interval` counts more than `save_interval`."""
    return {
        mode: {**before.get(mode, {}), **_saving(parameters, ""), **_saving(parameters, f"{mode.name.lower()}.")}
        for mode in ModeKeys
    }


def _saving(parameters: Mapping[str, str], prefix: str) -> dict[str, Any]:
    found: dict[str, Any] = {name: parameters[prefix + name] for name in _SAVING if prefix + name in parameters}
    if f"{prefix}save_steps" in parameters:
        found["save_steps"] = [int(step) for step in _texts(parameters[f"{prefix}save_steps"])]
    return found


def _save_config(modes: Mapping[ModeKeys, Mapping[str, Any]]) -> SaveConfig:
    return SaveConfig({mode: SaveConfigMode.from_dict(found) for mode, found in modes.items()})


def _texts(listed: str) -> list[str]:
    return [text.strip() for text in listed.split(",")]
