"""Serves a model in torch until ONNX Runtime is ready: a server starts as fast as without, and is faster under load."""

from __future__ import annotations

import importlib.util
import logging
import threading

import torch
from torch import Tensor

from training_scripts.models.engines.engine import TOLERANCE, EngineError, deviation
from training_scripts.models.engines.onnx_model import OnnxModel
from training_scripts.models.model import Model

# The export takes as long as forty pictures: it is left out where only a few are ever sent.
_PICTURES_IN_TORCH = 16
_PROBE_PICTURES = 2

_log = logging.getLogger(__name__)


def is_installed() -> bool:
    """Whether the packages are there that run a model in ONNX Runtime."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


class WarmingModel(Model):
    """A model that torch runs at first; after 16 pictures, ONNX Runtime takes over if its results are the same.

    It is prepared in another thread, while torch answers. Its results must agree with torch's to 1e-5, relative to the
    largest, on a probe; otherwise, and if the network cannot be exported, torch keeps running the model.

    Args:
        model: From `training_scripts.models.model.load`, on the CPU.
    """

    def __init__(self, model: Model) -> None:
        super().__init__(model.backbone, model.head, model.description)
        self._ready: list[OnnxModel] = []
        self._seen = 0
        self._starting = threading.Lock()
        # Not a daemon: Python may not end a thread inside of C++ when the program ends.
        self._preparation = threading.Thread(target=self._prepare, name="onnx-export")

    @property
    def runs_in_onnx(self) -> bool:
        """Whether ONNX Runtime has taken over."""
        return bool(self._ready)

    def forward_with_features(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [n, classes], and the features [n, width] from which they were computed."""
        if self._ready:
            return self._ready[0].forward_with_features(pictures)
        with self._starting:
            before, self._seen = self._seen, self._seen + len(pictures)
        if before < _PICTURES_IN_TORCH <= self._seen:
            self._preparation.start()
        return super().forward_with_features(pictures)

    def wait(self) -> None:
        """Waits for the preparation, if it has begun."""
        if self._preparation.ident is not None:
            self._preparation.join()

    def _prepare(self) -> None:
        try:
            prepared = OnnxModel(self)
            side = prepared.side
            probe = torch.randn(_PROBE_PICTURES, 3, side, side, generator=torch.Generator().manual_seed(0))
            with torch.inference_mode():
                found, expected = prepared.forward_with_features(probe), super().forward_with_features(probe)
            largest = max(deviation(each, reference) for each, reference in zip(found, expected, strict=True))
        except EngineError as error:
            _log.info("the model stays in torch: %s", error)
            return
        if largest > TOLERANCE:
            _log.warning("the model stays in torch: ONNX Runtime's results deviate from it by %.0e", largest)
            return
        _log.info("ONNX Runtime runs the model (largest deviation from torch: %.0e)", largest)
        self._ready.append(prepared)
