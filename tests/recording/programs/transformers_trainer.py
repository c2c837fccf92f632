"""Hugging Face's Trainer with a small ViT on pictures of stripes; one callback records it."""

import argparse

import torch
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments, ViTConfig, ViTForImageClassification

from dogbreed_sdk.recording.transformers import RecorderCallback

NAMES = ["across", "down", "diagonal"]


class Stripes(Dataset):
    def __init__(self, rows: int, seed: int):
        random = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(len(NAMES), (rows,), generator=random)
        places = torch.arange(8.0)
        down, across = torch.meshgrid(places, places, indexing="ij")
        waves = torch.stack([torch.sin(down * 1.6), torch.sin(across * 1.6), torch.sin((down + across) * 1.2)])
        noise = torch.randn(rows, 3, 8, 8, generator=random)
        self.pictures = waves[self.labels].unsqueeze(1) + 1.5 * noise

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return {"pixel_values": self.pictures[index], "labels": self.labels[index]}


parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("--lr", type=float, default=1e-3)
args = parser.parse_args()

torch.manual_seed(0)
config = ViTConfig(
    image_size=8,
    patch_size=4,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=64,
    id2label=dict(enumerate(NAMES)),
    label2id={name: number for number, name in enumerate(NAMES)},
)
trainer = Trainer(
    ViTForImageClassification(config),
    TrainingArguments(
        output_dir=f"{args.folder}-output",
        learning_rate=args.lr,
        num_train_epochs=4,
        per_device_train_batch_size=16,
        per_device_eval_batch_size=64,
        gradient_accumulation_steps=2,
        eval_strategy="epoch",
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    ),
    train_dataset=Stripes(512, seed=1),
    eval_dataset=Stripes(256, seed=2),
    callbacks=[RecorderCallback(args.folder)],
)
trainer.train()
