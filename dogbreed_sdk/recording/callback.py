"""What the callbacks of training frameworks share: the recorder that they open, and how their classes are made."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.recording.recorder import Recorder


class RecordingCallback:
    """A framework's callback that records.

    Attributes:
        recorder: The recorder, while training runs; otherwise None.
    """

    framework = "torch"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        hyperparameters: Mapping[str, object] | None = None,
        classes: Sequence[str] | None = None,
        task: str | None = None,
        save_interval: int = 0,
        profile: bool = True,
        rules: bool = True,
        resume: bool | int = False,
        overwrite: bool = False,
    ) -> None:
        """Records nothing yet. The arguments are those of `dogbreed_sdk.Recorder`; the rest comes from the framework.

        Args:
            folder: Where to record to.
            hyperparameters: Those of the run. Default: those that the framework knows.
            classes: Names of the classes in index order.
            task: classification or regression; None infers it.
            save_interval: Save gradients, weights and activations every N steps; 0: as `Recorder` chooses.
            profile: Measure steps and waits for data, and sample the machine.
            rules: Evaluate the rules when training ends, and print the verdict.
            resume: Continue the recording in the folder if there is one.
            overwrite: Replace the recording in the folder if there is one.
        """
        super().__init__()
        self.recorder: Recorder | None = None
        self._hyperparameters = hyperparameters
        self._classes = classes
        self._make = functools.partial(
            Recorder,
            folder,
            task=task,
            save_interval=save_interval,
            profile=profile,
            rules=rules,
            resume=resume,
            overwrite=overwrite,
            framework=self.framework,
        )

    def _begin(
        self,
        *,
        model: Any,
        optimizer: Any,
        hyperparameters: Mapping[str, object],
        epochs: int | None,
        steps_per_epoch: int | None,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Opens the recording with what the framework knows."""
        self.recorder = self._make(
            model=model,
            optimizer=optimizer,
            hyperparameters=hyperparameters if self._hyperparameters is None else self._hyperparameters,
            epochs=epochs,
            steps_per_epoch=steps_per_epoch,
            classes=classes if self._classes is None else self._classes,
        )
        self.recorder.__enter__()

    def _end(self, failure: BaseException | None = None) -> None:
        """Ends the recording. Later calls do nothing."""
        recorder, self.recorder = self.recorder, None
        if recorder is not None:
            recorder.__exit__(None if failure is None else type(failure), failure, None)


def callback_class(hooks: type, *, modules: Sequence[str], base: str, install: str) -> type:
    """The class `RecorderCallback` of a framework: its own class of callbacks, with hooks that record.

    Args:
        hooks: The hooks.
        modules: Where the framework's class may be; a module that is loaded already goes first.
        base: Its name.
        install: The command that installs the framework.

    Raises:
        ConfigurationError: The framework is not installed.
    """
    for name in sorted(modules, key=lambda module: module not in sys.modules):
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            framework = getattr(importlib.import_module(name), base)
            members = {"__module__": hooks.__module__, "__doc__": hooks.__doc__}
            return type("RecorderCallback", (hooks, framework), members)
    raise ConfigurationError(f"{modules[0]} is not installed. Install it with: {install}")
