"""Takes from a training step what is recorded of it, as tensors that are turned into numbers later."""

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

UPDATE_RATIO, INACTIVE, SATURATED = "update_ratio", "inactive_fraction", "saturated_fraction"


class Taken:
    """What was taken at one step.

    Attributes:
        reduced: Tensor's name -> kind -> number, or a tensor of one element that holds it.
        all_kinds: Tensor's name -> all of `REDUCTIONS`, as numbers or as one tensor.
        whole: Tensor's name -> its array, or the tensor on a GPU, a copy in any case.
        collections: Tensor's name -> collection.
        wants_whole: Whether weights, gradients and activations are taken whole, besides the numbers for them.
    """

    def __init__(self, *, whole: bool = False) -> None:
        self.wants_whole = whole
        self.reduced: dict[str, dict[str, Number]] = {}
        self.all_kinds: dict[str, list[float] | Tensor] = {}
        self.whole: dict[str, Array | Tensor] = {}
        self.collections: dict[str, str] = {}

    def keep_whole(self, name: str, tensor: Array | Tensor, collection: str) -> None:
        """Keeps a copy of a tensor, or an array as it is."""
        if not isinstance(tensor, np.ndarray):
            tensor = as_array(tensor) if tensor.is_cpu else tensor.detach().clone()
        self.whole[name], self.collections[name] = tensor, collection

    def keep_number(self, name: str, kind: str, value: Number) -> None:
        """Keeps a number that stands for a tensor."""
        self.reduced.setdefault(name, {})[kind] = torch_reductions.number_if_ready(value)

    def nbytes(self) -> int:
        """What the whole tensors take of the memory."""
        return sum(value.nbytes for value in self.whole.values())

    def numbers(self) -> Iterator[tuple[str, str, float]]:
        """Tensor's name, kind and number; this is where a GPU is waited for."""
        for name, values in self.all_kinds.items():
            listed = values if isinstance(values, list) else values.tolist()
            yield from ((name, kind, value) for kind, value in zip(REDUCTIONS, listed, strict=True))
        for name, kinds in self.reduced.items():
            yield from ((name, kind, float(value)) for kind, value in kinds.items())


class Layers:
    """The trained parameters and the activations of a network, by the names that smdebug gives them.

    Attributes:
        parameters: Name (`<class of the network>_<parameter>`) -> parameter, trained ones only.
    """

    def __init__(self, network: nn.Module) -> None:
        """Looks at the network; nothing of it is changed.

        Args:
            network: What is trained.
        """
        prefix = type(network).__name__
        self.parameters = {
            f"{prefix}_{name}": parameter
            for name, parameter in network.named_parameters()
            if parameter.requires_grad and parameter.numel()
        }
        self._activations = list(_activations(network))
        self._before: dict[str, Tensor] = {}
        self._handles: list[RemovableHandle] = []
        self._calls: dict[str, int] = {}
        self._failure: Exception | None = None

    def take_weights(self, taken: Taken) -> None:
        """Before the forward pass: weights and biases as they are."""
        self._before = {name: parameter.detach().clone() for name, parameter in self.parameters.items()}
        for name, tensor in self._before.items():
            self._take(taken, name, tensor, "biases" if name.endswith("bias") else "weights")

    def watch_activations(self, taken: Taken) -> None:
        """Listens to the next forward passes, until `ignore_activations`. What goes wrong there, `check` raises."""
        self._calls = {}
        for module, name, kind in self._activations:
            self._handles.append(module.register_forward_hook(self._listener(taken, name, kind), with_kwargs=True))

    def ignore_activations(self) -> None:
        """Listens no longer: hooks cost every step."""
        while self._handles:
            self._handles.pop().remove()

    def check(self) -> None:
        """Raises what went wrong while activations were listened to: there it would have ended the forward pass."""
        if self._failure is not None:
            raise self._failure

    def take_gradients(self, taken: Taken) -> None:
        """Between backward pass and optimiser."""
        for name, parameter in self.parameters.items():
            if parameter.grad is not None:
                self._take(taken, f"gradient/{name}", parameter.grad, "gradients")

    def take_updates(self, taken: Taken) -> None:
        """After the optimiser: how far it moved every tensor."""
        for name, before in self._before.items():
            taken.keep_number(name, UPDATE_RATIO, torch_reductions.update_ratio(self.parameters[name], before))
        self._before = {}

    def _take(self, taken: Taken, name: str, tensor: Tensor, collection: str) -> None:
        taken.collections[name] = collection
        taken.all_kinds[name] = torch_reductions.reduce_all(tensor)
        if taken.wants_whole:
            taken.keep_whole(name, tensor, collection)

    def _listener(self, taken: Taken, module_name: str, kind: str) -> Callable[..., None]:
        def listen(_module: nn.Module, inputs: tuple[object, ...], named: Mapping[str, object], output: object) -> None:
            if self._failure is None:
                try:
                    self._hear(taken, module_name, kind, next(iter((*inputs, *named.values())), None), output)
                except Exception as error:  # noqa: BLE001 - raised here it would end the forward pass, and training
                    self._failure = error

        return listen

    def _hear(self, taken: Taken, module_name: str, kind: str, inner: object, output: object) -> None:
        """Takes one pass through an activation; of one that is none of tensors, nothing."""
        if not (_is_tensor(inner) and _is_tensor(output)):
            return
        call = self._calls[module_name] = self._calls.get(module_name, -1) + 1
        name = f"{module_name}_{kind}_output_{call}"
        taken.collections[name] = f"{kind}_output"
        if kind == "relu":
            taken.keep_number(name, INACTIVE, torch_reductions.inactive_fraction(output))
        else:
            low, high = SATURATION[kind]
            taken.keep_number(name, SATURATED, torch_reductions.saturated_fraction(inner, low, high))
        if taken.wants_whole:
            taken.keep_whole(name, output, f"{kind}_output")
            if kind != "relu":
                taken.keep_whole(f"{module_name}_{kind}_input_{call}", inner, f"{kind}_input")


def as_array(tensor: Tensor) -> Array:
    """A copy of a tensor; of bfloat16, which NumPy does not know, as float32."""
    there = tensor.detach().cpu()
    return np.array((there if str(there.dtype) != "torch.bfloat16" else there.float()).numpy())


def _is_tensor(value: object) -> TypeGuard[Tensor]:
    return hasattr(value, "detach")


def _activations(network: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """The activations beside or behind a trained layer; those of a frozen backbone are as its makers left them."""
    from torch import nn  # noqa: PLC0415

    kinds: Mapping[str, tuple[type[nn.Module], ...]] = {
        "relu": (nn.ReLU, nn.ReLU6, nn.LeakyReLU),
        "sigmoid": (nn.Sigmoid,),
        "tanh": (nn.Tanh,),
    }
    modules = dict(network.named_modules())
    for name, module in modules.items():
        kind = next((kind for kind, classes in kinds.items() if isinstance(module, classes)), None)
        parent = modules[name.rpartition(".")[0]] if name else module
        if kind and any(parameter.requires_grad for parameter in parent.parameters()):
            yield module, name, kind
