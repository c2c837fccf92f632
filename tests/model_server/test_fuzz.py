"""Broken and hostile requests to the model server, by the hundred, before a real bundle."""

from __future__ import annotations

from pathlib import Path

import fuzz_requests
from tests.training_scripts.conftest import write_bundle


def test_no_request_breaks_the_model_server(tmp_path: Path) -> None:
    report = fuzz_requests.fuzz_model_server(200, write_bundle(tmp_path / "bundle"), seed=1)
    assert report.outcome.failures == []
    assert report.outcome.cases == 200
    assert {name for _, name in report.outcome.counts} >= {"200", "400", "404", "406", "413", "415"}
