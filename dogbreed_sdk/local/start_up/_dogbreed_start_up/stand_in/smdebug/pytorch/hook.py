"""The hook: records the tensors of a module and its loss in smdebug's layout, under smdebug's names."""

from __future__ import annotations

import atexit
import functools
import os
import weakref
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

import numpy as np
import torch

from ..core.collection import (
    DEFAULT_COLLECTIONS,
    NON_REDUCTION_COLLECTIONS,
    Collection,
    CollectionKeys,
    CollectionManager,
)
from ..core.current_hook import set_hook
from ..core.json_config import create_hook, profiles_framework
from ..core.modes import ALLOWED_MODE_NAMES, ModeKeys
from ..core.reduction_config import ReductionConfig
from ..core.save_config import SaveConfig
from ..exceptions import InvalidCollectionConfiguration, SMDebugError, SMDebugTypeError, SMDebugValueError
from ..messages import log
from .trial import CHIEF, Trial

_Method = TypeVar("_Method", bound=Callable[..., Any])


def _harmless(method: _Method) -> _Method:
    """Called from within training: an error ends the recording, unless the script's configuration is wrong."""

    @functools.wraps(method)
    def call(self: Hook, *args: Any, **kwargs: Any) -> Any:
        # A call that torch traces is not a step: what recorded it would become part of the trace.
        if not self.is_recording or torch._C._get_tracing_state():
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            if isinstance(error, SMDebugError) and not self.has_default_configuration():
                raise
            self.is_recording = False
            log(f"warning: recording stops, and training continues: {type(error).__name__}: {error}")
            return None

    return cast("_Method", call)


