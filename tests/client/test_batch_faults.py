"""Under an endpoint that does everything wrong no picture is lost: the benchmark's code, with fewer pictures."""

from __future__ import annotations

import faults
from dogbreed_sdk import Prediction


def test_every_picture_has_its_own_answer_or_its_own_error() -> None:
    outcomes = faults.run(300, width=8, seed=1)
    assert faults.problems(outcomes, 300, 1) == []
    assert sum(isinstance(outcome, Prediction) for outcome in outcomes) > 280


def test_what_is_lost_or_mixed_up_would_be_seen() -> None:
    outcomes = faults.run(20, width=4, seed=2)
    assert faults.problems(outcomes, 20, 2) == []
    assert faults.problems(outcomes[:-1], 20, 2) == ["19 outcomes for 20 pictures"]
    outcomes[3], outcomes[4] = outcomes[4], outcomes[3]
    assert len(faults.problems(outcomes, 20, 2)) == 2
