"""DistributedDataParallel on CPUs: `torchrun --nproc-per-node 2 ddp.py RUN`. Every worker records its part."""

import argparse

import torch
from blobs import CLASSES, WIDTH, blobs
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from dogbreed_sdk import Recorder

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--broken-row", type=int, help="a row of the training data that is NaN, as in a damaged file")
args = parser.parse_args()

distributed.init_process_group("gloo")
torch.manual_seed(0)
data = blobs(1024, seed=1)
if args.broken_row is not None:
    data.tensors[0][args.broken_row] = float("nan")
sampler = DistributedSampler(data, seed=3)
train_loader = DataLoader(data, 16, sampler=sampler)
valid = blobs(256, seed=2)
valid_loader = DataLoader(valid, 32, sampler=DistributedSampler(valid, shuffle=False))

model = DistributedDataParallel(nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, CLASSES)))
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
criterion = nn.CrossEntropyLoss()

with Recorder(args.folder, model=model, optimizer=optimizer, hyperparameters=args) as run:
    for epoch in range(6):
        sampler.set_epoch(epoch)
        model.train()
        for inputs, labels in train_loader:
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            run.step(loss, outputs=outputs, labels=labels)
        run.validate(valid_loader, criterion)
distributed.destroy_process_group()
