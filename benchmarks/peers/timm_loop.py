"""A frozen efficientnet_lite0 with a linear head, trained with timm's model, loaders and optimizer.

The weights are random: timm downloads its own from a hub, and they cost the same time.

Usage: timm_loop.py DATA EPOCHS, where DATA has a train and a valid folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import timm
import torch
from timm.data import create_dataset, create_loader, resolve_model_data_config
from timm.optim import create_optimizer_v2
from timm.utils import accuracy
from torch import nn


def main() -> None:
    """Trains and prints the accuracy of every epoch."""
    data, epochs = Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(0)
    datasets = {split: create_dataset("", root=data, split=split) for split in ("train", "valid")}
    classes = len(datasets["train"].reader.class_to_idx)
    network = timm.create_model("efficientnet_lite0", pretrained=False, num_classes=classes)
    network.requires_grad_(False)
    network.get_classifier().requires_grad_(True)
    config = resolve_model_data_config(network)
    loaders = {
        split: create_loader(
            dataset,
            input_size=config["input_size"],
            batch_size=64,
            is_training=split == "train",
            use_prefetcher=False,
            interpolation=config["interpolation"],
            mean=config["mean"],
            std=config["std"],
            crop_pct=config["crop_pct"],
            num_workers=2,
            device=torch.device("cpu"),
        )
        for split, dataset in datasets.items()
    }
    optimizer = create_optimizer_v2(network, opt="adamw", lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        network.train()
        for pixels, labels in loaders["train"]:
            optimizer.zero_grad()
            criterion(network(pixels), labels).backward()
            optimizer.step()
        network.eval()
        right = seen = 0.0
        with torch.no_grad():
            for pixels, labels in loaders["valid"]:
                right += float(accuracy(network(pixels), labels)[0]) * len(labels) / 100
                seen += len(labels)
        print(f"epoch {epoch + 1}: valid accuracy {right / seen:.4f}", flush=True)


if __name__ == "__main__":
    main()
