"""The loop of timm's train.py in short: its model, optimizer, scheduler, loss and averages of batches.

In timm's own script, the same three lines record it: a `Recorder` before the loop over epochs in `main`,
`run.step(loss, outputs=output, labels=target)` after `optimizer.step()` in `train_one_epoch`, and
`run.evaluate(loss, outputs=output, labels=target)` after the loss in `validate`.
"""

import argparse

import timm
import torch
from timm.loss import LabelSmoothingCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import AverageMeter, accuracy
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from dogbreed_sdk import Recorder

CLASSES = 3


def stripes(rows: int, seed: int) -> TensorDataset:
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(CLASSES, (rows,), generator=random)
    places = torch.arange(32.0)
    down, across = torch.meshgrid(places, places, indexing="ij")
    waves = torch.stack([torch.sin(down * 0.8), torch.sin(across * 0.8), torch.sin((down + across) * 0.6)])
    noise = torch.randn(rows, 3, 32, 32, generator=random)
    return TensorDataset(waves[labels].unsqueeze(1) + 2 * noise, labels)


parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--lr", type=float, default=2e-3)
parser.add_argument("--epochs", type=int, default=4)
args = parser.parse_args()

torch.manual_seed(0)
model = timm.create_model("test_resnet", num_classes=CLASSES)
optimizer = create_optimizer_v2(model, opt="adamw", lr=args.lr, weight_decay=0.05)
train_loader = DataLoader(stripes(512, seed=1), 32, shuffle=True, drop_last=True)
valid_loader = DataLoader(stripes(128, seed=2), 64)
scheduler = CosineLRScheduler(optimizer, t_initial=args.epochs * len(train_loader), lr_min=1e-5, t_in_epochs=False)
train_loss_fn, validate_loss_fn = LabelSmoothingCrossEntropy(0.05), nn.CrossEntropyLoss()

run = Recorder(
    args.folder, model=model, optimizer=optimizer, hyperparameters=args, epochs=args.epochs, framework="timm"
)
num_updates = 0
for _epoch in range(args.epochs):
    model.train()
    for images, target in train_loader:
        output = model(images)
        loss = train_loss_fn(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        run.step(loss, outputs=output, labels=target)
        num_updates += 1
        scheduler.step_update(num_updates=num_updates)
    model.eval()
    top1 = AverageMeter()
    with torch.no_grad():
        for images, target in valid_loader:
            output = model(images)
            loss = validate_loss_fn(output, target)
            run.evaluate(loss, outputs=output, labels=target)
            top1.update(accuracy(output, target)[0].item(), images.size(0))
run.close()
