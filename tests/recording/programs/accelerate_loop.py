"""A loop of Accelerate with gradient accumulation, as in its documentation."""

import argparse

import torch
from accelerate import Accelerator
from blobs import CLASSES, WIDTH, loaders
from torch import nn

from dogbreed_sdk import Recorder

parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--lr", type=float, default=0.05)
args = parser.parse_args()

torch.manual_seed(0)
accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
model = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, CLASSES))
optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9)
model, optimizer, train_loader, valid_loader = accelerator.prepare(model, optimizer, *loaders(batch_size=16))
criterion = nn.CrossEntropyLoss()

with Recorder(args.folder, model=model, optimizer=optimizer, hyperparameters=args) as run:
    for _epoch in range(5):
        model.train()
        for inputs, labels in train_loader:
            with accelerator.accumulate(model):
                outputs = model(inputs)
                loss = criterion(outputs, labels)
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                run.step(loss, outputs=outputs, labels=labels)
        run.validate(valid_loader, criterion)
