"""Snapshots of a training step: tensors and reductions, which are converted to numbers when the buffer is flushed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from training_scripts.recording.recorder import torch_reductions
from training_scripts.recording.recorder.torch_reductions import Number
from training_scripts.recording.trial.records import Array
from training_scripts.recording.trial.reductions import REDUCTIONS, SATURATION

if TYPE_CHECKING:
    from typing import TypeGuard

    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

GRADIENTS = "gradients"
UPDATE_RATIO, INACTIVE, SATURATED = "update_ratio", "inactive_fraction", "saturated_fraction"


class Snapshot:
    """Tensors and reductions of one step.

    Attributes:
        reduced: Tensor's name -> kind -> number, or a one-element tensor that holds the number.
        all_kinds: Tensor's name -> all of `REDUCTIONS`, as numbers or as one tensor on a GPU.
        full: Tensor's name -> a copy of it: an array, or a tensor on a GPU.
        collections: Tensor's name -> collection.
        wants_full: Whether to copy weights, gradients and activations in full, in addition to their reductions.
        skipped: A tensor that is not 0 if a fused optimizer skipped its step, because gradients overflowed under a
            GradScaler: gradients and updates are left out then.
    """

    def __init__(self, *, full: bool = False) -> None:
        self.wants_full = full
        self.skipped: Tensor | None = None
        self.reduced: dict[str, dict[str, Number]] = {}
        self.all_kinds: dict[str, list[float] | Tensor] = {}
        self.full: dict[str, Array | Tensor] = {}
        self.collections: dict[str, str] = {}

    def keep_full(self, name: str, tensor: Array | Tensor, collection: str) -> None:
        """Keeps a copy of a tensor, or an array itself."""
        if not isinstance(tensor, np.ndarray):
            tensor = as_array(tensor) if tensor.is_cpu else tensor.detach().clone()
        self.full[name], self.collections[name] = tensor, collection

    def keep_number(self, name: str, kind: str, value: Number) -> None:
        """Keeps one reduction of a tensor."""
        self.reduced.setdefault(name, {})[kind] = torch_reductions.number_if_ready(value)

    def nbytes(self) -> int:
        """Memory used by the full tensors, in bytes."""
        return sum(value.nbytes for value in self.full.values())

    def numbers(self) -> Iterator[tuple[str, str, float]]:
        """Yields tensor's name, kind and number of each reduction; waits for the GPU."""
        if self.skipped is not None and float(self.skipped):
            self._leave_out_the_step()
        for name, values in self.all_kinds.items():
            listed = values if isinstance(values, list) else values.tolist()
            yield from ((name, kind, value) for kind, value in zip(REDUCTIONS, listed, strict=True))
        for name, kinds in self.reduced.items():
            yield from ((name, kind, float(value)) for kind, value in kinds.items())

    def _leave_out_the_step(self) -> None:
        self.all_kinds = {name: kinds for name, kinds in self.all_kinds.items() if self.collections[name] != GRADIENTS}
        for kinds in self.reduced.values():
            kinds.pop(UPDATE_RATIO, None)


