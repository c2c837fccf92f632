"""What the first process chooses for all, and a resumed pass keeps: the last digits of features may depend on it."""

# ruff: noqa: PLC0415 - torch loads only when features are made

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from training_scripts._util.atomic import write_atomically
from training_scripts.features import pacing
from training_scripts.features.manifest import read_json
from training_scripts.features.portions import PARTS, Work
from training_scripts.models.engines.engine import Engine, EngineChoice, Precision
from training_scripts.models.spec import BackboneSpec

if TYPE_CHECKING:
    from torch import nn

_ENGINE_FILE = "engine.json"
_BATCH_FILE = "batch_size.json"


def engine(
    backbone: nn.Module,
    made: BackboneSpec,
    work: Work,
    precision: Precision,
    report: Callable[[str], object],
    *,
    in_torch: bool = False,
) -> Engine:
    """The engine of the first process for all of them, and that of an interrupted pass for the resumed one.

    Engines agree to 1e-5, but not to the last digit.

    Args:
        backbone: The network.
        made: Its description.
        work: The pass.
        precision: See `engines.selection`.
        report: Takes one line of log at a time.
        in_torch: Whether torch must run it, even if another engine is faster.
    """
    from training_scripts.models import folding
    from training_scripts.models.engines import selection

    network, side = folding.for_inference(backbone), made.preprocessing.crop
    path = work.folder / PARTS / _ENGINE_FILE
    held: list[Engine] = []

    def first() -> EngineChoice:
        earlier = EngineChoice.from_dict(read_json(path))
        if earlier is not None:
            report(f"engine: {earlier}, as when this pass began")
            return earlier
        if in_torch:
            engine = selection.in_torch(network, precision=precision, report=report)
        else:
            engine = selection.fastest(network, side=side, precision=precision, views=work.views, report=report)
        write_atomically(path, json.dumps(engine.choice.to_dict()).encode())
        held.append(engine)
        return engine.choice

    choice = work.processes.from_first(first)
    return held[0] if held else selection.chosen(choice, network, side=side, report=report)


def batch_size(engine: Engine, made: BackboneSpec, work: Work, report: Callable[[str], object]) -> int:
    """The batch size that the first process chooses for all of them, and a resumed pass keeps.

    The last digits of features may depend on it.
    """
    path = work.folder / PARTS / _BATCH_FILE

    def first() -> int:
        earlier = read_json(path)
        if isinstance(earlier, int) and earlier > 0:
            return earlier
        chosen = pacing.batch_size(engine, side=made.preprocessing.crop, views=work.views, report=report)
        write_atomically(path, json.dumps(chosen).encode())
        return chosen

    return work.processes.from_first(first)
