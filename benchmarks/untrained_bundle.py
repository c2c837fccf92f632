"""A bundle for servers under load: the pretrained default backbone before a random head of 120 classes."""

from __future__ import annotations

from pathlib import Path

import torch

from training_scripts.models import backbones, bundle_writer, heads

CLASSES = 120


def write(folder: Path, *, temperature: float = 1.0) -> Path:
    """The folder, with the same bundle every time; a temperature below 1 spreads the answers apart."""
    spec, head_spec = backbones.spec("efficientnet_lite0"), heads.HeadSpec((), 0.0)
    torch.manual_seed(0)
    bundle_writer.write(
        folder,
        backbone_name=spec.name,
        backbone_state=backbones.create(spec.name).state_dict(),
        head=heads.build(head_spec, width=spec.feature_width, classes=CLASSES),
        head_spec=head_spec,
        classes=[f"{number:03}.Breed_{number}" for number in range(1, CLASSES + 1)],
        preprocessing=spec.preprocessing,
        metrics={},
        temperature=temperature,
        fingerprint="0" * 64,
        hyperparameters={},
    )
    return folder
