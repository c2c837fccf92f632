"""Which numbers the parameters of the built-in rules may be."""

from __future__ import annotations

import math
from typing import Any

from training_scripts._util.number_text import number_text
from training_scripts.rules.findings import RuleError

COUNTS = {
    "patience",
    "patience_train",
    "patience_validation",
    "num_steps",
    "steps",
    "min_points",
    "samples",
    "threshold_samples",
    "window",
    "n_outliers",
}
"""Numbers of steps, epochs, samples and the like: whole, and one at least."""

WHOLE = {"start_step", "category_no", "channel"}
"""Places: whole numbers."""

HIGHEST = {
    **dict.fromkeys(("threshold_layer", "threshold_inactivity", "AllZero.threshold"), 100),
    **dict.fromkeys(("share", "share_of_run", "share_beside_threshold", "told_apart", "others_right"), 1),
    **dict.fromkeys(("max_off_diag", "min_diag", "threshold_misprediction", "hardly_predicted"), 1),
}
"""Percentages and shares of a whole."""


def check(rule: str, name: str, value: Any, like: Any) -> Any:
    """The value of a rule's parameter, where it is one that can be judged by.

    Args:
        rule: The rule's name.
        name: The parameter's.
        value: What it is to be.
        like: What it is by default: where that is negative, so may the value be.

    Raises:
        RuleError: It is not finite, or out of bounds; the message says what is allowed.
    """
    what = f"{rule}.{name}"
    if isinstance(like, (int, float)) and not isinstance(like, bool):
        if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
            raise RuleError(f"{what} must be a number, not {value!r}.")
    elif isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    highest = HIGHEST.get(what, HIGHEST.get(name, math.inf))
    lowest = _lowest(name, like)
    whole = name in COUNTS or name in WHOLE
    if not math.isfinite(value) or not lowest <= value <= highest or (whole and value != int(value)):
        raise RuleError(f"{what} must be {_allowed(whole=whole, lowest=lowest, highest=highest)}, not {value!r}.")
    return int(value) if whole else value


def _lowest(name: str, like: Any) -> float:
    if name in COUNTS:
        return 1
    # An axis may be counted from the end.
    return -math.inf if name == "channel" or (isinstance(like, (int, float)) and like < 0) else 0


def _allowed(*, whole: bool, lowest: float, highest: float) -> str:
    kind = "a whole number" if whole else "a finite number"
    if math.isfinite(highest):
        return f"{kind} from {number_text(lowest)} to {number_text(highest)}"
    return f"{kind} of {number_text(lowest)} or more" if math.isfinite(lowest) else kind
