"""Heads: what is asked for is what is built, and what is written down is what comes back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from training_scripts.models.heads import HeadSpec, build


def kinds(head: nn.Module) -> list[str]:
    return [type(layer).__name__ for layer in head.children()]


def test_without_hidden_layers_the_head_is_linear() -> None:
    head = build(HeadSpec(), width=8, classes=3)
    assert kinds(head) == ["Linear"]
    assert head(torch.zeros(2, 8)).shape == (2, 3)


def test_hidden_layers_have_relu_and_the_last_layer_has_dropout() -> None:
    head = build(HeadSpec((16, 4), 0.5), width=8, classes=3)
    assert kinds(head) == ["Linear", "ReLU", "Linear", "ReLU", "Dropout", "Linear"]
    assert head(torch.zeros(2, 8)).shape == (2, 3)


def test_its_description_is_read_back() -> None:
    spec = HeadSpec((512, 256), 0.3)
    assert HeadSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    "values",
    [
        {"hidden": "512", "dropout": 0},
        {"hidden": [0], "dropout": 0},
        {"hidden": [True], "dropout": 0},
        {"hidden": [10**9], "dropout": 0},
        {"hidden": [], "dropout": 1},
        {"hidden": [], "dropout": "0.5"},
        {"dropout": 0.5},
        {"hidden": []},
    ],
)
def test_a_forged_description_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"hidden|dropout"):
        HeadSpec.from_dict(values)
