"""`dogbreed serve` as people run it: a process of its own, before a real bundle."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
import requests

import service_load
import service_load_clients
from dogbreed_sdk import BreedClassifier, Prediction
from dogbreed_sdk.cli import serve_command
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local import Store
from dogbreed_sdk.testing import picture
from tests.model_server.model_process import write_model
from tests.service.running import JPEG, refuses
from tests.training_scripts.conftest import write_bundle
from tests.waiting import wait_for

KEY = "a-key-of-24-characters-X"
PICTURES = [picture(number, size=(200, 150)) for number in range(8)]


class Served:
    """A running `dogbreed serve`."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dogbreed_sdk.cli", "serve", *arguments, "--port", "0", "--json"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        self._reading = threading.Thread(target=self._read_log, daemon=True)
        self._reading.start()
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log
        self.url = json.loads(line)["url"]
        self.headers = {**JPEG, "X-API-Key": KEY}

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            self.log += stream

    def classify(self, body: bytes) -> requests.Response:
        return requests.post(f"{self.url}/v1/classify", data=body, headers=self.headers, timeout=120)

    def ready(self) -> bool:
        return requests.get(f"{self.url}/readyz", timeout=120).status_code == 200

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return self.wait()

    def wait(self) -> int:
        """The exit status, once it has ended and its log is complete."""
        assert self.process.stdout is not None
        self.process.stdout.close()
        status = self.process.wait(120)
        self._reading.join(60)
        return status


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return service_load.bundle_of_distinct_answers(tmp_path_factory.mktemp("bundle"))


# A model that is there at once, unless a test holds it: what is tested with it is who starts, replaces and ends its
# server.
LIGHT = """
import json, os, time
def model_fn(model_dir):
    while os.path.exists(os.path.join(model_dir, "held")): time.sleep(0.05)
    return model_dir
def input_fn(body, content_type): return body
def predict_fn(data, model): return model
def output_fn(prediction, accept):
    score = {"index": 0, "class_folder": "Pug", "label": "Pug", "logit": 0.0, "probability": 1.0}
    answer = {"model_id": "light", "classes": 1, "predictions": [{"scores": [score]}]}
    return json.dumps(answer), "application/vnd.dogbreed+json"
"""


@pytest.fixture(scope="module")
def light_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("light") / "model", LIGHT)


@pytest.fixture(scope="module")
def light(light_bundle: Path) -> Iterator[Served]:
    running = Served("--bundle", str(light_bundle), "--code", "bundle")
    yield running
    running.end()


@pytest.fixture(scope="module")
def served(bundle: Path) -> Iterator[Served]:
    running = Served("--bundle", str(bundle), DOGBREED_API_KEYS=f"another-key-0123456789,{KEY}")
    yield running
    running.end()


@pytest.fixture(scope="module")
def predictions(bundle: Path) -> list[Prediction]:
    """What the bundle says of the pictures, in this process."""
    with BreedClassifier.from_bundle(bundle) as classifier:
        return list(classifier.classify_many(PICTURES, top_k=service_load.TOP_K))


def test_under_load_every_answer_is_the_right_one_and_memory_stays(
    served: Served, predictions: list[Prediction]
) -> None:
    right = service_load.right_answers(predictions)  # no two are alike

    def load(seconds: float) -> service_load_clients.Tally:
        return service_load_clients.load(
            served.url,
            service_load.SERVICE,
            PICTURES,
            right,
            clients=6,
            seconds=seconds,
            headers=served.headers,
        )

    load(0.3)
    process = psutil.Process(served.process.pid)
    before = process.memory_info().rss
    tally = load(1.5)
    assert (tally.wrong, tally.failed, tally.refused) == ([], [], 0)
    assert len(tally.waits) >= 6
    assert process.memory_info().rss < before + 10e6


def test_its_answers_are_those_of_the_bundle_in_the_process(served: Served, predictions: list[Prediction]) -> None:
    right, answer = predictions[0].to_dict(), served.classify(PICTURES[0]).json()
    assert answer["probability"] == pytest.approx(right["probability"], abs=1e-4)
    same = ("label", "class_folder", "index", "folder_number", "model_id", "rejected")
    assert {name: answer[name] for name in same} == {name: right[name] for name in same}


def test_its_model_server_explains_unless_it_runs_the_bundle_s_own_code(served: Served, light: Served) -> None:
    response = requests.post(f"{served.url}/v1/explain", data=PICTURES[0], headers=served.headers, timeout=120)
    answer = response.json()
    assert answer["label"] == served.classify(PICTURES[0]).json()["label"] == answer["prediction"]["label"]
    assert answer["heatmap"].startswith("data:image/png;base64,")
    assert requests.post(f"{light.url}/v1/explain", data=PICTURES[0], timeout=120).status_code == 404


