"""Workers: threads that are started as they are needed, where there are enough, and anew in a forked process."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import wait

import pytest

from dogbreed_sdk.client.daemon_pool import DaemonPool
from tests.waiting import wait_for


def test_threads_start_as_they_are_needed() -> None:
    workers = DaemonPool(8, name="few")
    for _ in range(6):
        assert workers.submit(lambda: 7).result() == 7
        wait_for(lambda: workers.unfinished == 0)
    assert len(workers.thread_ids()) == 1
    workers.shutdown()


def test_what_has_not_begun_is_cancelled() -> None:
    gate = threading.Event()
    workers = DaemonPool(1, name="one")
    first, second = workers.submit(gate.wait), workers.submit(gate.wait)
    wait_for(first.running)
    workers.shutdown(wait=False, cancel_futures=True)
    gate.set()
    assert first.result() is True
    assert second.cancelled()
    assert workers.join(60.0)
    assert workers.unfinished == 0
    with pytest.raises(RuntimeError, match="shut down"):
        workers.submit(gate.wait)


def test_a_machine_that_gives_no_more_threads_has_the_work_done_by_fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = DaemonPool(8, name="few")
    start, started = threading.Thread.start, []

    def scarce(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    together = threading.Barrier(2)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", scarce)
        asked = [workers.submit(together.wait, 60.0) for _ in range(6)]
    assert not wait(asked, 120.0).not_done
    assert sorted(future.result() for future in asked) == [0, 0, 0, 1, 1, 1]
    workers.shutdown()
    assert len(workers.thread_ids()) == 2


def test_a_machine_that_gives_no_thread_at_all_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    workers = DaemonPool(2, name="none")
    with pytest.raises(RuntimeError, match="can't start"):
        workers.submit(int)
    assert workers.unfinished == 0
    workers.shutdown()


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_starts_threads_of_its_own() -> None:
    workers = DaemonPool(1, name="forked")
    assert workers.submit(int, "7").result(60.0) == 7
    process = multiprocessing.get_context("fork").Process(target=lambda: workers.submit(int, "8").result(60.0))
    process.start()
    process.join(120.0)
    assert process.exitcode == 0
    assert workers.submit(int, "9").result(60.0) == 9
    workers.shutdown()
