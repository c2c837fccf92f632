"""Chooses the engine of a feature pass: the fastest that is installed and computes the same features."""

from __future__ import annotations

import functools
import importlib.util
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from training_scripts.models.engines import exporting, onnxruntime_engine, openvino_engine
from training_scripts.models.engines.engine import (
    TITLES,
    TOLERANCE,
    Engine,
    EngineChoice,
    EngineError,
    EngineName,
    Precision,
    deviation,
)
from training_scripts.models.engines.torch_engine import TorchEngine

if TYPE_CHECKING:
    from torch import Tensor, nn

# Exporting and comparing a network takes as long as 150 views save with the smallest one.
FEWEST_VIEWS = 400
_PROBE_PICTURES = 2
_TIMED_RUNS = 2
# An engine that saves less than this share of torch's time is not worth a change of the last digits.
_LEAST_SAVING = 0.05
# Features of real networks deviate by 0.003 to 0.02 in bf16; far more means that something is broken.
_BF16_TOLERANCE = 0.1

# In each precision, those of an earlier row are preferred; within a row, the fastest. In fp32, the two libraries differ
# by less than a tenth (measured with seven networks), so the second is tried only where the first one is not usable.
_ROWS: dict[Precision, tuple[tuple[EngineChoice, ...], ...]] = {
    "fp32": ((EngineChoice("onnxruntime", "fp32"),), (EngineChoice("openvino", "fp32"),)),
    "bf16": (
        (EngineChoice("openvino", "bf16"),),
        # Of some networks torch's bf16 is slower than ONNX Runtime's fp32.
        (EngineChoice("torch", "bf16"), EngineChoice("onnxruntime", "fp32")),
    ),
}
_PACKAGES: dict[EngineName, tuple[str, ...]] = {
    "torch": (),
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
}
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, ARM
_CPU_INFO = Path("/proc/cpuinfo")

Report = Callable[[str], object]


def fastest(network: nn.Module, *, side: int, precision: Precision, views: int, report: Report) -> Engine:
    """The fastest installed engine whose results agree with torch's on a probe; on a GPU, torch.

    It takes 0.4 s with efficientnet_lite0; a pass in fp32 over few views is done in torch without a trial.

    Args:
        network: From `folding.for_inference`.
        side: Height and width of its pictures.
        precision: "fp32": results within 1e-5 of torch's, relative to the largest. "bf16": results may be rounded to
            bfloat16, where the CPU or GPU has instructions for it and they save time; otherwise they are exact.
        views: Views of the whole pass.
        report: Called with one line that names the engine and the reason.
    """
    engine, reason = _chosen(network, side, precision, views)
    report(f"engine: {engine.choice} ({reason})")
    return engine


def in_torch(network: nn.Module, *, precision: Precision, report: Report) -> Engine:
    """The network in torch, for a pass whose operators torch's profiler is to see; takes what `fastest` takes."""
    engine: Engine = TorchEngine(network)
    if engine.device != "cpu":
        engine = _on_gpu(network, precision)[0]
    report(f"engine: {engine.choice} (profile-operators is on)")
    return engine


def chosen(choice: EngineChoice, network: nn.Module, *, side: int, report: Report) -> Engine:
    """The engine that an earlier part of the same pass was computed with, or torch if it cannot be used here.

    Args:
        choice: The `choice` of that engine.
        network: As for `fastest`.
        side: As for `fastest`.
        report: Called with a line if the engine is another one.
    """
    reference = TorchEngine(network)
    if reference.device != "cpu":
        return _on_gpu(network, choice.precision)[0]
    if choice == reference.choice:
        return reference
    try:
        return _Trials(network, side, reference).measured(choice)[0]
    except EngineError as error:
        report(f"engine: {reference.choice}, although this pass began with {choice} ({error})")
        return reference


