# Distributed training as PyTorch's tutorials write it: torchrun sets the ranks, DistributedDataParallel joins them.
import argparse
import json
import os

import torch
import torch.distributed as dist
import torch.nn as nn
from torch.nn.parallel import DistributedDataParallel as DDP

from lib.data import load


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--lr", type=float, default=0.1)
    parser.add_argument("--verbose", type=bool, default=False)
    args = parser.parse_args()

    dist.init_process_group(backend="nccl" if torch.cuda.is_available() else "gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    x, y = load(os.environ["SM_CHANNEL_TRAIN"])
    torch.manual_seed(0)
    model = DDP(nn.Linear(x.shape[1], 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr)
    for epoch in range(args.epochs):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x[rank::world]).squeeze(1), y[rank::world])
        loss.backward()
        optimizer.step()
        dist.all_reduce(total := loss.detach().clone())
        if rank == 0:
            print(f"epoch={epoch}; train_loss={total.item() / world:.9f};")
    if rank == 0:
        with open("/opt/ml/input/config/resourceconfig.json") as file:
            print("resources", json.dumps(json.load(file)["hosts"]))
        torch.save(model.module.state_dict(), os.path.join(os.environ["SM_MODEL_DIR"], "model.pth"))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