def test_it_says_where_it_is_and_how_to_call_it(served: Served) -> None:
    # A thread reads it.
    for said in (f"web page: {served.url}/", f"-H 'X-API-Key: KEY' {served.url}/v1/classify"):
        wait_for(lambda said=said: said in "".join(served.log))


def test_keys_come_from_the_environment_and_go_no_further(served: Served) -> None:
    assert requests.get(f"{served.url}/v1/labels", timeout=120).status_code == 401
    [model_server] = served.children()
    assert KEY not in str(model_server.environ())
    assert not any(KEY in line for line in served.log)


def test_a_model_server_that_dies_is_replaced_and_meanwhile_clients_are_told_to_wait(
    light: Served, light_bundle: Path
) -> None:
    [model_server] = light.children()
    held = light_bundle / "held"
    held.touch()
    model_server.kill()
    model_server.wait(60)
    refused = light.classify(PICTURES[0])
    assert (refused.status_code, refused.json()["type"]) == (503, "/problems/endpoint-not-ready")
    assert int(refused.headers["Retry-After"]) >= 1
    assert not light.ready()
    held.unlink()
    wait_for(light.ready)
    assert light.classify(PICTURES[0]).status_code == 200
    assert [child.pid for child in light.children()] != [model_server.pid]
    assert all({"message", "route"} & json.loads(line).keys() for line in light.log)


def test_a_service_that_is_killed_leaves_no_model_server_behind(light: Served) -> None:
    children = light.children()
    assert children
    light.process.kill()
    assert light.end() == -signal.SIGKILL
    assert psutil.wait_procs(children, timeout=60)[1] == []


def test_pages_from_elsewhere_are_kept_out_unless_there_are_keys_or_a_proxy() -> None:
    def local_only(*arguments: str) -> bool:
        return serve_command._settings(parse(["serve", "--server", "http://127.0.0.1:1", *arguments])).local_only

    assert local_only()
    assert local_only("--host", "::1", "--cors-origin", "https://app.example")
    assert not local_only("--host", "0.0.0.0")
    assert not local_only("--trusted-proxy", "127.0.0.1")


@pytest.mark.parametrize("seconds", [2.0, 300.0])
def test_the_deadline_may_be_shorter_and_longer_than_what_a_classifier_allows_by_itself(seconds: float) -> None:
    options = parse(["serve", "--server", "http://127.0.0.1:1", "--deadline", str(seconds)])
    with serve_command._classifier(options, lambda _: None) as classifier:
        assert (classifier.options.deadline, classifier.options.read_timeout) == (seconds, seconds)


