"""Destroys gloo's process groups when a script ends that did not do that itself, which few scripts do.

Otherwise a thread of gloo that frees its last tensor while Python shuts down aborts the process now and then, with
"terminate called without an active exception" (pytorch/pytorch#190489), and a job that has finished its work fails.
"""

from __future__ import annotations

import atexit
import importlib
import sys
from typing import Any


def install() -> None:
    """Destroy the process groups at exit; called when torch.distributed has been imported."""
    atexit.register(_destroy, importlib.import_module("torch.distributed"))


def _destroy(distributed: Any) -> None:
    # After an exception, the other ranks may have operations outstanding that never end.
    if getattr(sys, "last_value", None) is not None or not distributed.is_initialized():
        return
    if distributed.get_backend() == "gloo":
        distributed.destroy_process_group()
