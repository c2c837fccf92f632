"""The program that measures a pass; in its own process, so that torch and its threads stay out of the caller's.

Reads one JSON object from standard input and writes one to standard output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training_scripts import ScriptError

# The first batches allocate memory and choose kernels.
_WARM_UP_PICTURES = 8
_WORKERS = 2
_BATCH_SIZE = 16


def main() -> int:
    """Measures; the exit status is 1 with a message on standard error if that is impossible."""
    try:
        json.dump(_measure(**json.load(sys.stdin)), sys.stdout)
    except ScriptError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _measure(pictures: Sequence[str], model: str, views: str) -> Mapping[str, Any]:
    """The cost of a pass over pictures: of every picture and view, as seconds of one core."""
    from training_scripts.training import runtime  # noqa: PLC0415 - before torch loads

    runtime.prepare()
    from training_scripts.data.preprocessing import parse_views  # noqa: PLC0415 - torch loads from here on
    from training_scripts.data.shards import located  # noqa: PLC0415
    from training_scripts.features.feature_pass import FeaturePass, Progress  # noqa: PLC0415
    from training_scripts.models import backbones, folding  # noqa: PLC0415
    from training_scripts.models.engines.torch_engine import TorchEngine  # noqa: PLC0415

    made, each = backbones.spec(model), parse_views(views)
    samples = [located.sample(Path(path)) for path in pictures]
    warm_up, rest = samples[:_WARM_UP_PICTURES], samples[_WARM_UP_PICTURES:]
    # Random weights take as long as any others, and need no download. AWS's containers have no other engine.
    engine = TorchEngine(folding.for_inference(backbones.create(model, weights="none")))
    progress = Progress(len(samples), len(samples) * len(each), report=lambda _: None)
    costs = []
    for part in (warm_up, rest or warm_up):
        with FeaturePass(
            engine,
            made.preprocessing,
            width=made.feature_width,
            batch_size=_BATCH_SIZE,
            workers=_WORKERS,
            check=lambda: None,
        ) as run:
            kept = len(run.compute(part, each, progress).kept)
            costs.append(run.cost)
    cost = costs[-1]
    if not kept:
        raise ScriptError("none of the pictures can be decoded")
    return {
        "pictures": kept,
        "decode_seconds": cost.decoding / cost.pictures,
        "forward_seconds": cost.forward / (kept * len(each)) * runtime.available_cores(),
        "cores": runtime.available_cores(),
    }


if __name__ == "__main__":
    sys.exit(main())
