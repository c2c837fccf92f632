"""Reads gradients, weights and their updates where the optimizer steps, whatever the loop does around it.

There, gradients are complete (accumulated over micro-batches), unscaled (by a GradScaler) and clipped. Nothing is left
in the model that a copy or a pickle of it would carry along.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import TYPE_CHECKING, Any

from training_scripts.recording.recorder.snapshots import Layers, Snapshot

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.hooks import RemovableHandle

# Measuring updates takes a copy of the weights. Of more than this, copies could fill a GPU.
_MOST_COPIED_BYTES = 1 << 30
TOO_LARGE = "The size of updates was not recorded: a copy of the trained weights would take more than 1 GiB."


class OptimizerWatch:
    """Hooks of an optimizer.

    Attributes:
        backward_begins: When the latest backward pass reached the last parameter; 0 if unknown.
        begins: When the latest optimizer step began, in `time.perf_counter`'s seconds; 0 before the first.
        backwards: Number of backward passes so far.
        steps: Number of optimizer steps so far.
    """

    def __init__(
        self,
        optimizer: Any,
        layers: Layers | None,
        *,
        before: Callable[[], object],
        after: Callable[[Snapshot | None], object],
        failed: Callable[[Exception], object],
    ) -> None:
        """Adds the hooks.

        Args:
            optimizer: A `torch.optim.Optimizer`.
            layers: The model's layers; None records no tensors.
            before: Called before the optimizer changes the weights.
            after: Called afterward, with the tensors if they were requested with `arm`.
            failed: Called with an error in a hook, which is not raised.
        """
        self.backward_begins = self.begins = 0.0
        self.backwards = self.steps = 0
        self._layers = layers
        self._before, self._after, self._failed = before, after, failed
        self._armed: Snapshot | None = None
        self._taken: Snapshot | None = None
        self._copies = layers is not None and _bytes_of(layers.parameters) <= _MOST_COPIED_BYTES
        self._handles: list[RemovableHandle] = [
            optimizer.register_step_pre_hook(self._begins),
            optimizer.register_step_post_hook(self._ends),
        ]
        last = _last_parameter(optimizer)
        if last is not None and hasattr(last, "register_post_accumulate_grad_hook"):
            self._handles.append(last.register_post_accumulate_grad_hook(self._backward))

    @property
    def measures_updates(self) -> bool:
        """Whether the model is small enough to copy its weights."""
        return self._layers is None or self._copies

    def arm(self, snapshot: Snapshot) -> None:
        """Requests the tensors of the next optimizer step."""
        self._armed = snapshot

    def remove(self) -> None:
        """Removes the hooks."""
        while self._handles:
            self._handles.pop().remove()
        self._armed = self._taken = self._layers = None

    def _backward(self, _parameter: Tensor) -> None:
        self.backwards += 1
        self.backward_begins = perf_counter()

    def _begins(self, optimizer: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        try:
            return self._observe(optimizer, arguments, named)
        except Exception as error:  # noqa: BLE001 - raising here would end the loop
            self._failed(error)
        return None

    def _observe(self, optimizer: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self.begins = perf_counter()
        self.steps += 1
        self._before()
        if self._armed is None or self._layers is None:
            return None
        self._taken, self._armed = self._armed, None
        self._layers.take_weights(self._taken, keep=self._copies)
        # The first argument is the optimizer itself.
        closure = named.get("closure", arguments[1] if len(arguments) > 1 else None)
        if closure is None:
            self._take_gradients(optimizer)
            return None
        # The closure computes the gradients, perhaps several times; the first time counts.
        watched = self._watched(closure, optimizer)
        if "closure" in named:
            return arguments, {**named, "closure": watched}
        return (arguments[0], watched, *arguments[2:]), named

    def _watched(self, closure: Callable[[], Any], optimizer: Any) -> Callable[[], Any]:
        first = True

        def watched() -> Any:
            nonlocal first
            loss = closure()
            if first:
                first = False
                try:
                    self._take_gradients(optimizer)
                except Exception as error:  # noqa: BLE001 - as above
                    self._failed(error)
            return loss

        return watched

    def _take_gradients(self, optimizer: Any) -> None:
        """Reads the gradients; a fused optimizer gets them scaled, and decides itself whether to skip the step."""
        if self._taken is None or self._layers is None:
            return
        scale, skipped = getattr(optimizer, "grad_scale", None), getattr(optimizer, "found_inf", None)
        self._layers.take_gradients(self._taken, scale=scale)
        self._taken.skipped = skipped

    def _ends(self, _optimizer: Any, _arguments: Any, _named: Any) -> None:
        try:
            taken, self._taken = self._taken, None
            if taken is not None and self._layers is not None and self._copies:
                self._layers.take_updates(taken)
            self._after(taken)
        except Exception as error:  # noqa: BLE001 - as above
            self._failed(error)


class ActivationWatch:
    """Reads the activations of one forward pass with hooks of torch's, not the model's, which a copy would carry."""

    def __init__(self, model: nn.Module, layers: Layers) -> None:
        self._model = model
        self._layers = layers
        self._handles: list[RemovableHandle] = []
        self.first_input: Tensor | None = None
        self.is_possible = not _is_compiled(model)

    def begin(self, snapshot: Snapshot) -> None:
        """Reads the next forward pass of the whole model that computes gradients."""
        self.end()
        if not self.is_possible:
            return
        from torch.nn.modules import module  # noqa: PLC0415 - torch is the caller's

        watched = self._layers.hooks(snapshot)

        def hook(passed: nn.Module, inputs: tuple[Any, ...], named: Mapping[str, Any], output: Any) -> None:
            if not _computes_gradients():
                return
            if passed in watched:
                watched[passed](passed, inputs, named, output)
            if passed is self._model:
                self.first_input = next((value for value in (*inputs, *named.values()) if _is_tensor(value)), None)
                self.end()

        self._handles.append(module.register_module_forward_hook(hook, with_kwargs=True))

    def end(self) -> None:
        """Removes the hook."""
        while self._handles:
            self._handles.pop().remove()


def unwrapped(model: Any) -> Any:
    """The model inside DistributedDataParallel, DataParallel and torch.compile."""
    for _ in range(5):
        inner = getattr(model, "_orig_mod", None)
        if inner is None and type(model).__name__ in ("DistributedDataParallel", "DataParallel"):
            inner = model.module
        if inner is None:
            return model
        model = inner
    return model


def unwrapped_optimizer(optimizer: Any) -> Any:
    """The optimizer of torch's inside those of Accelerate and Lightning, which pass the calls on but have no hooks."""
    names = {"AcceleratedOptimizer": "optimizer", "LightningOptimizer": "_optimizer"}
    inner = getattr(optimizer, names.get(type(optimizer).__name__, ""), None)
    return optimizer if inner is None else unwrapped_optimizer(inner)


def _is_compiled(model: Any) -> bool:
    """Whether torch.compile runs the model, which would compile a hook into it, or ignore it."""
    return any(
        hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for module in model.modules()
    )


def _computes_gradients() -> bool:
    import torch  # noqa: PLC0415 - torch is the caller's

    return torch.is_grad_enabled()


def _is_tensor(value: object) -> bool:
    return hasattr(value, "detach")


def _last_parameter(optimizer: Any) -> Any:
    def trained() -> Iterator[Any]:
        for group in optimizer.param_groups:
            yield from (parameter for parameter in group["params"] if parameter.requires_grad)

    return next(reversed(list(trained())), None)


def _bytes_of(parameters: Mapping[str, Tensor]) -> int:
    return sum(parameter.numel() * parameter.element_size() for parameter in parameters.values())
