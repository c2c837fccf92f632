"""The Dockerfile, as far as it can be checked without Docker: its entry point runs on what it installs and copies."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.ports import free_port
from tests.training_scripts.conftest import write_bundle
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
# Runs a module with nothing importable but the standard library and what these distributions bring.
ONLY = """
import importlib.metadata as metadata, os, re, runpy, sys
def name_of(requirement): return re.match(r"[\\w.-]+", requirement)[0].lower().replace("_", "-")
allowed, waiting = set(), sys.argv.pop(1).split()
while waiting:
    name = waiting.pop().lower().replace("_", "-")
    if name in allowed: continue
    allowed.add(name)
    try: needs = metadata.requires(name) or []
    except metadata.PackageNotFoundError: continue
    waiting += [name_of(need) for need in needs if "extra ==" not in need]
homes = metadata.packages_distributions()
class Nothing:
    def find_spec(self, name, path=None, target=None):
        own = homes.get(name.partition(".")[0], [])
        if own and not any(each.lower().replace("_", "-") in allowed | {"dogbreed-sdk"} for each in own):
            raise ModuleNotFoundError(f"the image has no {name}", name=name)
sys.meta_path.insert(0, Nothing())
sys.argv[0] = "serving"
runpy.run_module("dogbreed_sdk.model_server", run_name="__main__", alter_sys=True)
"""


def instructions(name: str) -> list[str]:
    text = (ROOT / "docker/Dockerfile").read_text()
    return re.findall(rf"^{name} (.*)$", text, re.MULTILINE)


def installed() -> list[str]:
    """The names that the Dockerfile's pip lines install."""
    names: list[str] = []
    for line in instructions("RUN"):
        words = line.split()
        if words[:2] == ["pip", "install"] and "-r" not in words:
            names += [word for word in words[2:] if re.fullmatch(r"[a-z]+", word)]
        elif "-r" in words:
            names += [re.split(r"[><=]", each)[0] for each in requirements()]
    return names


def requirements() -> list[str]:
    lines = (ROOT / "docker/requirements.txt").read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the Dockerfile copies, where it copies them, below a folder."""
    folder = tmp_path_factory.mktemp("image")
    for line in instructions("COPY"):
        source, destination = line.split()
        target = folder / destination.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, target)
    return folder


def test_the_entry_point_serves_a_bundle_with_nothing_but_what_the_image_holds(image: Path, tmp_path: Path) -> None:
    model = write_bundle(tmp_path / "ml/model")
    port = free_port()
    entry, argument = json.loads(instructions("ENTRYPOINT")[0]), json.loads(instructions("CMD")[0])
    assert entry[:3] == ["python", "-m", "dogbreed_sdk.model_server"]
    variables = dict(line.split("=", 1) for line in instructions("ENV"))
    environment = {
        **variables,
        "PYTHONPATH": str(image / variables["PYTHONPATH"].lstrip("/")),
        "PATH": os.environ["PATH"],
        "SAGEMAKER_BASE_DIR": str(model.parent),
        "SAGEMAKER_BIND_TO_PORT": str(port),
        "DOGBREED_LOCAL_CORES": "2",
    }
    command = [sys.executable, "-c", ONLY, " ".join(installed()), *entry[3:], *argument]
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            answer = first_answer(f"http://127.0.0.1:{port}/ping", process)
            assert answer.status_code == 200
            tensor = [[[0.0] * 64] * 64] * 3
            rows = requests.post(f"http://127.0.0.1:{port}/invocations", json=tensor, timeout=60).json()
            assert len(rows[0]) == 3
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(60) in (0, -signal.SIGTERM)


def first_answer(url: str, process: subprocess.Popen[str]) -> requests.Response:
    def answer() -> requests.Response | None:
        try:
            return requests.get(url, timeout=60)
        except requests.ConnectionError:
            assert process.stderr is not None
            assert process.poll() is None, process.stderr.read()
            return None

    return wait_for(answer)


def test_a_package_that_the_image_lacks_is_missed(image: Path, tmp_path: Path) -> None:
    lacking = " ".join(name for name in installed() if name != "uvicorn")
    environment = {"PYTHONPATH": str(image / "opt/dogbreed"), "PATH": os.environ["PATH"]}
    command = [sys.executable, "-c", ONLY, lacking, "serve"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "the image has no uvicorn" in done.stderr


def test_the_image_is_one_that_sagemaker_can_run() -> None:
    assert instructions("LABEL") == ["com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true"]
    assert instructions("EXPOSE") == ["8080"]
    assert instructions("USER")[-1] != "root"
    assert json.loads(instructions("CMD")[0]) == ["serve"]


def test_the_build_sees_what_it_copies_and_little_else() -> None:
    lines = (ROOT / "docker/Dockerfile.dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    for source, _ in map(str.split, instructions("COPY")):
        assert f"!{source}" in lines
