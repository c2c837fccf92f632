"""What `dogbreed_sdk.Recorder` costs a training loop, with its profile and without, against the same loop alone.

Three loops: a small network of dense layers, a small convolutional network, and a network of ResNet-18's size on
pictures. Each is run several times in turns; the least time of each counts, because other processes only add to it.
Printed per step, CPU time of all threads of the process, to the last byte of the recording:

- without a save: the loop's own thread in a step at which no tensors are saved (the best block of ten steps);
- whole run: everything, saves and writing included, divided by the steps.

If smdebug is installed, its hook records the same loops, with its own defaults (every 500 steps) and its losses.

    python benchmarks/recorder_cost.py [--repeats 5] [--loops dense,convolutions,residual] [--threads 1]
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

BLOCK = 10
WAYS = ("alone", "recorded, without profile", "recorded", "smdebug's hook")


class Loop(NamedTuple):
    """A loop to measure: makes a model, inputs and labels; number of steps."""

    title: str
    make: Callable[[], tuple[nn.Module, torch.Tensor, torch.Tensor]]
    steps: int


class Cost(NamedTuple):
    """Seconds per step: of the loop's thread without a save, and of the process in the whole run."""

    step: float
    whole: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs all loops and prints their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--loops", default=",".join(LOOPS), help="names, separated by commas: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads (default: 1)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    has_smdebug = importlib.util.find_spec("smdebug") is not None
    ways = [way for way in WAYS if has_smdebug or not way.startswith("smdebug")]
    for name in options.loops.split(","):
        loop = LOOPS[name]
        best = {way: Cost(float("inf"), float("inf")) for way in ways}
        for turn in range(options.repeats):
            for way in ways if turn % 2 else reversed(ways):
                best[way] = Cost(*map(min, best[way], measured(loop, way)))
        show(loop, best)


def show(loop: Loop, costs: dict[str, Cost]) -> None:
    """Prints a loop's figures."""
    print(f"{loop.title}, {loop.steps:,} steps")
    alone = costs["alone"]
    for way, (step, whole) in costs.items():
        print(
            f"  {way:<26} without a save {step * 1e6:9.0f} us (+{(step - alone.step) * 1e6:6.0f}) x "
            f"{step / alone.step:.3f}   whole run {whole * 1e6:9.0f} us (+{(whole - alone.whole) * 1e6:6.0f}) x "
            f"{whole / alone.whole:.3f}",
            flush=True,
        )


def measured(loop: Loop, way: str) -> Cost:
    """The cost of one run."""
    torch.manual_seed(0)
    model, inputs, labels = loop.make()
    optimizer, criterion = torch.optim.AdamW(model.parameters(), lr=1e-3), nn.CrossEntropyLoss()
    least = float("inf")
    with tempfile.TemporaryDirectory() as folder:
        record, end = recorder(way, Path(folder), model, optimizer, criterion)
        begin, block = time.process_time(), time.thread_time()
        for step in range(1, loop.steps + 1):
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if record is not None:
                record(loss, outputs=outputs, labels=labels)
            if step % BLOCK == 0:
                now = time.thread_time()
                least, block = min(least, now - block), now
        end()
        return Cost(least / BLOCK, (time.process_time() - begin) / loop.steps)


def recorder(
    way: str, folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, criterion: nn.Module
) -> tuple[Callable[..., object] | None, Callable[[], object]]:
    """What records a step, if something must be called, and what ends the recording."""
    if way.startswith("recorded"):
        from dogbreed_sdk import Recorder  # noqa: PLC0415 - smdebug's environment need not have all it needs

        run = Recorder(folder / "run", model=model, optimizer=optimizer, rules=False, profile=way == "recorded")
        run.__enter__()
        return run.step, run.close
    if way == "alone":
        return None, lambda: None
    import smdebug.pytorch as smd  # noqa: PLC0415 - few have it

    hook = smd.Hook(out_dir=str(folder / "run"))
    hook.register_module(model)
    hook.register_loss(criterion)
    return None, hook.close


def _dense() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    layers = (nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(*layers), torch.randn(32, 32), torch.arange(32) % 10


def _convolutions() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    first = (nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2))
    second = (nn.Conv2d(16, 32, 3, padding=1), nn.BatchNorm2d(32), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(32, 10)), torch.randn(16, 3, 32, 32), _labels(16)


def _labels(count: int) -> torch.Tensor:
    return torch.arange(count) % 10


class _Block(nn.Module):
    """Two convolutions and a connection around them."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(),
            nn.Conv2d(outside, outside, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outside),
        )
        same = inside == outside and stride == 1
        self.around: Any = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride, bias=False)
        self.relu = nn.ReLU()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Runs both ways."""
        outputs: torch.Tensor = self.relu(self.layers(inputs) + self.around(inputs))
        return outputs


def _residual() -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    begin = (nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    widths = (64, 64, 64, 128, 128, 256, 256, 512, 512)
    blocks = [_Block(inside, outside, 1 if inside == outside else 2) for inside, outside in itertools.pairwise(widths)]
    layers = (*begin, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))
    return nn.Sequential(*layers), torch.randn(8, 3, 96, 96), _labels(8)


LOOPS = {
    "dense": Loop("dense layers, 32 rows of 32 numbers", _dense, 2000),
    "convolutions": Loop("two convolutions, 16 pictures of 32 x 32", _convolutions, 400),
    "residual": Loop("as large as ResNet-18, 8 pictures of 96 x 96", _residual, 40),
}


if __name__ == "__main__":
    main()
