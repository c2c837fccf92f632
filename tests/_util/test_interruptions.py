"""Interruptions of clean-up: deferred once, obeyed the second time, never lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from dogbreed_sdk._util.interruptions import EndsByException, Terminated, finished_first


@pytest.fixture(autouse=True)
def _default_handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_within_the_block_a_process_ends_by_an_exception(number: signal.Signals, status: int) -> None:
    with pytest.raises(Terminated) as caught, EndsByException(), EndsByException():
        signal.raise_signal(number)
    assert caught.value.code == status
    assert signal.getsignal(number) is signal.SIG_DFL


def test_blocks_may_overlap() -> None:
    first, second = EndsByException(), EndsByException()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    with pytest.raises(Terminated):
        signal.raise_signal(signal.SIGTERM)
    second.__exit__(None, None, None)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_handler_of_the_program_stays() -> None:
    received: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: received.append(number))
    with EndsByException():
        signal.raise_signal(signal.SIGTERM)
    assert received == [signal.SIGTERM]


def test_under_nohup_a_hangup_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with EndsByException(), finished_first(lambda: None):
        signal.raise_signal(signal.SIGHUP)


def test_elsewhere_than_in_the_main_thread_nothing_changes() -> None:
    def work() -> bool:
        with EndsByException(), finished_first(lambda: None):
            return signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(work).result()


def test_the_first_interruption_takes_effect_at_the_end() -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt), finished_first(lambda: done.append("reported")):
        signal.raise_signal(signal.SIGINT)
        done.append("finished")
    assert done == ["reported", "finished"]


def test_while_the_program_ends_anyway_it_raises_nothing_more() -> None:
    with pytest.raises(SystemExit) as caught:
        try:
            raise SystemExit(7)
        finally:
            with finished_first(lambda: None):
                signal.raise_signal(signal.SIGINT)
    assert caught.value.code == 7


def test_the_second_interruption_ends_the_block() -> None:
    done: list[str] = []
    with pytest.raises(Terminated), finished_first(lambda: None):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGTERM)
        done.append("finished")
    assert done == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
