"""Several processes behind one port: all answer, the dead are replaced, and all end together."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.model_server.conftest import ServerStarter
from tests.model_server.model_process import Server, write_model
from tests.waiting import wait_for

TELLING = """
import os, time
def model_fn(model_dir): return os.getpid()
def predict_fn(data, model):
    if data == "die":
        os._exit(7)
    time.sleep(data if isinstance(data, float) else 0)
    return model
"""


def workers_that_answer(server: Server, count: int = 12) -> Counter[str]:
    return Counter(server.invoke()[1] for _ in range(count))


def both(serve: ServerStarter) -> Server:
    server = serve(TELLING, "--workers", "2")
    wait_for(lambda: len(workers_that_answer(server)) == 2)
    return server


def test_connections_go_to_the_workers_in_turn_and_one_that_dies_is_replaced(serve: ServerStarter) -> None:
    server = both(serve)
    first = workers_that_answer(server)
    assert list(first.values()) == [6, 6]
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        server.invoke(b'"die"')
    # A connection that was passed to the worker as it died is lost with it; then the other one answers.
    with contextlib.suppress(http.client.RemoteDisconnected, ConnectionResetError):
        server.invoke()
    for _ in range(20):
        assert server.invoke()[0] == 200
    wait_for(lambda: len(workers_that_answer(server)) == 2)
    assert len(set(workers_that_answer(server)) & set(first)) == 1
    assert "ended with status 7; another takes its place" in server.end()


def test_workers_are_reached_where_uvloop_is_installed(serve: ServerStarter, tmp_path: Path) -> None:
    (tmp_path / "uvloop.py").write_text("raise SystemExit('uvloop accepts only what it listens for itself')")
    assert serve(TELLING, "--workers", "2", PYTHONPATH=str(tmp_path)).invoke()[0] == 200


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_finishes_what_both_have_accepted(serve: ServerStarter, ending: signal.Signals) -> None:
    server = both(serve)
    with ThreadPoolExecutor(6) as pool:
        calls = [pool.submit(server.invoke, b"0.3") for _ in range(6)]
        time.sleep(0.4)  # all have come, and most of them wait
        server.process.send_signal(ending)
        assert [call.result()[0] for call in calls] == [200] * 6
    assert server.process.wait(timeout=10) == 0


def test_workers_end_with_a_parent_that_is_killed(serve: ServerStarter) -> None:
    server = both(serve)
    children = psutil.Process(server.process.pid).children()
    assert len(children) == 2
    os.kill(server.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


def test_a_model_that_does_not_load_ends_all_with_the_reason(tmp_path: Path) -> None:
    server = Server(write_model(tmp_path / "model", "def model_fn(d): raise OSError('broken')"), "--workers", "2")
    assert "OSError: broken" in server.process.communicate(timeout=20)[1]
    assert server.process.returncode == 1


def test_workers_that_nobody_uses_end_together(serve: ServerStarter) -> None:
    server = serve(TELLING, "--workers", "2", "--idle-seconds", "1.4")
    for _ in range(4):
        assert server.invoke()[0] == 200
        time.sleep(0.4)
    assert server.process.poll() is None
    assert server.process.wait(timeout=10) == 0
    assert "Ending after 1 s without requests" in server.end()
