"""Several processes behind one port: all answer, the dead are replaced, and all end together."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.model_server.conftest import ServerStarter
from tests.model_server.model_process import Server, write_model
from tests.passing_time import PassingTime
from tests.waiting import wait_for

TELLING = """
import os, time
def model_fn(model_dir): return os.getpid()
def predict_fn(data, model):
    if data == "die":
        os._exit(7)
    while data == "held" and not os.path.exists(os.environ["GO"]):
        time.sleep(0.02)
    return model
"""


def workers_that_answer(server: Server, count: int = 12) -> Counter[str]:
    return Counter(server.invoke()[1] for _ in range(count))


def both(serve: ServerStarter, *options: str, **environment: str) -> Server:
    server = serve(TELLING, "--workers", "2", *options, **environment)
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
def test_a_signal_that_ends_it_finishes_what_both_have_accepted(
    serve: ServerStarter, ending: signal.Signals, tmp_path: Path
) -> None:
    server = both(serve, GO=str(tmp_path / "go"))
    calls = [server.send(b'"held"') for _ in range(6)]
    for _ in range(2):  # each worker has accepted what came before it
        assert server.request("GET", "/ping")[0] == 200
    server.process.send_signal(ending)
    (tmp_path / "go").touch()
    assert server.answered(calls) == [200] * 6
    assert server.process.wait(timeout=60) == 0


def test_workers_end_with_a_parent_that_is_killed(serve: ServerStarter) -> None:
    server = both(serve)
    children = psutil.Process(server.process.pid).children()
    assert len(children) == 2
    os.kill(server.process.pid, signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert alive == []


def test_a_model_that_does_not_load_ends_all_with_the_reason(tmp_path: Path) -> None:
    server = Server(write_model(tmp_path / "model", "def model_fn(d): raise OSError('broken')"), "--workers", "2")
    assert "OSError: broken" in server.process.communicate(timeout=60)[1]
    assert server.process.returncode == 1


def test_workers_that_nobody_uses_end_together(serve: ServerStarter, tmp_path: Path) -> None:
    time = PassingTime(tmp_path / "clocks")
    server = both(serve, "--idle-seconds", "3600", **time.environment)
    for hour in range(3):
        time.move(hour * 3000)
        assert server.invoke()[0] == 200
    assert server.process.poll() is None
    time.move(4 * 3600)
    assert server.process.wait(timeout=60) == 0
    assert "Ending after 3600 s without requests" in server.end()
