"""How a picture becomes square: its center is cropped, or all of it is squashed."""

from __future__ import annotations

from typing import Literal, get_args

ResizeMode = Literal["crop", "squash"]
"""Crop: the shorter side is resized, which keeps the aspect ratio, and a square is cut from the center. Squash: the
whole picture is resized to the square, as torchvision's Resize((224, 224)) does."""

CHOICES: tuple[ResizeMode, ...] = get_args(ResizeMode)


def checked(value: object) -> ResizeMode:
    """A value that is one of the choices.

    Raises:
        ValueError: It is another one.
    """
    for choice in CHOICES:
        if value == choice:
            return choice
    raise ValueError(f"the resize mode is {value!r}, not one of {', '.join(CHOICES)}")
