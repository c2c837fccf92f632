"""Numbers about each step that show the cause of a fault: of its inputs, targets and outputs, and of old gradients."""

from __future__ import annotations

from typing import TYPE_CHECKING

from training_scripts.recording.recorder import bulk
from training_scripts.recording.recorder.step_buffer import StepBuffer
from training_scripts.recording.recorder.torch_reductions import Number, few, mean_and_std, number_if_ready
from training_scripts.recording.trial.layout import (
    GRADIENT_KEPT,
    INPUT_MEAN,
    INPUT_STD,
    LOSS_STD,
    OUTPUT_MAX,
    OUTPUT_MEAN,
    OUTPUT_MIN,
    SCALARS,
    TARGET_MEAN,
)
from training_scripts.recording.trial.run_facts import RunFacts

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle


class Signs:
    """Collects the numbers of the current step; none of them waits for a GPU.

    A NaN or an infinity anywhere in the inputs, targets or outputs makes their mean NaN or infinite, so the step at
    which it appeared is known even if no tensor was saved then.
    """

    def __init__(self, network: nn.Module, buffer: StepBuffer) -> None:
        """Watches one small parameter for gradients that were not cleared.

        Args:
            network: The module that is trained.
            buffer: The run's buffer, to which the names of the numbers are declared.
        """
        self._network = network
        self._buffer = buffer
        self._numbers: dict[str, Number] = {}
        self._declared: set[str] = set()
        self._watch = _GradientWatch(network)

    def evaluation_begins(self) -> None:
        """Notes a network that is evaluated in training mode."""
        if is_in_training_mode(self._network):
            self._buffer.learn({"evaluated_in_training_mode": True})

    def inputs(self, inputs: object) -> None:
        """Measures the inputs."""
        flat = _numbers_of(inputs)
        if flat is not None:
            array, names = few(flat), (INPUT_MEAN, INPUT_STD)
            if array is not None:
                self._buffer.bulk.add(names, bulk.mean_and_std, (array,), self._numbers)
            else:
                self._numbers |= zip(names, mean_and_std(flat), strict=True)

    def targets(self, targets: object) -> None:
        """Measures targets that are not class indices."""
        if not hasattr(targets, "is_floating_point") or not targets.is_floating_point():
            return
        wanted = _numbers_of(targets)
        if wanted is not None:
            self._numbers[TARGET_MEAN] = wanted.mean()

    def outputs(self, outputs: object) -> None:
        """Measures the network's outputs."""
        flat = _numbers_of(outputs)
        if flat is not None:
            array, names = few(flat), (OUTPUT_MIN, OUTPUT_MAX, OUTPUT_MEAN)
            if array is not None:
                self._buffer.bulk.add(names, bulk.bounds_and_mean, (array,), self._numbers)
            else:
                self._numbers |= zip(names, (*flat.aminmax(), flat.mean()), strict=True)

    def single_losses(self, logits: Tensor, labels: Tensor) -> None:
        """Measures how far apart the cross-entropies of the samples are.

        Args:
            logits: [n, classes].
            labels: Class indices, [n].
        """
        from torch.nn import functional  # noqa: PLC0415 - this module is imported where there is no torch

        if len(labels) > 1:
            each = functional.cross_entropy(logits.detach(), labels, reduction="none")
            self._numbers[LOSS_STD] = mean_and_std(each)[1]

    def take(self, *, trained: bool) -> dict[str, Number]:
        """The step's numbers by tensor's name; the next step begins empty.

        Those of small tensors are NaN until the buffer is flushed: keep the dictionary itself.

        Args:
            trained: Whether the step had a backward pass.
        """
        found, self._numbers = self._numbers, {}
        if trained and (kept := self._watch.take()) is not None:
            found[GRADIENT_KEPT] = kept
        for name in found.keys() - self._declared:
            self._declared.add(name)
            self._buffer.declare(SCALARS, name)
        for name, value in found.items():
            if not isinstance(value, float):
                found[name] = number_if_ready(value)
        return found

    def end(self) -> None:
        """Stops watching the network."""
        self._watch.end()


def facts_of(network: nn.Module, optimizer: torch.optim.Optimizer | None) -> RunFacts:
    """Facts for `run.json` that explain curves: the highest rate of dropout, and the strongest weight decay."""
    from torch.nn.modules.dropout import _DropoutNd  # noqa: PLC0415

    rates = [float(module.p) for module in network.modules() if isinstance(module, _DropoutNd)]
    facts: RunFacts = {"dropout": max(rates)} if rates else {}
    decays = [group.get("weight_decay") for group in getattr(optimizer, "param_groups", ())]
    known = [float(decay) for decay in decays if isinstance(decay, (int, float))]
    if known:
        facts["weight_decay"] = max(known)
    return facts


def is_in_training_mode(network: nn.Module) -> bool:
    """Whether modules that behave differently in training mode (dropout, batch normalization) are in it."""
    from torch.nn.modules.batchnorm import _BatchNorm  # noqa: PLC0415
    from torch.nn.modules.dropout import _DropoutNd  # noqa: PLC0415

    return any(module.training and isinstance(module, (_BatchNorm, _DropoutNd)) for module in network.modules())


class _GradientWatch:
    """Measures the gradient that a backward pass finds: what is left of earlier steps, although weights have moved.

    Gradients that add up over micro-batches do not count, because no weights move between them: the version of the
    parameter, which each change in place counts up, is still the same.
    """

    def __init__(self, network: nn.Module) -> None:
        trained = [value for value in network.parameters() if value.requires_grad and value.numel()]
        self._handle: RemovableHandle | None = None
        self._kept: Number | None = None
        self._version = -1
        if trained:
            self._parameter = min(reversed(trained), key=lambda value: value.numel())
            self._handle = self._parameter.register_hook(self._arrives)  # type: ignore[no-untyped-call]

    def take(self) -> Number | None:
        kept, self._kept = self._kept, None
        return kept

    def end(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _arrives(self, fresh: Tensor) -> None:
        """Called in the backward pass, before the new gradient is added to the parameter's."""
        old, version = self._parameter.grad, self._parameter._version
        moved, self._version = version != self._version and self._version >= 0, version
        if old is None or not moved or old.is_sparse:
            self._kept = 0.0
        else:
            self._kept = old.detach().float().norm() / (fresh.detach().float().norm() + 1e-12)


def _numbers_of(value: object) -> Tensor | None:
    """A tensor's elements as floating-point numbers; None for anything else, and for an empty tensor."""
    if not hasattr(value, "is_floating_point") or not hasattr(value, "detach"):
        return None
    tensor: Tensor = value.detach()
    if not tensor.numel() or tensor.is_sparse or tensor.is_complex():
        return None
    is_precise = tensor.is_floating_point() and tensor.element_size() >= 4
    return tensor if is_precise else tensor.float()
