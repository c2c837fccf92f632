"""Records with smdebug's hook instead of our recorder; smdebug must be installed."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from training_scripts import ScriptError
from training_scripts.recording.recorder.save_interval import planned
from training_scripts.recording.trial import layout, run_facts
from training_scripts.recording.trial.trial import EVAL, TRAIN
from training_scripts.training.callbacks import Callback, first_line

if TYPE_CHECKING:
    from torch import Tensor, nn

_REMEDY = (
    "install it with `pip install 'dogbreed-sdk[smdebug]'` (Python below 3.13), or leave recorder at builtin: "
    "smdebug reads its recordings, too."
)
_Hooks: TypeAlias = "dict[int, Callable[..., object]]"
_KINDS = "min,max,mean,std"


class SmdebugError(ScriptError):
    """smdebug cannot be used here; the message says why."""


class SmdebugRecorder(Callback):
    """Drives smdebug's hook: losses of every step, weights, biases and gradients at the save intervals."""

    def __init__(
        self,
        folder: Path | str,
        *,
        train_interval: int = 0,
        eval_interval: int = 0,
        full_tensors: bool = False,
        report: Callable[[str], Any] = print,
    ) -> None:
        """Checks that smdebug works here; records nothing yet.

        Args:
            folder: The trial's folder; an earlier trial in it is removed, because smdebug cannot continue one.
            train_interval: Save every N TRAIN steps, or more often in short runs unless tensors are full; 0: 100.
            eval_interval: Likewise for EVAL; 0: every step.
            full_tensors: Record full tensors instead of reductions.
            report: Called with one line of log at a time.

        Raises:
            SmdebugError: smdebug is not installed, or does not work with the installed packages.
        """
        self.folder = Path(folder)
        self._smdebug = _load()
        self._saves = planned(train_interval, 0)
        self._intervals = {TRAIN: self._saves.interval, EVAL: eval_interval or 1}
        self._full_tensors = full_tensors
        self._report = report
        self._hook: Any = None
        self._modes: dict[str, Any] = {}
        self._added: list[tuple[_Hooks, int]] = []

    def run_begins(self, network: nn.Module, facts: Mapping[str, Any]) -> None:
        """Creates the hook and registers it with the network."""
        if any(parameter.dtype.itemsize < 4 for parameter in network.parameters() if parameter.requires_grad):
            raise SmdebugError(f"smdebug cannot record weights of half precision; {_REMEDY}")
        if self.folder.exists():  # smdebug's hook is silently incomplete if its folder exists
            for part in (layout.EVENTS, layout.INDEX, layout.COLLECTIONS, layout.CHECKSUMS):
                shutil.rmtree(self.folder / part, ignore_errors=True)
            for name in (layout.RUN_FILE, layout.END_FILE):
                (self.folder / name).unlink(missing_ok=True)
            if any(self.folder.iterdir()):
                raise SmdebugError(f"{self.folder} contains other files, and smdebug needs an empty folder")
            if not self.folder.is_symlink():
                self.folder.rmdir()
        if not self._full_tensors:
            self._saves = planned(self._saves.asked, run_facts.steps_of(facts))
            self._intervals[TRAIN] = self._saves.interval
        if note := self._saves.note():
            self._report(f"note: {note}")
        self._hook = self._made()
        before = _hooks(network)
        self._hook.register_module(network)
        known = {(id(there), key) for there, keys in before for key in keys}
        self._added = [(there, key) for there, keys in _hooks(network) for key in keys if (id(there), key) not in known]

    def batch_ready(self, mode: str, inputs: Tensor, labels: Tensor) -> None:  # noqa: ARG002
        """Sets the hook's mode for the next forward pass."""
        self._hook.set_mode(self._modes[mode])

    def step_ends(self, mode: str, loss: Tensor, correct: Tensor, size: int) -> None:  # noqa: ARG002
        """Records the step's loss with the hook."""
        self._hook.record_tensor_value("CrossEntropyLoss", loss.detach().float())
        # Forward passes outside the run's steps, such as those that evaluate the finished model, count as PREDICT.
        self._hook.set_mode(self._smdebug.modes.PREDICT)

    def run_ends(self) -> None:
        """Closes the trial and removes the hook from the network."""
        while self._added:
            there, key = self._added.pop()
            there.pop(key, None)
        if self._hook is not None:
            hook, self._hook = self._hook, None
            hook.close()

    def _made(self) -> Any:
        smdebug = self._smdebug
        self._modes = {TRAIN: smdebug.modes.TRAIN, EVAL: smdebug.modes.EVAL}
        reducing = None
        if not self._full_tensors:
            reducing = smdebug.ReductionConfig(
                reductions=_KINDS.split(","), abs_reductions=["mean"], norms=["l2"], save_raw_tensor=False
            )
        hook = smdebug.Hook(
            out_dir=str(self.folder),
            save_config=self._saving(self._intervals),
            reduction_config=reducing,
            include_collections=["weights", "biases", "gradients", "losses"],
        )
        hook.get_collection("losses").save_config = self._saving({TRAIN: 1, EVAL: 1})
        return hook

    def _saving(self, intervals: Mapping[str, int]) -> Any:
        make = self._smdebug.SaveConfigMode
        modes = {self._modes[mode]: make(save_interval=interval) for mode, interval in intervals.items()}
        return self._smdebug.SaveConfig(modes | {self._smdebug.modes.PREDICT: make(start_step=sys.maxsize)})


def _hooks(network: nn.Module) -> list[tuple[_Hooks, list[int]]]:
    """The hook tables of a network's modules and parameters, with their keys: smdebug keeps no list of its hooks."""
    tables: list[_Hooks] = []
    for module in network.modules():
        tables += [module._forward_hooks, module._forward_pre_hooks]
    tables += [cast("_Hooks", hooks) for each in network.parameters() if (hooks := each._backward_hooks) is not None]
    return [(table, list(table)) for table in tables]


def _load() -> Any:
    """Imports smdebug's module for PyTorch.

    Raises:
        SmdebugError: It cannot be imported, or does not work with the installed packages.
    """
    if importlib.util.find_spec("smdebug") is None:
        raise SmdebugError(f"recorder is smdebug, but smdebug is not installed here; {_REMEDY}")
    numpy = importlib.import_module("numpy")
    if tuple(int(part) for part in numpy.__version__.split(".")[:2]) >= (2, 3):
        raise SmdebugError(f"smdebug does not work with NumPy {numpy.__version__}; it needs NumPy below 2.3; {_REMEDY}")
    try:
        return importlib.import_module("smdebug.pytorch")
    except Exception as error:  # its protobuf modules raise TypeError with newer protobuf
        raise SmdebugError(f"smdebug fails to load ({first_line(error)}); {_REMEDY}") from error
