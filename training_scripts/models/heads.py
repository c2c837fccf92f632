"""The head: the layers that turn a backbone's features into one score per class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

MAX_WIDTH = 65536
# Real heads have up to two hidden layers; a forged description with a million would take minutes to build.
MAX_LAYERS = 32


@dataclass(frozen=True)
class HeadSpec:
    """The specification of a head.

    Attributes:
        hidden: Widths of the hidden layers, each followed by ReLU; empty for a linear head.
        dropout: Share of the last layer's inputs that training drops; serving drops nothing.
    """

    hidden: tuple[int, ...] = ()
    dropout: float = 0.0

    def to_dict(self) -> dict[str, object]:
        """The values as JSON types; `from_dict` reads them back."""
        return {"hidden": list(self.hidden), "dropout": self.dropout}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> HeadSpec:
        """Reads what `to_dict` returned.

        Raises:
            ValueError: It has too many layers, or a width or the dropout is invalid.
        """
        hidden, dropout = values.get("hidden"), values.get("dropout")
        if isinstance(hidden, list) and len(hidden) > MAX_LAYERS:
            raise ValueError(f"hidden must be a list of at most {MAX_LAYERS} widths, not {len(hidden):,}")
        if not isinstance(hidden, list) or not all(type(width) is int and 1 <= width <= MAX_WIDTH for width in hidden):
            raise ValueError(f"hidden must be a list of widths from 1 to {MAX_WIDTH}, not {hidden!r}")
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ValueError(f"dropout must be at least 0 and below 1, not {dropout!r}")
        return cls(tuple(hidden), float(dropout))


def build(spec: HeadSpec, *, width: int, classes: int) -> nn.Module:
    """A freshly initialized head: features [n, width] -> logits [n, classes].

    Args:
        spec: Its layers.
        width: Width of the backbone's features.
        classes: Number of classes.
    """
    from torch import nn  # noqa: PLC0415

    layers: list[nn.Module] = []
    for hidden in spec.hidden:
        layers += [nn.Linear(width, hidden), nn.ReLU()]
        width = hidden
    if spec.dropout:
        layers.append(nn.Dropout(spec.dropout))
    return nn.Sequential(*layers, nn.Linear(width, classes))
