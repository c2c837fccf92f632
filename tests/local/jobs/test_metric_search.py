"""Metrics are searched for by a process that may be ended: no line and no expression holds up anything."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from dogbreed_sdk.local.jobs import metric_search
from dogbreed_sdk.local.jobs.metric_search import Captured, MetricSearch
from dogbreed_sdk.local.jobs.metrics import MetricReader

HOPELESS = r"^((?:a+)+)$"
LINE = "a" * 40 + "!"


class Search(MetricSearch):
    """One over several expressions, which keeps what it reports."""

    def __init__(self, *regexes: str) -> None:
        self.reports: list[str] = []
        definitions = [{"Name": f"m{number}", "Regex": regex} for number, regex in enumerate(regexes)]
        super().__init__(MetricReader.of(definitions), report=self.reports.append)

    def values(self) -> list[tuple[str, str, str]]:
        return [(found.source, found.name, found.text) for found in self.settle(30)]


@pytest.fixture(autouse=True)
def _short_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metric_search, "SEARCH_SECONDS", 0.1)


@pytest.fixture
def searches() -> Iterator[list[Search]]:
    made: list[Search] = []
    yield made
    for search in made:
        search.close()


def test_every_value_of_every_metric_comes_in_order(searches: list[Search]) -> None:
    search = Search(r"loss=(\S+)", r"acc=([0-9.]+)?")
    searches.append(search)
    search.feed("one", "acc=0.5 loss=1 loss=nan")
    search.feed("two", "acc= \u00e4")
    assert search.values() == [
        ("one", "m0", "1"), ("one", "m0", "nan"), ("one", "m1", "0.5"), ("two", "m1", ""),
    ]  # fmt: skip
    assert not search.has_waiting("one")
    assert search.reports == []


def test_a_search_without_end_costs_its_line_and_delays_nobody(searches: list[Search]) -> None:
    search = Search(r"(a)a*!", HOPELESS, r"(!)")
    searches.append(search)
    for line in ("aa!", LINE, "aaa"):
        search.feed("job", line)
        search.collect()
    assert search.values() == [
        ("job", "m0", "a"), ("job", "m2", "!"), ("job", "m0", "a"), ("job", "m2", "!"), ("job", "m1", "aaa"),
    ]  # fmt: skip
    assert search.reports == [
        "[the Regex of metric 'm1' took longer than 0.1 s on a line of 41 characters, which is left out]"
    ]


def test_an_expression_that_never_ends_is_given_up(searches: list[Search]) -> None:
    search = Search(HOPELESS, r"(!)")
    searches.append(search)
    for _ in range(20):
        search.feed("job", LINE)
    assert search.values() == [("job", "m1", "!")] * 20
    assert len(search.reports) == 3
    assert (
        search.reports[-1] == "[the Regex of metric 'm0' took longer than 0.1 s 3 times: its values are no longer read]"
    )


def test_the_death_of_the_process_loses_one_search(searches: list[Search]) -> None:
    search = Search(r"(\d+)")
    searches.append(search)
    search.feed("job", "1")
    assert search.values() == [("job", "m0", "1")]
    assert search.pid is not None
    os.kill(search.pid, signal.SIGSTOP)
    for number in range(2, 5):
        search.feed("job", str(number))
    search.collect()
    os.kill(search.pid, signal.SIGKILL)
    assert search.values() == [("job", "m0", "3"), ("job", "m0", "4")]


def test_what_is_printed_faster_than_searched_waits_or_is_left_out(searches: list[Search]) -> None:
    search = Search(r"x*y(z)")
    searches.append(search)
    while search.has_room:
        search.feed("job", "x" * 60_000)
    for _ in range(100):
        search.feed("job", "x" * 60_000)
    search.finish(60, lambda: True)
    assert "lines were not searched for metrics" in search.reports[-1]
    assert (search.has_room, search.has_waiting("job"), search.pid) == (True, False, None)


def test_the_process_ends_with_its_starter(searches: list[Search]) -> None:
    search = Search(r"(\d+)")
    searches.append(search)
    search.feed("job", "7", 12.5)
    assert search.settle(30) == [Captured("job", "m0", "7", 12.5)]
    assert search.pid is not None
    process = psutil.Process(search.pid)
    search.close()
    assert not process.is_running()
