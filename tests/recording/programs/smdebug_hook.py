"""A script that was written for smdebug; the first two lines let it run where smdebug is not installed."""

from dogbreed_sdk.recording import smdebug  # isort: skip

smdebug.provide()

import argparse

import smdebug.pytorch as smd
import torch
from blobs import CLASSES, WIDTH, loaders
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("folder")
args = parser.parse_args()

torch.manual_seed(0)
train_loader, valid_loader = loaders()
model = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU(), nn.Linear(32, CLASSES))
optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
criterion = nn.CrossEntropyLoss()

hook = smd.Hook(
    out_dir=args.folder,
    save_config=smd.SaveConfig(save_interval=8),
    include_collections=["losses", "weights", "gradients"],
)
hook.register_module(model)
hook.register_loss(criterion)
for _epoch in range(6):
    model.train()
    hook.set_mode(smd.modes.TRAIN)
    for inputs, labels in train_loader:
        optimizer.zero_grad()
        criterion(model(inputs), labels).backward()
        optimizer.step()
    model.eval()
    hook.set_mode(smd.modes.EVAL)
    with torch.no_grad():
        for inputs, labels in valid_loader:
            criterion(model(inputs), labels)
hook.close()
