"""Runs a script that records with smdebug where smdebug is not installed, or cannot work."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

_STAND_IN = Path(__file__).parents[1] / "local" / "start_up" / "_dogbreed_start_up" / "stand_in"


def provide() -> bool:
    """Makes `import smdebug.pytorch` find local SageMaker's stand-in for it, unless smdebug is installed.

    The stand-in records the same tensors under the same names. Call this before the script imports smdebug, and pass
    `out_dir` to the hook, since there is no job whose configuration says where to record to:

        from dogbreed_sdk.recording import smdebug

        smdebug.provide()

        import smdebug.pytorch as smd

        hook = smd.Hook(out_dir="run")

    Returns:
        Whether the stand-in is used.
    """
    if str(_STAND_IN) not in sys.path:
        if importlib.util.find_spec("smdebug") is not None:
            return False
        sys.path.append(str(_STAND_IN))
    return True