class Layers:
    """The trained parameters and the activations of a network, under the names that smdebug gives them.

    Attributes:
        parameters: Name (`<class of the network>_<parameter>`) -> parameter, trained ones only.
    """

    def __init__(self, network: nn.Module) -> None:
        """Finds the parameters and activations; the network is not changed.

        Args:
            network: The module that is trained.
        """
        prefix = type(network).__name__
        self.parameters = {
            f"{prefix}_{name}": parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and parameter.numel() and parameter.is_floating_point()
        }
        self._activations = list(_activations(network))
        self._before: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._calls: dict[str, int] = {}
        self._failure: Exception | None = None

    def take_weights(self, snapshot: Snapshot, *, keep: bool = True) -> None:
        """Reads weights and biases; called before the optimizer's step.

        Args:
            snapshot: Where to.
            keep: Copy them for `take_updates`.
        """
        self._before = {}
        if keep:
            self._before = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        for name, tensor in (self._before or self.parameters).items():
            self._take(snapshot, name, tensor, "biases" if name.endswith("bias") else "weights")

    def watch_activations(self, snapshot: Snapshot) -> None:
        """Adds forward hooks to the activations until `ignore_activations`; `check` raises the hooks' errors."""
        for module, hook in self.hooks(snapshot).items():
            self._handles.append(module.register_forward_hook(hook, with_kwargs=True))

    def hooks(self, snapshot: Snapshot) -> dict[nn.Module, Callable[..., None]]:
        """The activations, each with a forward hook that reads it."""
        self._calls = {}
        return {module: self._hook(snapshot, name, kind) for module, name, kind in self._activations}

    def ignore_activations(self) -> None:
        """Removes the forward hooks: left in place, they would cost time in every step."""
        while self._handles:
            self._handles.pop().remove()

    def check(self) -> None:
        """Raises the first error of a forward hook, which does not raise it itself: that would end the forward pass."""
        if self._failure is not None:
            raise self._failure

    def take_gradients(self, snapshot: Snapshot, *, scale: Tensor | None = None) -> None:
        """Reads the gradients; called between the backward pass and the optimizer's step.

        Args:
            snapshot: Where to.
            scale: What the gradients are multiplied with, if they still are.
        """
        for name, parameter in self.parameters.items():
            gradient = parameter.grad
            if gradient is None or gradient.is_sparse:
                continue
            self._take(snapshot, f"gradient/{name}", gradient if scale is None else gradient / scale, GRADIENTS)

    def take_updates(self, snapshot: Snapshot) -> None:
        """Measures the size of each parameter's update; called after the optimizer's step."""
        for name, before in self._before.items():
            snapshot.keep_number(name, UPDATE_RATIO, torch_reductions.update_ratio(self.parameters[name], before))
        self._before = {}

    def _take(self, snapshot: Snapshot, name: str, tensor: Tensor, collection: str) -> None:
        snapshot.collections[name] = collection
        snapshot.all_kinds[name] = torch_reductions.reduce_all(tensor)
        if snapshot.wants_full:
            snapshot.keep_full(name, tensor, collection)

    def _hook(self, snapshot: Snapshot, module_name: str, kind: str) -> Callable[..., None]:
        def hook(_module: nn.Module, inputs: tuple[object, ...], named: Mapping[str, object], output: object) -> None:
            if self._failure is None:
                try:
                    self._read_activation(
                        snapshot, module_name, kind, next(iter((*inputs, *named.values())), None), output
                    )
                except Exception as error:  # noqa: BLE001 - raising here would end the forward pass, and training
                    self._failure = error

        return hook

    def _read_activation(self, snapshot: Snapshot, module_name: str, kind: str, inner: object, output: object) -> None:
        """Reads one pass through an activation; ignores inputs and outputs that are not tensors."""
        if not (_is_tensor(inner) and _is_tensor(output)):
            return
        call = self._calls[module_name] = self._calls.get(module_name, -1) + 1
        name = f"{module_name}_{kind}_output_{call}"
        snapshot.collections[name] = f"{kind}_output"
        if kind == "relu":
            snapshot.keep_number(name, INACTIVE, torch_reductions.inactive_fraction(output))
        else:
            low, high = SATURATION[kind]
            snapshot.keep_number(name, SATURATED, torch_reductions.saturated_fraction(inner, low, high))
        if snapshot.wants_full:
            snapshot.keep_full(name, output, f"{kind}_output")
            if kind != "relu":
                snapshot.keep_full(f"{module_name}_{kind}_input_{call}", inner, f"{kind}_input")


def as_array(tensor: Tensor) -> Array:
    """A copy of a tensor as an array; bfloat16 becomes float32, because NumPy does not support it."""
    there = tensor.detach().cpu()
    return np.array((there if str(there.dtype) != "torch.bfloat16" else there.float()).numpy())


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    return hasattr(value, "detach")


def _activations(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """The activations next to a trained layer; those of a frozen backbone do not change."""
    from torch import nn  # noqa: PLC0415

    kinds: Mapping[str, tuple[type[nn.Module], ...]] = {
        "relu": (nn.ReLU, nn.ReLU6),  # a leaky one passes a gradient wherever it is
        "sigmoid": (nn.Sigmoid,),
        "tanh": (nn.Tanh,),
    }
    modules = dict(network.named_modules())
    for name, module in modules.items():
        kind = next((kind for kind, classes in kinds.items() if isinstance(module, classes)), None)
        parent = modules[name.rpartition(".")[0]] if name else module
        if kind and any(parameter.requires_grad for parameter in parent.parameters()):
            yield module, name, kind
