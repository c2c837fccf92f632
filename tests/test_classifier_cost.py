"""The client adds little to boto3: the benchmark's code, with fewer calls and room for a busy machine."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARK = Path(__file__).parents[1] / "benchmarks" / "client_cost.py"


@pytest.fixture
def client_cost(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("client_cost", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its server's process imports it by this name.
    monkeypatch.setitem(sys.modules, "client_cost", module)
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    spec.loader.exec_module(module)
    return module


def test_a_call_costs_little_more_than_boto3(client_cost: ModuleType) -> None:
    jpeg = client_cost.made_up_photograph()
    with client_cost.answering_server() as (raw, classifier):
        plain, ours = client_cost.cost_of_a_call(raw, classifier, jpeg, 300)
        plain_rate, our_rate = client_cost.rate_of_many(raw, classifier, jpeg, 300, 8)
    assert ours < 1.4 * plain
    assert our_rate > 0.6 * plain_rate
