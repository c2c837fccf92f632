"""Gradient accumulation: four micro-batches of eight for each step of the optimizer."""

import argparse

import torch
from blobs import CLASSES, WIDTH, loaders
from torch import nn

from dogbreed_sdk import Recorder

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--accumulate", type=int, default=4)
parser.add_argument("--no-shuffle", dest="shuffle", action="store_false")
args = parser.parse_args()

torch.manual_seed(0)
train_loader, valid_loader = loaders(shuffle=args.shuffle, batch_size=8)
model = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, CLASSES))
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
criterion = nn.CrossEntropyLoss()

with Recorder(
    args.folder, model=model, optimizer=optimizer, hyperparameters=args, steps_per_epoch=len(train_loader)
) as run:
    for _epoch in range(5):
        model.train()
        for batch, (inputs, labels) in enumerate(train_loader, start=1):
            outputs = model(inputs)
            loss = criterion(outputs, labels)
            (loss / args.accumulate).backward()
            run.step(loss, outputs=outputs, labels=labels)
            if batch % args.accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
        model.eval()
        run.validate(valid_loader, criterion)
