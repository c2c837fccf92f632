"""Mixed precision: autocast, and a GradScaler whose scaled gradients are unscaled before they are recorded."""

import argparse

import torch
from blobs import CLASSES, WIDTH, loaders
from torch import nn

from dogbreed_sdk import Recorder

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--lr", type=float, default=0.003)
args = parser.parse_args()

torch.manual_seed(0)
train_loader, valid_loader = loaders()
model = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, CLASSES))
optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr)
criterion = nn.CrossEntropyLoss()
scaler = torch.amp.GradScaler("cpu")

with Recorder(args.folder, model=model, optimizer=optimizer, hyperparameters=args) as run:
    for _epoch in range(6):
        model.train()
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            with torch.autocast("cpu", dtype=torch.bfloat16):
                outputs = model(inputs)
                loss = criterion(outputs, labels)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            run.step(loss, outputs=outputs, labels=labels)
        run.validate(valid_loader, criterion)
