"""A tiny training run with a profiler: what tests of profiles look at."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from training_scripts.recording.profiler.profiler import Profiler
from training_scripts.training.callbacks import Callback, Callbacks

STEPS_AN_EPOCH = 20
EVALUATIONS = 3


def train(
    callback: Callback, *, epochs: int = 2, done: int = 0, pause: float = 0.0, fingerprint: str = ""
) -> torch.nn.Module:
    """Trains a small network for so many epochs in all, of which some were done before."""
    torch.manual_seed(5)
    network = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Dropout(), torch.nn.Linear(16, 3))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    facts = {
        "hyperparameters": {"epochs": epochs, "batch_size": 4, "workers": 2},
        "steps_per_epoch": STEPS_AN_EPOCH,
        "epoch": done,
        "fingerprint": fingerprint,
    }
    callback.run_begins(network, facts)
    for epoch in range(done + 1, epochs + 1):
        for _ in range(STEPS_AN_EPOCH):
            _step(callback, network, optimizer, pause)
        callback.step_begins("TRAIN")  # the batches are used up
        for _ in range(EVALUATIONS):
            _evaluate(callback, network)
        callback.epoch_ends(epoch, {"train:loss": 1.0})
    return network


def profile(
    folder: Path,
    *,
    report: Callable[[str], Any] = print,
    operators: str = "off",
    operator_steps: int = 3,
    job_begin: float = 0.0,
    **run: Any,
) -> torch.nn.Module:
    """Trains with a profiler that samples every 100 ms, in a job that began at a time, or else five seconds ago."""
    profiler = Profiler(
        folder,
        interval_ms=100,
        operators=operators,
        operator_steps=operator_steps,
        facts={"job_begin": job_begin or time.time() - 5},
        report=report,
    )
    profiler.start()
    callbacks = Callbacks([profiler], report=report)
    network = train(callbacks, **run)
    callbacks.run_ends()
    return network


def _step(callback: Callback, network: torch.nn.Module, optimizer: torch.optim.Optimizer, pause: float) -> None:
    callback.step_begins("TRAIN")
    time.sleep(pause)
    inputs, labels = torch.randn(4, 8), torch.randint(3, (4,))
    callback.batch_ready("TRAIN", inputs, labels)
    logits = network(inputs)
    callback.forward_done("TRAIN", logits)
    loss = functional.cross_entropy(logits, labels)
    optimizer.zero_grad()
    loss.backward()
    callback.backward_done("TRAIN")
    optimizer.step()
    callback.step_ends("TRAIN", loss.detach(), torch.tensor(1), 4)


def _evaluate(callback: Callback, network: torch.nn.Module) -> None:
    callback.step_begins("EVAL")
    inputs, labels = torch.ones(4, 8), torch.zeros(4, dtype=torch.int64)
    callback.batch_ready("EVAL", inputs, labels)
    with torch.no_grad():
        logits = network(inputs)
    callback.forward_done("EVAL", logits)
    callback.step_ends("EVAL", functional.cross_entropy(logits, labels), torch.tensor(1), 4)