class Hook:
    """Records to a folder; arguments, methods and attributes are those of smdebug's hook for PyTorch."""

    is_recording = False

    def __init__(
        self,
        out_dir: str | None = None,
        export_tensorboard: bool = False,
        tensorboard_dir: str | None = None,
        dry_run: bool = False,
        reduction_config: ReductionConfig | None = None,
        save_config: Any = None,
        include_regex: list[str] | None = None,
        include_collections: Iterable[str] | None = None,
        save_all: bool = False,
        include_workers: str = "one",
    ) -> None:
        if out_dir is None:
            raise RuntimeError("out_dir is a required argument")
        self.out_dir = os.path.expanduser(out_dir)
        self.dry_run = dry_run
        self.save_all, self.save_all_workers = save_all, include_workers == "all"
        self.save_config = SaveConfig.parse(save_config)
        self.reduction_config = reduction_config or ReductionConfig(save_raw_tensor=True)
        self.collection_manager = CollectionManager()
        self.include_collections = [CollectionKeys.LOSSES, *(include_collections or ())]
        if include_regex is not None:
            self._include(CollectionKeys.DEFAULT, include_regex)
        if save_all:
            self._include(CollectionKeys.ALL, [".*"])
        self.module_set: set[Any] = set()
        # For hooks derived from this one; smdebug had `module_maps` in earlier versions.
        self.module_maps: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self.last_saved_step: int | None = None
        self.has_registered_module = self.has_registered_loss_module = False
        self.prepared_collections = False
        self.step = -1
        self.mode = ModeKeys.GLOBAL
        self.mode_steps = {ModeKeys.GLOBAL: -1}
        self._saved: list[Collection] = []
        self._saved_now: list[Collection] | None = None
        self._counts: dict[str, int] = {}
        # Scalars that are saved before the first step.
        self._early: list[tuple[str, Any]] = []
        self._custom: dict[str, tuple[Any, str]] = {}
        self._trial: Trial | None = None
        self.is_recording = True
        set_hook(self)
        atexit.register(self.close)
        self._summaries: Any = None
        if export_tensorboard or tensorboard_dir:
            self._summaries = _summary_writer(tensorboard_dir or os.path.join(self.out_dir, "tensorboard"))
        if self.out_dir.startswith("s3://"):
            self.dry_run = True
            log(f"warning: nothing is saved to {self.out_dir}: pass a folder, or use the job's DebugHookConfig")
        else:
            log(f"saving to {self.out_dir}")
        if profiles_framework():
            log("warning: the framework is not profiled; install smdebug for that")

    def __deepcopy__(self, memo: object) -> Hook:
        # A copy of a hook, in a copy of a model, records nothing.
        return type(self).__new__(type(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # torch.save(model) writes a model's hooks too. They are written as functions of Python's own library that do
        # nothing, so that the model can be loaded where there is no smdebug, as in the container of an endpoint.
        ignore = nullcontext().__exit__
        return SimpleNamespace, (), {"forward_pre_hook": ignore, "forward_hook": ignore}

    @classmethod
    def create_from_json_file(cls, json_file_path: str | None = None) -> Hook:
        """The hook that a file configures, or the job's DebugHookConfig."""
        return cast("Hook", create_hook(cls, json_file_path))

    def register_hook(self, module: Any) -> None:
        """Another name of `register_module`."""
        self.register_module(module)

    def register_module(self, module: Any) -> None:
        """Record the tensors of a model."""
        if not isinstance(module, torch.nn.Module):
            raise SMDebugError(f"Module type {module.__class__.__name__} must be type torch.nn.Module")
        for name, part in module.named_modules():
            assert part not in self.module_set, f"Don't register module={module} twice"
            self._watch(part, name or _named(module))
        module.register_forward_pre_hook(self.forward_pre_hook)
        parameter: Any
        for name, parameter in module.named_parameters():
            if parameter.requires_grad:
                parameter.register_hook(self.backward_hook(f"{_named(module)}_{name}"))
        self.has_registered_module = True

    def register_loss(self, loss_module: Any) -> None:
        """Record the outputs of a loss."""
        assert isinstance(loss_module, torch.nn.modules.loss._Loss), (
            f"loss_module={loss_module} must be subclass of `torch.nn.modules.loss._Loss`, "
            f"but has class hierarchy {type.mro(type(loss_module))}"
        )
        self._watch(loss_module, _named(loss_module))
        self.has_registered_loss_module = True

    def set_mode(self, mode: ModeKeys) -> None:
        """Set what the next steps are for."""
        if not isinstance(mode, ModeKeys):
            raise SMDebugValueError(f"Invalid mode {mode}. Valid modes are {','.join(ALLOWED_MODE_NAMES)}.")
        self.mode = mode
        self.mode_steps.setdefault(mode, -1)
        self._saved_now = None

    def get_collection(self, name: str, create: bool = True) -> Collection:
        """A collection; a missing one is created."""
        return self.collection_manager.get(name, create=create)

    def get_collections(self) -> dict[str, Collection]:
        """All collections by name."""
        return self.collection_manager.get_collections()

    def add_collection(self, collection: Collection) -> None:
        """Add a collection."""
        if not isinstance(collection, Collection):
            raise SMDebugTypeError(f"collection must be an instance of Collection, not {type(collection)}")
        self.collection_manager.add(collection)

    def has_default_configuration(self) -> bool:
        """Whether only losses are recorded, as in a job that does not configure collections."""
        return {collection.name for collection in self._saved} <= {CollectionKeys.LOSSES}

    def save_scalar(self, name: str, value: Any, sm_metric: bool = False, timestamp: float | None = None) -> None:
        """Record a number with the current step."""
        del sm_metric, timestamp
        array = np.atleast_1d(_array(value))
        if array.size != 1:
            raise SMDebugTypeError(f"{name} has non scalar value of type: {type(value)}")
        self._save_scalar(f"scalar/{name}", array)

    def save_tensor(self, tensor_name: str, tensor_value: Any, collections_to_write: Any = "default") -> None:
        """Record a tensor with the current step."""
        names = [collections_to_write] if isinstance(collections_to_write, str) else collections_to_write
        for collection in names:
            self._custom[tensor_name] = (tensor_value, collection)

    @_harmless
    def record_tensor_value(self, tensor_name: str, tensor_value: Any) -> None:
        """Record a loss that no module computes."""
        if self.prepared_collections:
            self._write(tensor_name, "_output_", tensor_value)

    @_harmless
    def forward_pre_hook(self, module: Any, inputs: Any) -> None:
        """Begin a step, and record the weights."""
        del inputs
        self._end_step()
        if not self.prepared_collections:
            self._prepare_collections()
        self.step += 1
        self.mode_steps[self.mode] += 1
        self.mode_steps[ModeKeys.GLOBAL] = self.step
        self._counts.clear()
        self._saved_now = None
        self._save_early()
        if self._collections_now():
            for name, parameter in module.named_parameters():
                self._save(f"{_named(module)}_{name}", parameter.detach())

    @_harmless
    def forward_hook(self, module: Any, inputs: Any, outputs: Any) -> None:
        """Record inputs and outputs."""
        if not self.prepared_collections:
            raise InvalidCollectionConfiguration("no model is registered, so the steps cannot be counted")
        if self._collections_now():
            self._write_inputs(module._module_name, inputs)
            self._write_outputs(module._module_name, outputs)
            self._write_custom()

    def backward_hook(self, tname: str) -> Callable[[Any], None]:
        """Record a parameter's gradient."""
        return functools.partial(self._record_gradient, tname)

    @_harmless
    def _record_gradient(self, name: str, gradient: Any) -> None:
        if gradient is not None and self._collections_now():
            self._save(f"gradient/{name}", gradient)

    @_harmless
    def close(self) -> None:
        """Write the rest."""
        self._save_early()
        self._end_step()
        self._opened().close(self.get_collections())
        if self._summaries is not None:
            self._summaries.close()
        self.is_recording = False

    @_harmless
    def _save_scalar(self, name: str, array: Any) -> None:
        if self.step < 0:
            self._early.append((name, array))
        else:
            self._opened().add(self, name, array)

    def _save_early(self) -> None:
        for name, array in self._early:
            self._opened().add(self, name, array)
        self._early.clear()

    def _watch(self, module: Any, name: str) -> None:
        module._module_name = name
        self.module_set.add(module)
        self.module_maps[module] = name
        module.register_forward_hook(self.forward_hook)

    def _include(self, name: str, patterns: list[str]) -> None:
        self.get_collection(name).include(patterns)
        self.include_collections.append(name)

    def _prepare_collections(self) -> None:
        collections = self.get_collections()
        for name, collection in collections.items():
            for module, (inputs, outputs) in collection.modules.items():
                wanted = (("_input_", inputs), ("_output_", outputs))
                collection.include([module._module_name + suffix for suffix, included in wanted if included])
            if name not in DEFAULT_COLLECTIONS and not (collection.include_regex or collection.tensor_names):
                raise InvalidCollectionConfiguration(f"Collection {name} has neither patterns nor tensors")
            if collection.save_config is None:
                collection.save_config = self.save_config
            collection.save_config.merge_default_save_config(self.save_config)
            if name in NON_REDUCTION_COLLECTIONS:
                collection.reduction_config = ReductionConfig(save_raw_tensor=True)
            elif collection.reduction_config is None:
                collection.reduction_config = self.reduction_config
            if collection.reduction_config is not None and collection.reduction_config.save_shape:
                log(f"warning: the shapes of collection {name} are not recorded; install smdebug for that")
        everything = CollectionKeys.ALL in self.include_collections
        self._saved = [found for name, found in collections.items() if everything or name in self.include_collections]
        self.prepared_collections = True

    def _collections_now(self) -> list[Collection]:
        """The collections that are recorded at this step."""
        if self._saved_now is None:
            judged = self.mode in (ModeKeys.EVAL, ModeKeys.PREDICT)
            without = (CollectionKeys.GRADIENTS, CollectionKeys.OPTIMIZER_VARIABLES) if judged else ()
            self._saved_now = [
                collection
                for collection in self._saved
                if collection.name not in without
                and collection.save_config is not None
                and collection.save_config.should_save_step(self.mode, self.mode_steps[self.mode])
            ]
        return self._saved_now

    def _write_inputs(self, name: str, inputs: Any) -> None:
        self._write(name, "_input_", inputs)

    def _write_outputs(self, name: str, outputs: Any) -> None:
        self._write(name, "_output_", outputs)

    def _write(self, name: str, suffix: str, value: Any) -> None:
        """Record the tensors in a value, numbered."""
        if isinstance(value, torch.Tensor):
            number = self._counts.get(name + suffix, 0)
            self._counts[name + suffix] = number + 1
            self._save(f"{name}{suffix}{number}", value.detach())
        elif isinstance(value, (list, tuple)):
            for each in value:
                self._write(name, suffix, each)

    def _save(self, name: str, tensor: Any) -> None:
        """Record a tensor as its collections ask for it."""
        collections = [collection for collection in self._collections_now() if collection.has(name)]
        configurations = [each.reduction_config for each in collections if each.reduction_config is not None]
        if not configurations or not tensor.numel():
            return
        if self._summaries is not None:
            self._summarize(name, tensor, collections)
        trial = self._opened()
        for kind, absolute in dict.fromkeys(kind for one in configurations for kind in one.kinds()):
            trial.add_reduction(self, f"{'abs_' * absolute}{kind}", name, _reduced(tensor, kind, absolute=absolute))
        if any(one.save_raw_tensor for one in configurations):
            trial.add(self, name, _array(tensor))

    def _summarize(self, name: str, tensor: Any, collections: list[Collection]) -> None:
        """Export a number, or a tensor's histogram, to TensorBoard."""
        if any(collection.name in NON_REDUCTION_COLLECTIONS for collection in collections):
            if tensor.numel() == 1:
                self._summaries.add_scalar(name, tensor.item(), self.step)
        elif any(collection.save_histogram for collection in collections):
            self._summaries.add_histogram(f"{collections[0].name}/{name}", _array(tensor), self.step)

    def _write_custom(self) -> None:
        for name, (value, collection) in self._custom.items():
            self.get_collection(collection).add_tensor_name(name)
            self._opened().add(self, name, _array(value))
        self._custom.clear()

    def _end_step(self) -> None:
        if self._trial is not None:
            self._trial.write_step(self.get_collections())

    def _opened(self) -> Trial:
        if self._trial is None:
            worker, workers = _worker()
            wanted = not self.dry_run and (self.save_all_workers or worker == CHIEF)
            self._trial = Trial(Path(self.out_dir), worker, workers if self.save_all_workers else 1, wanted=wanted)
        return self._trial


def _summary_writer(folder: str) -> Any:
    """TensorBoard's writer; None if it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log("warning: no TensorBoard summaries are exported; install tensorboard for them")
        return None
    return SummaryWriter(folder)


def _named(module: Any) -> str:
    """A module's name in the names of its tensors: its class."""
    return str(module._get_name())


def _worker() -> tuple[str, int]:
    """The name of this process among the workers, and their number."""
    distributed = torch.distributed
    if distributed.is_available() and distributed.is_initialized():
        return f"worker_{distributed.get_rank()}", distributed.get_world_size()
    return CHIEF, 1


def _array(value: Any) -> Any:
    """A copy of a value as an array; bfloat16 becomes float32, because NumPy does not support it."""
    if isinstance(value, torch.Tensor):
        there = value.detach().cpu()
        value = (there.float() if there.dtype == torch.bfloat16 else there).numpy()
    return np.array(value)


def _reduced(tensor: Any, kind: str, *, absolute: bool) -> float:
    """A reduction or norm of a tensor."""
    values = tensor.detach()
    values = values.float() if not values.is_floating_point() or values.dtype.itemsize < 4 else values
    values = values.abs() if absolute else values
    if kind in ("l1", "l2"):
        return float(torch.linalg.vector_norm(values, ord=int(kind[1])))
    if kind in ("std", "variance"):
        # torch's own correction, as smdebug: one element has no deviation.
        return float(getattr(values, "var" if kind == "variance" else kind)()) if values.numel() > 1 else float("nan")
    return float(getattr(values, kind)())
