"""Programs that are interrupted while they deploy or use an endpoint leave nothing behind, by real signals."""

from __future__ import annotations

import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dogbreed_sdk import Deployment, Session
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.store import ENDPOINT, ENDPOINT_CONFIG, MODEL, is_root
from tests.waiting import script_until, wait_for

pytestmark = pytest.mark.extras

DEPLOYING = """
import logging, sys, time
from dogbreed_sdk import Session, deploy

with Session.local(sys.argv[1]) as session:
    with deploy(sys.argv[2], session=session, endpoint_name="dogs", progress=lambda step: None):
        print("in service", flush=True)
        time.sleep(60)
"""


@pytest.fixture
def may_load(tmp_path: Path) -> Path:
    """Loading the model ends once this file exists."""
    return tmp_path / "may-load"


@pytest.fixture
def model(tmp_path: Path, may_load: Path) -> str:
    code = tmp_path / "inference.py"
    code.write_text(script_until(may_load) + "def model_fn(model_dir): pass\n")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(code, "code/inference.py")
    return (tmp_path / "model.tar.gz").as_uri()


@contextmanager
def program(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def until(lines: Iterator[str] | None, text: str) -> None:
    """Reads lines up to the one with a text."""
    assert lines is not None
    assert any(text in line for line in lines), f"{text!r} was not printed"


def until_creating(root: Path) -> None:
    """Waits until the endpoint is being created, and can't be deleted."""
    wait_for(lambda: is_root(root) and [record.state["status"] for record in records(root, ENDPOINT)] == ["Creating"])


def records(root: Path, *kinds: str) -> list[object]:
    store = Store(root)
    try:
        return [record for kind in kinds for record in store.list(kind)]
    finally:
        store.close()


def left(root: Path) -> list[object]:
    return records(root, ENDPOINT, ENDPOINT_CONFIG, MODEL)


def test_ctrl_c_in_the_block_deletes_the_deployment(tmp_path: Path, model: str, may_load: Path) -> None:
    may_load.touch()
    with program(DEPLOYING, tmp_path / "root", model) as process:
        until(process.stdout, "in service")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert left(tmp_path / "root") == []


def test_a_second_interruption_during_the_clean_up_of_a_half_created_endpoint_changes_nothing(
    tmp_path: Path, model: str, may_load: Path
) -> None:
    root = tmp_path / "root"
    with program(DEPLOYING, root, model) as process:
        until_creating(root)
        process.send_signal(signal.SIGTERM)
        until(process.stderr, "Endpoint dogs is still being created or updated")
        process.send_signal(signal.SIGINT)
        until(process.stderr, "Still deleting endpoint dogs. Interrupt again to leave it behind")
        may_load.touch()
        process.communicate(timeout=60)
    assert process.returncode == 143
    assert left(root) == []


def test_a_third_one_ends_the_program_at_once(tmp_path: Path, model: str, may_load: Path) -> None:
    root = tmp_path / "root"
    with program(DEPLOYING, root, model) as process:
        until_creating(root)
        process.send_signal(signal.SIGINT)
        until(process.stderr, "Endpoint dogs is still being created or updated")
        for said in ("Still deleting", "KeyboardInterrupt"):
            process.send_signal(signal.SIGINT)
            until(process.stderr, said)
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert len(left(root)) == 3
    may_load.touch()
    with Session.local(root) as session:
        Deployment("dogs", session).delete()  # waits until the endpoint can be deleted
    assert left(root) == []
