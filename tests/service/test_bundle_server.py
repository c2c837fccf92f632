"""The watch over the model server of a bundle: whatever keeps one from starting, it is tried again."""

from __future__ import annotations

import io
import shutil
import tarfile
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.model_server import restarts
from dogbreed_sdk.model_server.process import Code
from dogbreed_sdk.service import bundle_server
from dogbreed_sdk.service.bundle_server import BundleServer
from tests.waiting import wait_for


class Process:
    """A model server of which nothing runs."""

    url = "http://127.0.0.1:1"
    pid = 4711

    def __init__(self) -> None:
        self.alive = threading.Event()
        self.alive.set()

    def is_alive(self) -> bool:
        return self.alive.is_set()

    def close(self, **_: Any) -> None:
        self.alive.clear()


@pytest.mark.parametrize("error", [OSError("no more processes"), MemoryError(), RuntimeError("can't start new thread")])
def test_a_start_that_fails_in_any_way_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    first, second = Process(), Process()
    outcomes: list[Process | Exception] = [first, error, error, second]

    def start(*_: Any, **__: Any) -> Process:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(bundle_server, "start", start)
    monkeypatch.setattr(restarts, "FIRST_PAUSE_SECONDS", 0.01)
    with BundleServer(tmp_path, code="bundle", status=lambda _: None) as running:
        first.alive.clear()
        wait_for(lambda: running._server is second)
    assert not second.alive.is_set()


@pytest.mark.parametrize(
    ("code", "says"), [("sdk", "does not fit"), ("bundle", "does not fit on the disk of .* when unpacked")]
)
def test_what_is_larger_than_the_disk_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: Code, says: str
) -> None:
    announced = tarfile.TarInfo("model.pth")
    announced.size = 1 << 20
    packed = tmp_path / "model.tar"
    packed.write_bytes(announced.tobuf(tarfile.GNU_FORMAT) + bytes(io.DEFAULT_BUFFER_SIZE))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(ConfigurationError, match=says):
        BundleServer(packed, code=code, status=lambda _: None)


def test_the_archive_is_named_and_not_the_folder_that_it_was_unpacked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(folder: Path, **_: Any) -> Process:
        raise EndpointNotReadyError(f"error: {folder}: model.json is not in order")

    monkeypatch.setattr(bundle_server, "start", start)
    with tarfile.open(tmp_path / "model.tar", "w"):
        pass
    with pytest.raises(EndpointNotReadyError) as caught:
        BundleServer(tmp_path / "model.tar", code="bundle", status=lambda _: None)
    assert str(caught.value) == f"error: {tmp_path / 'model.tar'}: model.json is not in order"
