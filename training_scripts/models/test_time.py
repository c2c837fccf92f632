"""Test-time augmentation: the features of a picture as the mean over several of its views.

The mean is taken over features, not over scores, so that the head, the temperature and the rejection rule work on it
like on the features of one view. For a linear head, the mean score is the same.
"""

# ruff: noqa: PLC0415 - looking up hyperparameters must load neither torch nor Pillow

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

    from training_scripts.data.preprocessing import View

TestTimeAugmentation = Literal["none", "flip"]
NONE: TestTimeAugmentation = "none"
CHOICES: tuple[TestTimeAugmentation, ...] = ("none", "flip")


def checked(name: object) -> TestTimeAugmentation:
    """The augmentation of this name.

    Raises:
        ValueError: The name is unknown.
    """
    if name not in CHOICES:
        raise ValueError(f"tta must be one of {', '.join(CHOICES)}, not {str(name)[:40]!r}")
    return name


def views(tta: TestTimeAugmentation) -> tuple[View, ...]:
    """The views whose features are averaged."""
    from training_scripts.data.preprocessing import FLIP, PLAIN

    return (PLAIN, FLIP) if tta == "flip" else (PLAIN,)


def features(
    backbone: Callable[[torch.Tensor], torch.Tensor], pictures: torch.Tensor, tta: TestTimeAugmentation
) -> torch.Tensor:
    """The averaged features [n, width] of preprocessed pictures [n, 3, h, w]; costs one forward pass per view."""
    import torch

    if tta == "none":
        return backbone(pictures)
    plain, flipped = backbone(torch.cat([pictures, pictures.flip(3)])).chunk(2)
    return (plain + flipped) / 2
