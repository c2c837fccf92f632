"""A plain training loop. Six lines record it: they are marked with `#+`."""

import argparse

import torch
from blobs import CLASSES, WIDTH, loaders
from torch import nn

from dogbreed_sdk import Recorder  # +

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--lr", type=float, default=0.05)
parser.add_argument("--epochs", type=int, default=6)
args = parser.parse_args()

torch.manual_seed(0)
train_loader, valid_loader = loaders()
model = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, CLASSES))
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
criterion = nn.CrossEntropyLoss()

run = Recorder(args.folder, model=model, optimizer=optimizer, hyperparameters=args, epochs=args.epochs)  # +
for _epoch in range(args.epochs):
    model.train()
    for inputs, labels in train_loader:
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.step(loss, outputs=outputs, labels=labels)  # +
    model.eval()
    with torch.no_grad():
        for inputs, labels in valid_loader:
            outputs = model(inputs)
            run.evaluate(criterion(outputs, labels), outputs=outputs, labels=labels)  # +
run.close()  # +
