"""Trains a small network, and registers with smdebug's hook what its arguments say; runs in any Python with torch.

Usage: registering_script.py FOLDER HOW...
Each HOW is trained in a process of its own, and recorded as FOLDER/HOW/hook.json configures.
"""

from __future__ import annotations

import copy
import os
import sys
import traceback
from pathlib import Path
from typing import Any

import smdebug.pytorch as smd
import torch
from torch import nn
from torch.nn import functional


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4 * 36, 3)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.fc(self.relu(self.conv(inputs)).flatten(1))  # type: ignore[no-any-return]


class Scaling(nn.Module):
    """A transform without parameters, as torchvision's are: it is called before the model, and is not trained."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs * 2


def train(how: str, folder: Path) -> None:
    torch.manual_seed(0)
    kind = torch.bfloat16 if how == "bfloat16" else torch.float32
    model, criterion, transform = Net().to(kind), nn.CrossEntropyLoss(), Scaling()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    hook: Any = None
    if how in ("model", "loss", "both", "late", "value"):
        hook = smd.get_hook(create_if_not_exists=True)
        if how == "late":
            model(torch.zeros(1, 3, 8, 8))
        if how in ("model", "both", "late", "value"):
            hook.register_module(model)
        if how in ("loss", "both", "late"):
            hook.register_loss(criterion)
    for mode in ("TRAIN", "EVAL", "TRAIN"):
        if hook:
            hook.set_mode(smd.modes[mode])
        model.train(mode == "TRAIN")
        for _ in range(4):
            inputs, labels = torch.randn(4, 3, 8, 8).to(kind), torch.randint(0, 3, (4,))
            with torch.set_grad_enabled(mode == "TRAIN"):
                logits = model(transform(inputs))
                if how in ("functional", "value"):
                    loss = functional.cross_entropy(logits, labels)
                elif how == "fresh":  # as some models do in their forward pass
                    loss = nn.CrossEntropyLoss()(logits, labels)
                else:
                    loss = criterion(logits, labels)
                if how == "value":
                    hook.record_tensor_value("my_loss", loss)
            if mode == "TRAIN":
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    if hook:
        hook.save_scalar("epochs", 3)
    else:
        copy.deepcopy(model)(inputs)
        torch.save(model, folder / "model.pt")
        torch.jit.trace(model, inputs)
        torch.jit.script(model)


def main() -> None:
    folder = Path(sys.argv[1])
    # The first optimizer imports half of torch: once, and not in each process.
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1).step()
    children = {}
    for how in sys.argv[2:]:
        os.environ["SMDEBUG_CONFIG_FILE_PATH"] = str(folder / how / "hook.json")
        child = os.fork()
        if not child:
            with (folder / how / "log").open("w") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            status = 1
            try:
                train(how, folder / how)
                smd.get_hook().close()
                status = 0
            except BaseException:  # noqa: BLE001 - the parent fails
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        children[child] = how
    for child, how in children.items():
        assert os.waitpid(child, 0)[1] == 0, f"{how}: {(folder / how / 'log').read_text()}"


if __name__ == "__main__":
    main()
