"""Mutated requests, a few of them: no failure of the service, no unclear answer, nothing kept."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import fuzz_service


def test_mutated_requests_are_answered_clearly(caplog: pytest.LogCaptureFixture) -> None:
    outcomes = fuzz_service.run(400, seed=1)
    assert not [name for name in outcomes if name.startswith("bad")]
    assert {"200", "400", "415", "malformed", "nothing is kept"} <= set(outcomes)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
