"""Registers a script's model and loss with smdebug's hook, as the patched torch of AWS's containers does.

A script may register both, one of them or neither, and scripts that register one rely on the container for the other.
The model is the first module with trained parameters that is called; the loss is each loss module that is called, or
what a loss function of torch.nn.functional returns. What the script registers itself always takes precedence.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import weakref
from collections.abc import Callable
from typing import Any

from .import_hooks import warn

# Function of torch.nn.functional -> the module of torch.nn that does the same, whose name the loss gets.
_LOSS_FUNCTIONS = {
    "binary_cross_entropy": "BCELoss",
    "binary_cross_entropy_with_logits": "BCEWithLogitsLoss",
    "cross_entropy": "CrossEntropyLoss",
    "huber_loss": "HuberLoss",
    "kl_div": "KLDivLoss",
    "l1_loss": "L1Loss",
    "mse_loss": "MSELoss",
    "nll_loss": "NLLLoss",
    "smooth_l1_loss": "SmoothL1Loss",
}


def install() -> None:
    """Watch for the script's model and loss; called when torch has been imported."""
    torch = importlib.import_module("torch")
    _Registration(torch, importlib.import_module("torch.nn.modules.loss")._Loss).install()


class _Registration:
    """Watches the calls of modules and losses until the script's own are registered.

    Attributes:
        records: Whether nothing has failed yet.
    """

    def __init__(self, torch: Any, loss_class: Any) -> None:
        self.records = True
        self._torch, self._loss_class = torch, loss_class
        self._call_module = torch.nn.Module.__call__
        self._watches_models = self._watches_losses = False
        # Whether losses are recorded that the script did not register.
        self._adds_losses = True
        # Whether this class is calling the hook, and not the script.
        self._acting = False
        self._in_loss_module = 0
        # The model that was registered here, with the places of its hooks; and the losses.
        self._model: Any = None
        self._added: list[tuple[Any, int]] = []
        self._losses: weakref.WeakSet[Any] = weakref.WeakSet()

    def install(self) -> None:
        """Replace the calls of modules and of losses."""
        registration = self

        def call_module(module: Any, *args: Any, **kwargs: Any) -> Any:
            registration._guarded(registration._before_module, module)
            return registration._call_module(module, *args, **kwargs)

        def call_loss(module: Any, *args: Any, **kwargs: Any) -> Any:
            registration._guarded(registration._before_loss, module)
            registration._in_loss_module += 1
            try:
                return registration._call_module(module, *args, **kwargs)
            finally:
                registration._in_loss_module -= 1

        self._torch.nn.Module.__call__ = call_module
        self._loss_class.__call__ = call_loss
        self._watches_models = self._watches_losses = True
        self._torch.jit.script = self._withdrawing(self._torch.jit.script)
        functional = self._torch.nn.functional
        for name, module_name in _LOSS_FUNCTIONS.items():
            setattr(functional, name, self._recording(getattr(functional, name), module_name))

    def _recording(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """A loss function that also records its result."""

        @functools.wraps(function)
        def record(*args: Any, **kwargs: Any) -> Any:
            result = function(*args, **kwargs)
            if self._watches_losses and self._adds_losses and not self._in_loss_module and not self._is_compiling():
                self._guarded(self._after_function, name, result)
            return result

        return record

    def _withdrawing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of torch's that would try to compile smdebug's hooks."""

        @functools.wraps(function)
        def withdraw(*args: Any, **kwargs: Any) -> Any:
            if self._model is not None and any(part in args for part in self._model.modules()):
                self._withdraw_model(self._hook())
            return function(*args, **kwargs)

        return withdraw

    def _before_module(self, module: Any) -> None:
        if not self._watches_models or self._acting or self._is_compiling() or not self._is_trained(module):
            return
        hook = self._hook()
        if hook is None:
            self._stop_watching()
            return
        if hasattr(module, "_orig_mod"):
            warn("smdebug's hook can't be registered with a compiled model: its tensors are not recorded")
        elif not hook.has_registered_module:
            self._added, self._model = self._register(hook.register_module, module), module
        self._watches_models = False
        self._torch.nn.Module.__call__ = self._call_module

    def _before_loss(self, loss: Any) -> None:
        if not self._watches_losses or self._acting or self._is_compiling():
            return
        hook = self._hook()
        if hook is None:
            self._stop_watching()
        elif self._adds_losses:
            # Without a model, nothing has prepared the hook, and it would fail.
            if hook.prepared_collections and loss not in self._losses:
                self._register(hook.register_loss, loss)
                self._losses.add(loss)
                # It would be kept for ever, and some models make a new one in each step.
                hook.module_set.discard(loss)
        else:
            if not hook.prepared_collections:
                hook._prepare_collections()
            self._stop_watching_losses()

    def _after_function(self, name: str, result: Any) -> None:
        hook = self._hook()
        if hook is not None and hook.prepared_collections and isinstance(result, self._torch.Tensor):
            self._by_us(hook.record_tensor_value, name, result)

    def _is_trained(self, module: Any) -> bool:
        if isinstance(module, (self._loss_class, self._torch.jit.ScriptModule)):
            return False
        return any(parameter.requires_grad for parameter in module.parameters())

    def _is_compiling(self) -> bool:
        """Whether a call is for torch to learn what a module does: recording would become part of the result."""
        if self._torch.jit.is_tracing():
            return True
        compiler = getattr(self._torch, "compiler", None)
        return bool(compiler is not None and getattr(compiler, "is_compiling", bool)())

    def _hook(self) -> Any:
        """The script's hook, or the one that its job's configuration describes; None if smdebug is switched off."""
        smdebug = importlib.import_module("smdebug.pytorch")
        hook = smdebug.get_hook(create_if_not_exists=True)
        if hook is not None and not hasattr(hook, _WATCHED):
            self._watch_hook(hook)
        return hook

    def _watch_hook(self, hook: Any) -> None:
        """Notice what the script registers or records itself from now on."""
        setattr(hook, _WATCHED, True)
        register_module, register_loss = hook.register_module, hook.register_loss
        record = hook.record_tensor_value

        def register_scripts_module(module: Any) -> None:
            if not self._acting:
                self._withdraw_model(hook)
            register_module(module)

        def register_scripts_loss(loss: Any) -> None:
            if not self._acting:
                self._adds_losses = False
                if loss in self._losses:
                    return
            register_loss(loss)

        def record_scripts_value(*args: Any, **kwargs: Any) -> None:
            if not self._acting:
                self._adds_losses = False
            record(*args, **kwargs)

        if hook.has_registered_loss_module:
            self._adds_losses = False
        hook.register_module, hook.register_loss = register_scripts_module, register_scripts_loss
        hook.record_tensor_value = record_scripts_value

    def _register(self, register: Callable[[Any], Any], module: Any) -> list[tuple[Any, int]]:
        """Register a module with smdebug's hook; returns the places of the hooks that it got."""
        before = {(id(table), key) for table, keys in _hook_tables(module) for key in keys}
        self._by_us(register, module)
        added = [(table, key) for table, keys in _hook_tables(module) for key in keys if (id(table), key) not in before]
        for table, key in added:
            table[key] = _Quiet(table[key], self)
        return added

    def _withdraw_model(self, hook: Any) -> None:
        """Make room for the model that the script registers: smdebug refuses to register a module twice."""
        for table, key in self._added:
            table.pop(key, None)
        if self._model is not None:
            hook.module_set.difference_update(self._model.modules())
        self._added, self._model = [], None

    def _stop_watching_losses(self) -> None:
        self._watches_losses = False
        if "__call__" in vars(self._loss_class):
            del self._loss_class.__call__

    def _stop_watching(self) -> None:
        self._stop_watching_losses()
        self._watches_models = False
        self._torch.nn.Module.__call__ = self._call_module

    def _by_us(self, work: Callable[..., Any], *args: Any) -> None:
        self._acting = True
        try:
            work(*args)
        finally:
            self._acting = False

    def _guarded(self, work: Callable[..., None], *args: Any) -> None:
        """Do some work; a failure ends the recording of what the script did not register, and never the script."""
        try:
            work(*args)
        except Exception as error:
            self.records = False
            self._stop_watching()
            warn(f"smdebug's hook records no more of the model: {type(error).__name__}: {error}")


class _Quiet:
    """A hook of a model that the script did not register: it never fails, and no copy of the model has it."""

    def __init__(self, hook: Callable[..., Any], registration: _Registration) -> None:
        self._hook, self._registration = hook, registration

    def __call__(self, *args: Any) -> None:
        if self._registration.records and not self._registration._is_compiling():
            self._registration._guarded(self._hook, *args)

    def __reduce__(self) -> tuple[Any, ...]:
        # Where a copy or a pickle is used, there may be no smdebug. This takes any arguments, and returns None.
        return getattr, (contextlib.nullcontext(), "__exit__")


_WATCHED = "_dogbreed_watched"


def _hook_tables(module: Any) -> list[tuple[Any, list[int]]]:
    """The tables of hooks of a module's parts and parameters, with their keys."""
    tables = [table for part in module.modules() for table in (part._forward_hooks, part._forward_pre_hooks)]
    tables += [parameter._backward_hooks for parameter in module.parameters() if parameter._backward_hooks is not None]
    return [(table, list(table)) for table in tables]
