"""Broken and hostile requests to the model server, by the hundred, before a real bundle."""

from __future__ import annotations

import sys
import tarfile
from pathlib import Path

from dogbreed_sdk.container import uri_to_path
from tests.conftest import Workshop

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import fuzz_requests


def test_no_request_breaks_the_model_server(workshop: Workshop, tmp_path: Path) -> None:
    with tarfile.open(uri_to_path(workshop.job.model_uri)) as archive:
        archive.extractall(tmp_path, filter="data")
    report = fuzz_requests.fuzz_model_server(200, tmp_path, seed=1)
    assert report.outcome.failures == []
    assert report.outcome.cases == 200
    assert {name for _, name in report.outcome.counts} >= {"200", "400", "404", "406", "413", "415"}
