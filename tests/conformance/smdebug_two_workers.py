"""Trains in two processes that smdebug's hook records; runs in smdebug's environment.

Usage: smdebug_two_workers.py TRIAL PORT
"""

from __future__ import annotations

import os
import sys

import smdebug.pytorch as smd
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

STEPS = 3


def train(rank: int, folder: str, port: str) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    torch.manual_seed(0)
    network, criterion = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), nn.CrossEntropyLoss()
    hook = smd.Hook(
        out_dir=folder,
        include_workers="all",
        save_config=smd.SaveConfig(save_interval=1),
        include_collections=["losses", "weights", "gradients"],
    )
    hook.register_module(network)
    hook.register_loss(criterion)
    model = DistributedDataParallel(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    random = torch.Generator().manual_seed(rank)
    hook.set_mode(smd.modes.TRAIN)
    for _ in range(STEPS):
        loss = criterion(model(torch.randn(8, 4, generator=random)), torch.randint(2, (8,), generator=random))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    hook.close()
    distributed.destroy_process_group()


def main() -> None:
    folder, port = sys.argv[1:]
    child = os.fork()
    train(0 if child else 1, folder, port)
    sys.stdout.flush()
    if not child:
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit("the other worker failed")


if __name__ == "__main__":
    main()
