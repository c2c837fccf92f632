"""A model server that a program starts for itself, and that ends with the program."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.model_server import __main__, process, start
from tests.model_server.model_process import write_model

CODE = """
import os
def model_fn(model_dir): return "model"
def predict_fn(data, model): return [model, data, os.environ.get("SAGEMAKER_MODEL_SERVER_TIMEOUT")]
"""


def test_it_answers_until_it_is_closed(tmp_path: Path) -> None:
    with start(write_model(tmp_path / "model", CODE), code="bundle", timeout_seconds=7) as server:
        assert requests.get(f"{server.url}/ping", timeout=60).status_code == 200
        assert requests.post(f"{server.url}/invocations", json=3, timeout=60).json() == ["model", 3, "7"]
        assert server.is_alive()
    assert not server.is_alive()
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{server.url}/ping", timeout=60)
    server.close()


def test_code_out_of_a_bundle_inherits_no_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://me:hunter2@host/db")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT", "application/json")
    code = "import os\ndef model_fn(d): return 0\ndef predict_fn(data, model): return dict(os.environ)"
    with start(write_model(tmp_path / "model", code), code="bundle") as server:
        seen = requests.post(f"{server.url}/invocations", json=3, timeout=60).json()
    assert seen["PATH"]
    assert seen["SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT"] == "application/json"
    assert not {"DATABASE_URL", "AWS_SECRET_ACCESS_KEY"} & set(seen)
    assert "hunter2" not in str(seen)


def test_loading_that_takes_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_STATUS_AFTER_SECONDS", 0.05)
    said: list[str] = []
    slow = "import time\ntime.sleep(0.1)\ndef model_fn(model_dir): return 0"
    start(write_model(tmp_path / "model", slow), code="bundle", status=said.append).close()
    assert said[0] == "loading the model …"
    assert said[1].startswith("the model is loaded (")


def test_what_keeps_a_model_from_loading_is_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(EndpointNotReadyError, match=r"could not load the model:\n(?s:.*)OSError: no weights"):
        start(write_model(tmp_path / "model", "def model_fn(d): raise OSError('no weights')"), code="bundle")
    with pytest.raises(ConfigurationError, match="is not a directory; pass the directory of an unpacked"):
        start(tmp_path / "model.tar.gz")


def test_a_fault_that_the_user_can_mend_is_told_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(EndpointNotReadyError) as caught:
        start(tmp_path)
    reason = str(caught.value).splitlines()[1:]
    assert reason == [f"error: {tmp_path}: model.json is invalid: it is not a dogbreed-bundle"]


def test_without_the_extra_the_error_names_it(tmp_path: Path) -> None:
    code = (
        "import sys\nsys.modules['psutil'] = None\n"
        "from dogbreed_sdk.errors import ConfigurationError\nfrom dogbreed_sdk.model_server import start\n"
        f"try: start({str(tmp_path)!r})\nexcept ConfigurationError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "needs psutil. Install with: pip install 'dogbreed-sdk[local]'" in done.stdout


def test_a_starter_that_does_not_listen_stops_nothing() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        code = (
            "from dogbreed_sdk.model_server.parent_socket import USED, ParentSocket\n"
            f"line = ParentSocket({theirs.fileno()})\n"
            "for _ in range(5000): line.send(USED)\n"  # an hour and a half of use
            "print('done')"
        )
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, pass_fds=[theirs.fileno()], check=False
        )
        theirs.close()
    assert done.stdout == "done\n"


@pytest.mark.parametrize("workers", [1, 2])
def test_no_process_outlives_a_starter_that_is_killed(tmp_path: Path, workers: int) -> None:
    folder = write_model(tmp_path / "model", CODE)
    code = (
        "import time\nfrom dogbreed_sdk.model_server import start\n"
        f"server = start({str(folder)!r}, code='bundle', workers={workers})\n"
        "print(server.pid, flush=True)\ntime.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        server = psutil.Process(int(starter.stdout.readline()))
        processes = [server, *server.children()]
        assert len(processes) == (1 if workers == 1 else 3)
        starter.send_signal(signal.SIGKILL)
        _, alive = psutil.wait_procs(processes, timeout=60)
    assert alive == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["/site", "/layer", "/site"], ["/layer", "/site"]),
        (["/checkout", "/layer", "/site"], ["/checkout", "/layer", "/site"]),
    ],
)
def test_an_installed_sdk_does_not_hide_what_a_models_code_installs(
    before: list[str], after: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", list(before))
    __main__._search_package_parent_last()
    assert sys.path == after
