"""A measured pass: a few of the data set's pictures go through the backbone on this machine, as in a feature job."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

from dogbreed_sdk._util import optional
from dogbreed_sdk.datasets.dataset import BreedDataset
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.planning.speed import GIGA_MACS, BackboneSpeed, gpu_work, macs_of

# Enough batches for a steady pace; they take seconds on a laptop.
PICTURES: Final = 72
# A core of the instance may be faster or slower than one of this machine, which may be busy with other things.
UNCERTAINTY: Final = 1.5
_TIMEOUT_SECONDS = 600


def measured(dataset: BreedDataset, *, model: str, views: str) -> BackboneSpeed:
    """The speed of a backbone with a data set's own pictures, in a separate process; cached in this one.

    Args:
        dataset: A data set with a train split; one on S3 is downloaded.
        model: Name of the backbone.
        views: The views of each train picture.

    Raises:
        ConfigurationError: torch is not installed, or the backbone or pictures cannot be read.
    """
    optional.require({"local": ("torch", "numpy")}, purpose="measure a pass")
    return _measured(dataset.materialize().root, model, views)


@functools.lru_cache(maxsize=8)
def _measured(root: Path, model: str, views: str) -> BackboneSpeed:
    pictures = BreedDataset(root).pictures("train")
    # Spread over the classes, which may have been photographed differently.
    chosen = [str(picture.path) for picture in pictures[:: -(-len(pictures) // PICTURES)]]
    found = _run({"pictures": chosen, "model": model, "views": views})
    forward = float(found["forward_seconds"])
    return BackboneSpeed(
        backbone=model,
        decode_seconds=float(found["decode_seconds"]),
        forward_seconds=forward,
        gpu_giga_flop=gpu_work(GIGA_MACS.get(model, macs_of(forward))),
        uncertainty=UNCERTAINTY,
        source=f"a pass over {found['pictures']:.0f} of these pictures, measured on {found['cores']:.0f} cores here",
    )


def _run(request: dict[str, object]) -> dict[str, float]:
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "dogbreed_sdk.planning.measured_pass"],
            input=json.dumps(request),
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            # Instances are compared by their cores, so a GPU of this machine must not help.
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(
            f"A pass over {PICTURES} pictures took longer than {_TIMEOUT_SECONDS} s here. Plan without measuring."
        ) from error
    if ended.returncode != 0:
        why = ended.stderr.strip().splitlines() or [f"the process ended with status {ended.returncode}"]
        raise ConfigurationError(f"A pass over the pictures could not be measured: {why[-1]}")
    found: dict[str, float] = json.loads(ended.stdout)
    return found
