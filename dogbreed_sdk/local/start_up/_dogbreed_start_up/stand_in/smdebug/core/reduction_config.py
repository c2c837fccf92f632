"""Which reductions are recorded of tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..exceptions import SMDebugValueError

ALLOWED_REDUCTIONS = ["min", "max", "mean", "std", "variance", "sum", "prod"]
ALLOWED_NORMS = ["l1", "l2"]


class ReductionConfig:
    """Reductions and norms of tensors and of their absolute values, and whether tensors are recorded in full too."""

    def __init__(
        self,
        reductions: Sequence[str] | None = None,
        abs_reductions: Sequence[str] | None = None,
        norms: Sequence[str] | None = None,
        abs_norms: Sequence[str] | None = None,
        save_raw_tensor: bool = False,
        save_shape: bool = False,
    ) -> None:
        self.reductions, self.abs_reductions = list(reductions or ()), list(abs_reductions or ())
        self.norms, self.abs_norms = list(norms or ()), list(abs_norms or ())
        self.save_raw_tensor, self.save_shape = save_raw_tensor, save_shape
        for kinds, allowed in (
            (self.reductions + self.abs_reductions, ALLOWED_REDUCTIONS),
            (self.norms + self.abs_norms, ALLOWED_NORMS),
        ):
            if not set(kinds) <= set(allowed):
                raise SMDebugValueError(f"{kinds}: only {','.join(allowed)} can be recorded")

    def kinds(self) -> list[tuple[str, bool]]:
        """Each reduction or norm, and whether it is of absolute values."""
        return [(kind, False) for kind in self.reductions + self.norms] + [
            (kind, True) for kind in self.abs_reductions + self.abs_norms
        ]

    def to_json_dict(self) -> dict[str, Any]:
        """The form in the recording."""
        names = [
            *self.reductions,
            *(f"{norm}_norm" for norm in self.norms),
            *(f"abs_{kind}" for kind in self.abs_reductions),
            *(f"abs_{norm}_norm" for norm in self.abs_norms),
        ]
        return {
            "save_raw_tensor": self.save_raw_tensor,
            "reductions": ",".join(names),
            "save_shape": self.save_shape,
        }

    @classmethod
    def from_dict(cls, params: Mapping[str, Any]) -> ReductionConfig:
        """From a job's parameters: `reductions` is a list such as min,abs_mean,l2_norm."""
        sorted_out: dict[str, list[str]] = {"reductions": [], "abs_reductions": [], "norms": [], "abs_norms": []}
        for given in str(params.get("reductions", "")).split(","):
            name = given.strip()
            if name:
                bare = name.removeprefix("abs_")
                kind = "norms" if bare.endswith("_norm") else "reductions"
                sorted_out["abs_" * name.startswith("abs_") + kind].append(bare.removesuffix("_norm"))
        return cls(
            **sorted_out,
            save_raw_tensor=is_true(params.get("save_raw_tensor", False)),
            save_shape=is_true(params.get("save_shape", False)),
        )


def is_true(given: Any) -> bool:
    """Whether a parameter is switched on; a job's parameters are texts."""
    return given is True or str(given).strip().lower() in ("true", "1", "y", "yes", "on")