class HeldModel(BaseHTTPRequestHandler):
    """A model server that answers when the test says so."""

    go_on: threading.Event

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        assert self.go_on.wait(120)
        scores = [{"index": 0, "class_folder": "Pug", "label": "Pug", "logit": 0.0, "probability": 1.0}]
        body = json.dumps({"model_id": "held", "classes": 1, "predictions": [{"scores": scores}]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.dogbreed+json")
        self.send_header("Content-Length", str(len(body)))
        with contextlib.suppress(ConnectionError):  # whoever asked whether it is ready has given up
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def held_model(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(HeldModel, "go_on", threading.Event(), raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), HeldModel) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        HeldModel.go_on.set()
        server.shutdown()


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_finishes_what_was_accepted(held_model: str, ending: signal.Signals) -> None:
    running = Served("--server", held_model, "--max-concurrency", "2")
    with ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(running.classify, content) for content in PICTURES[:6]]
        wait_for(lambda: "dogbreed_queue_length 4.0" in requests.get(f"{running.url}/metrics", timeout=120).text)
        running.process.send_signal(ending)
        wait_for(lambda: refuses(running.url))
        HeldModel.go_on.set()
        assert running.wait() == 0
        assert [answer.result().status_code for answer in answers] == [200] * 6
    lines = [json.loads(line) for line in running.log]
    assert lines[-1]["message"] == "stopped"
    assert [line["route"] for line in lines if line.get("status") == 200].count("/v1/classify") == 6


def test_an_archive_is_unpacked_for_as_long_as_it_is_served(light_bundle: Path, tmp_path: Path) -> None:
    packed = tmp_path / "model.tar.gz"
    with tarfile.open(packed, "w:gz", compresslevel=1) as tar:
        tar.add(light_bundle, ".")
    running = Served("--bundle", str(packed), "--code", "bundle", "--workers", "2", TMPDIR=str(tmp_path))
    assert [path.name for path in tmp_path.glob(".dogbreed-serve.*/code/*.py")] == ["inference.py"]
    assert running.classify(PICTURES[0]).status_code == 200
    children = running.children()
    assert len(children) == 3, "two workers and their parent"
    running.process.send_signal(signal.SIGHUP)
    assert running.wait() == 0
    assert psutil.wait_procs(children, timeout=60)[1] == []
    assert list(tmp_path.glob(".dogbreed-serve.*")) == []


def test_before_an_endpoint_that_is_not_there_it_runs_and_says_so(tmp_path: Path) -> None:
    Store(tmp_path).close()
    running = Served("--endpoint", "dogs", "--root", str(tmp_path), "--deadline", "20")
    answer = running.classify(PICTURES[0])
    assert (answer.status_code, answer.json()["type"]) == (502, "/problems/endpoint-not-found")
    asked = f"not ready: endpoint dogs on local SageMaker in {tmp_path} does not answer"
    wait_for(lambda: any(json.loads(line).get("message", "").startswith(asked) for line in running.log))
    assert not running.ready()
    assert running.end() == 0
    assert not [line for line in running.log if "Session." in line]
    assert any("does not exist in local SageMaker" in line for line in running.log)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--server", "http://127.0.0.1:1", "--rate", "5"], "is not a rate"),
        (["--server", "http://127.0.0.1:1", "--api-keys-file", "/nowhere/keys"], "cannot be read"),
        (["--server", "http://127.0.0.1:1", "--workers", "2"], "--workers applies only to bundles"),
        (["--server", "http://127.0.0.1:1", "--cors-origin", "x"], "is not an origin"),
        (["--server", "http://127.0.0.1:1", "--host", "203.0.113.1"], "Cannot listen on 203.0.113.1"),
        (["--server", "http://127.0.0.1:1", "--host", "999.1.1.1"], "Choose another --host"),
        (["--server", "http://127.0.0.1:1", "--host", "ü..b"], "Choose another --host"),
        (["--server", "http://127.0.0.1:1", "--max-concurrency", "65"], "must be at most 64"),
        (["--server", "http://127.0.0.1:1", "--no-urls", "--allowed-host", "a.example"], "pass only one of them"),
        (["--endpoint", "http://127.0.0.1:1"], "pass a model server's URL with --server"),
        (["--endpoint", "./model.tar.gz"], "a bundle's path with --bundle"),
        (["--endpoint", "dogs", "--root", "/nowhere"], "The folder /nowhere does not exist"),
        (["--endpoint", "dogs", "--aws", "--port", "0"], "No AWS region is configured"),
        (["--server", "no-url", "--port", "0"], "not the address of a model server"),
        (["--bundle", "/nowhere/model.tar.gz", "--port", "0"], "There is no bundle"),
        (["--bundle", __file__, "--port", "0"], r"is not a bundle: it is not a tar archive\.$"),
    ],
)
def test_wrong_use_says_what_to_do(arguments: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        serve_command.run(parse(["serve", *arguments]))


def unusable(kind: str, folder: Path) -> Path:
    """What somebody may take for a bundle."""
    folder.mkdir()
    if kind == "a folder without weights":
        write_bundle(folder)
        (folder / "model.pth").unlink()
    elif kind == "a folder with a broken description":
        (folder / "model.json").write_text("{")
    elif kind == "an archive without a bundle":
        with tarfile.open(folder / "model.tar.gz", "w:gz") as tar:
            tar.add(__file__, "notes.py")
        return folder / "model.tar.gz"
    elif kind == "a file that is not an archive":
        (folder / "model.pth").write_bytes(b"PK")
        return folder / "model.pth"
    return folder


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        (
            "an empty folder",
            r"cannot read model\.json.*Pass a bundle: the model\.tar\.gz of a training job, or the folder",
        ),
        ("a folder without weights", r"has no model\.pth: unpack the whole model\.tar\.gz"),
        ("a folder with a broken description", r"model\.json is not JSON.*Pass a bundle"),
        ("an archive without a bundle", r"model\.tar\.gz is not a bundle: it has no model\.json and no model\.pth"),
        ("a file that is not an archive", r"model\.pth is not a bundle: it is not a tar archive"),
    ],
)
def test_what_is_not_a_bundle_is_refused_before_anything_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, says: str
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with pytest.raises(ConfigurationError, match=says):
        serve_command.run(parse(["serve", "--bundle", str(unusable(kind, tmp_path / "given")), "--port", "0"]))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "--endpoint --bundle --server is required"),
        (["--bundle", "a", "--endpoint", "b"], "not allowed with"),
        (["--server", "a", "--port", "70000"], "70000 is not a port"),
        (["--server", "a", "--port", "x"], "'x' is not a whole number"),
        (["--bundle", "a", "--workers", "x"], "'x' is not a whole number"),
        (["--bundle", "a", "--workers", "0"], "0 is below 1"),
        (["--server", "a", "--trusted-proxy", "nginx"], "pass an IP address, or a network"),
        (["--server", "a", "--trusted-proxy", "10.0.0.1/8"], "has host bits set"),
    ],
)
def test_what_the_grammar_refuses(arguments: list[str], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(["serve", *arguments])
    assert says in str(caught.value)
