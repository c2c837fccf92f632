"""The client adds little to boto3: the benchmark's code, with fewer calls and room for a busy machine."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

import client_cost


@pytest.fixture
def _little_garbage() -> Iterator[None]:
    """The benchmark collects garbage sixty times, each time past all that other tests have loaded: 20 s with torch."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("_little_garbage")
def test_a_call_costs_little_more_than_boto3() -> None:
    jpeg = client_cost.made_up_photograph()
    with client_cost.answering_server() as (raw, classifier):
        plain, ours = client_cost.cost_of_a_call(raw, classifier, jpeg, 300)
        plain_rate, our_rate = client_cost.rate_of_many(raw, classifier, jpeg, 300, 8)
    assert ours < 1.4 * plain
    assert our_rate > 0.6 * plain_rate