def _chosen(network: nn.Module, side: int, precision: Precision, views: int) -> tuple[Engine, str]:
    """The engine, and why it was chosen."""
    reference = TorchEngine(network)
    if reference.device != "cpu":
        return _on_gpu(network, precision)
    lacking = precision == "bf16" and not has_bf16()
    wanted: Precision = "fp32" if lacking else precision
    if wanted == "fp32" and views < FEWEST_VIEWS:
        return reference, _and_why("a short pass", lacking)
    trials = _Trials(network, side, reference)
    refused: list[str] = []
    for row in _ROWS[wanted]:
        found = [one for choice in row if (one := trials.tried(choice, refused))]
        if found:
            engine, seconds, largest = min(found, key=lambda one: one[1])
            share = seconds / trials.reference_seconds
            return engine, _and_why(f"{share:.2f} of torch's time, largest deviation {largest:.0e}", lacking)
    return reference, _and_why("; ".join(refused), lacking)


def _and_why(reason: str, lacking: bool) -> str:
    return f"{reason}; this CPU has no instructions for bf16" if lacking else reason


def _on_gpu(network: nn.Module, precision: Precision) -> tuple[Engine, str]:
    if precision == "bf16" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return TorchEngine(network), "this GPU has no instructions for bf16"
    return TorchEngine(network, precision), torch.cuda.get_device_name()


def has_bf16() -> bool:
    """Whether this CPU has instructions for bfloat16, as Linux reports it; False on other systems."""
    try:
        lines = _CPU_INFO.read_text(errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return bool(_BF16_FLAGS & set(flags.partition(":")[2].split()))


class _Trials:
    """Builds engines and compares them with torch on a probe.

    Args:
        network: From `folding.for_inference`, on the CPU.
        side: Height and width of its pictures.
        reference: The network in torch.
    """

    def __init__(self, network: nn.Module, side: int, reference: Engine) -> None:
        self._network = network
        self._side = side
        generator = torch.Generator().manual_seed(0)
        self._probe = torch.randn(_PROBE_PICTURES, 3, side, side, generator=generator)
        self._reference = reference

    @functools.cached_property
    def _expected(self) -> Tensor:
        return self._reference.run(self._probe)

    @functools.cached_property
    def reference_seconds(self) -> float:
        """CPU seconds of torch for the probe."""
        return self._seconds(self._reference)

    @functools.cached_property
    def _exported(self) -> bytes:
        return exporting.export(self._network, side=self._side)

    def tried(self, choice: EngineChoice, refused: list[str]) -> tuple[Engine, float, float] | None:
        """An engine, its CPU seconds for the probe and its deviation; None, and a reason, if it is not to be used."""
        title = TITLES[choice.name]
        if any(importlib.util.find_spec(package) is None for package in _PACKAGES[choice.name]):
            refused.append(f"{title} is not installed")
            return None
        try:
            engine, largest = self.measured(choice)
        except EngineError as error:
            refused.append(f"{title}: {error}")
            return None
        seconds = self._seconds(engine)
        if seconds > (1 - _LEAST_SAVING) * self.reference_seconds:
            refused.append(f"{choice} takes {seconds / self.reference_seconds:.2f} of torch's time")
            return None
        return engine, seconds, largest

    def measured(self, choice: EngineChoice) -> tuple[Engine, float]:
        """An engine, and its deviation from torch on the probe.

        Raises:
            EngineError: It cannot run the network, or its results deviate too much.
        """
        engine = self._built(choice)
        largest = deviation(engine.run(self._probe), self._expected)
        bound = TOLERANCE if choice.precision == "fp32" else _BF16_TOLERANCE
        if largest > bound:
            raise EngineError(f"its results deviate from torch's by {largest:.1e}, more than {bound:.0e}")
        return engine, largest

    def _built(self, choice: EngineChoice) -> Engine:
        if choice.name == "onnxruntime":
            return onnxruntime_engine.OnnxRuntimeEngine(self._exported)
        if choice.name == "openvino":
            return openvino_engine.OpenVinoEngine(self._exported, choice.precision)
        return TorchEngine(self._network, choice.precision)

    def _seconds(self, engine: Engine) -> float:
        """CPU seconds of the process, which other programs on the machine hardly change."""
        spent: Sequence[float] = [self._run_seconds(engine) for _ in range(_TIMED_RUNS)]
        return min(spent)

    def _run_seconds(self, engine: Engine) -> float:
        begin = time.process_time()
        engine.run(self._probe)
        return time.process_time() - begin
