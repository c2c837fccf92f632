"""The client adds little to boto3: the benchmark's code, with fewer calls and room for a busy machine."""

from __future__ import annotations

import client_cost


def test_a_call_costs_little_more_than_boto3() -> None:
    jpeg = client_cost.made_up_photograph()
    with client_cost.answering_server() as (raw, classifier):
        plain, ours = client_cost.cost_of_a_call(raw, classifier, jpeg, 300)
        plain_rate, our_rate = client_cost.rate_of_many(raw, classifier, jpeg, 300, 8)
    assert ours < 1.4 * plain
    assert our_rate > 0.6 * plain_rate
