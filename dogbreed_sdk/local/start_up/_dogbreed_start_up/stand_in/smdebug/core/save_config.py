"""When tensors are saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..exceptions import SMDebugTypeError, SMDebugValueError
from .modes import ModeKeys

DEFAULT_SAVE_INTERVAL = 500


class SaveConfigMode:
    """When tensors are saved in one mode."""

    def __init__(
        self,
        save_interval: int | str | None = None,
        start_step: int | str | None = None,
        end_step: int | str | None = None,
        save_steps: list[int] | None = None,
    ) -> None:
        self.save_interval = DEFAULT_SAVE_INTERVAL if save_interval is None else int(save_interval)
        self.start_step = 0 if start_step is None else int(start_step)
        self.end_step = None if end_step is None else int(end_step)
        self.save_steps = [] if save_steps is None else save_steps
        if not (isinstance(self.save_steps, list) and all(isinstance(step, int) for step in self.save_steps)):
            raise SMDebugValueError(f"save_steps={self.save_steps} must be a list of integers")

    def should_save_step(self, step_num: int) -> bool:
        """Whether a step of the mode is saved."""
        if step_num in self.save_steps:
            return True
        within = self.start_step <= step_num and (self.end_step is None or step_num < self.end_step)
        return within and step_num % self.save_interval == 0

    def to_json_dict(self) -> dict[str, Any]:
        """The form in the recording."""
        return {
            "save_interval": self.save_interval,
            "save_steps": self.save_steps,
            "start_step": self.start_step,
            "end_step": self.end_step,
        }

    @classmethod
    def from_dict(cls, params: Mapping[str, Any] | None) -> SaveConfigMode | None:
        """From the form in the recording; None for None."""
        if params is None:
            return None
        known = ("save_interval", "start_step", "end_step", "save_steps")
        return cls(**{name: params[name] for name in known if name in params})


class SaveConfig:
    """When tensors are saved in each mode; a mode without a configuration has the hook's."""

    def __init__(
        self,
        mode_save_configs: dict[ModeKeys, SaveConfigMode | None] | None = None,
        save_interval: int | str | None = None,
        start_step: int | str | None = None,
        end_step: int | str | None = None,
        save_steps: list[int] | None = None,
    ) -> None:
        if mode_save_configs is None:
            one = SaveConfigMode(save_interval, start_step, end_step, save_steps)
            mode_save_configs = dict.fromkeys(ModeKeys, one)
        for mode, value in mode_save_configs.items():
            if not isinstance(mode, ModeKeys) or not (value is None or isinstance(value, SaveConfigMode)):
                raise SMDebugValueError(f"mode_save_configs={mode_save_configs} must map modes to SaveConfigMode")
        self.mode_save_configs = {mode: mode_save_configs.get(mode) for mode in ModeKeys}

    def get_save_config(self, mode: ModeKeys) -> SaveConfigMode:
        """The configuration of a mode."""
        found = self.mode_save_configs[mode]
        if found is None:
            raise SMDebugValueError(f"SaveConfig={self} has no configuration for {mode} yet")
        return found

    def set_save_config(self, mode: ModeKeys, save_config_mode: SaveConfigMode) -> None:
        """Set the configuration of a mode."""
        if not isinstance(save_config_mode, SaveConfigMode):
            raise SMDebugValueError(f"save_config_mode={save_config_mode} must be a SaveConfigMode")
        self.mode_save_configs[mode] = save_config_mode

    def should_save_step(self, mode: ModeKeys, step_num: int) -> bool:
        """Whether a step of a mode is saved."""
        return self.get_save_config(mode).should_save_step(step_num)

    def merge_default_save_config(self, default_save_config: SaveConfig) -> None:
        """Take what is missing from another configuration."""
        for mode in ModeKeys:
            if self.mode_save_configs[mode] is None:
                self.mode_save_configs[mode] = default_save_config.mode_save_configs[mode] or SaveConfigMode()

    def to_json_dict(self) -> dict[str, Any]:
        """The form in the recording."""
        return {mode.name: value and value.to_json_dict() for mode, value in self.mode_save_configs.items()}

    @classmethod
    def parse(cls, given: Any) -> SaveConfig:
        """From what a hook accepts: a SaveConfig, a SaveConfigMode, or modes with configurations or dictionaries."""
        if given is None:
            return cls()
        if isinstance(given, SaveConfig):
            return given
        if isinstance(given, SaveConfigMode):
            return cls(dict.fromkeys(ModeKeys, given))
        if isinstance(given, dict):
            modes = {ModeKeys[mode] if isinstance(mode, str) else mode: value for mode, value in given.items()}
            return cls({mode: _mode_config(value) for mode, value in modes.items()})
        raise SMDebugTypeError(f"{given} cannot be parsed into a SaveConfig object")


def _mode_config(given: Any) -> SaveConfigMode | None:
    return given if given is None or isinstance(given, SaveConfigMode) else SaveConfigMode.from_dict(given)
