"""Endpoints: real model servers with a model of a few lines, through their whole life."""

from __future__ import annotations

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk._util.log_file import last_lines
from dogbreed_sdk._util.processes import identify, is_alive, wait_for_end
from dogbreed_sdk.errors import EndpointNotReadyError
from dogbreed_sdk.local import Store
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting import endpoints, servers, startup
from dogbreed_sdk.local.jobs.artifacts import pack
from dogbreed_sdk.local.store import ENDPOINT
from tests.passing_time import PassingTime
from tests.waiting import script_until, wait_for

NAME = "doubling"
VARIANT = "AllTraffic"
CODE = """
import json, os, time
def model_fn(model_dir):
    print("loaded from", model_dir)
    return 2
def predict_fn(data, factor):
    if data == "slow":
        print("begun", flush=True)
        time.sleep(1)
    return [factor * value for value in data]
"""


class Endpoints:
    """Creates and updates endpoints as the API does, without HTTP in between."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store = store
        self._folder = folder

    def create(self, code: str = CODE, environment: dict[str, str] | None = None, *, wait: bool = True) -> None:
        state = {"status": "Creating", "failure": None, "serving": self.serving(code, environment)}
        self.store.create(ENDPOINT, NAME, {}, state)
        endpoints.launch(self.store, NAME)
        if wait:
            self.until(lambda: self.state["status"] != "Creating")

    def update(self, code: str) -> None:
        serving = self.serving(code, None)

        def change(state: dict[str, Any]) -> None:
            state.update(status="Updating", previous=state["serving"], serving=serving)

        self.store.update(ENDPOINT, NAME, change)
        endpoints.launch(self.store, NAME)
        self.until(lambda: self.state["status"] != "Updating")

    def serving(self, code: str, environment: dict[str, str] | None) -> dict[str, Any]:
        content = self._folder / "content"
        (content / "code").mkdir(parents=True, exist_ok=True)
        (content / "code/inference.py").write_text(code)
        archive = self._folder / f"model-{abs(hash(code))}.tar.gz"
        pack(content, archive)
        container = {"Image": "local/image", "ModelDataUrl": archive.as_uri(), "Environment": environment or {}}
        served = {"variant": {"VariantName": VARIANT}, "model": archive.stem, "container": container}
        return {"config": archive.stem, "variants": [served]}

    @property
    def state(self) -> dict[str, Any]:
        return self.store.get(ENDPOINT, NAME).state

    @property
    def server(self) -> Any:
        return self.state["servers"][VARIANT]

    @property
    def folder(self) -> EndpointFolder:
        return EndpointFolder.of(self.store.root, NAME)

    def until(self, condition: Callable[[], Any]) -> None:
        wait_for(condition, state=lambda: self.state)

    def call(self, body: object, **headers: str) -> tuple[int, str]:
        while True:
            try:
                return post(servers.ensure_running(self.store, NAME, VARIANT), body, **headers)
            except urllib.error.URLError as error:
                # As the API's client: the server has ended before the request was sent.
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise


# urlopen keeps the proxies that it found at its first call in this process, which may have been another test's.
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def post(port: int, body: object, **headers: str) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/invocations", data, {"content-type": "application/json", **headers}
    )
    try:
        with DIRECT.open(request, timeout=60) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.fixture
def hosting(store: Store, tmp_path: Path) -> Iterator[Endpoints]:
    made = Endpoints(store, tmp_path)
    yield made
    if store.list(ENDPOINT):
        servers.stop(store, NAME)


class TestLife:
    def test_creating_verifies_the_model_in_the_background(self, hosting: Endpoints, tmp_path: Path) -> None:
        hosting.create(script_until(tmp_path / "go") + CODE, wait=False)
        assert hosting.state["status"] == "Creating"
        (tmp_path / "go").touch()
        hosting.until(lambda: hosting.state["status"] == "InService")
        assert is_alive(hosting.server)
        assert hosting.call([1, 2]) == (200, "[2, 4]")
        assert last_lines(hosting.folder.log_of(VARIANT), 1) == ["loaded from /opt/ml/model"]

    def test_a_model_that_cannot_load_says_why(self, hosting: Endpoints) -> None:
        hosting.create("raise ImportError('no module named dogs')")
        assert hosting.state["status"] == "Failed"
        failure = hosting.state["failure"]
        assert failure.startswith(
            "The primary container for production variant AllTraffic did not pass the ping health check."
        )
        assert failure.endswith("ImportError: no module named dogs")
        with pytest.raises(EndpointNotReadyError, match="no module named dogs"):
            hosting.call([1])

    def test_a_damaged_archive_is_the_reason(self, hosting: Endpoints, tmp_path: Path) -> None:
        serving = hosting.serving(CODE, None)
        (archive,) = tmp_path.glob("model-*.tar.gz")
        content = archive.read_bytes()
        archive.write_bytes(content[:-8] + bytes(4) + content[-4:])
        hosting.store.create(ENDPOINT, NAME, {}, {"status": "Creating", "serving": serving})
        endpoints.launch(hosting.store, NAME)
        hosting.until(lambda: hosting.state["status"] != "Creating")
        assert hosting.state["status"] == "Failed"
        assert f"{archive} is not a complete tar archive, or it is damaged" in hosting.state["failure"]

    def test_whatever_goes_wrong_is_noted(self, hosting: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
        hosting.store.create(ENDPOINT, NAME, {}, {"status": "Creating", "serving": hosting.serving(CODE, None)})

        def fail(*_: object) -> None:
            raise RuntimeError("never seen before")

        monkeypatch.setattr(startup, "prepare", fail)
        hosting.folder.path.mkdir(parents=True)
        startup.bring_up(hosting.store, NAME)
        assert (hosting.state["status"], hosting.state["failure"]) == ("Failed", "never seen before")

    def test_a_crash_in_native_code_leaves_its_trace(self, hosting: Endpoints) -> None:
        hosting.create("import ctypes; ctypes.string_at(0)")
        assert hosting.state["status"] == "Failed"
        assert "Fatal Python error: Segmentation fault" in hosting.state["failure"]
        assert "string_at" in hosting.state["failure"]

    def test_a_crashed_server_is_started_again(self, hosting: Endpoints) -> None:
        hosting.create()
        first = hosting.server
        os.kill(first["pid"], signal.SIGKILL)
        assert wait_for_end(first, timeout=60)
        assert hosting.call([3]) == (200, "[6]")
        assert hosting.server != first

    def test_many_callers_start_one_server(self, hosting: Endpoints) -> None:
        hosting.create()
        os.kill(hosting.server["pid"], signal.SIGKILL)
        assert wait_for_end(hosting.server, timeout=60)
        with ThreadPoolExecutor(8) as pool:
            ports = set(pool.map(lambda _: servers.ensure_running(hosting.store, NAME, VARIANT), range(8)))
        assert len(ports) == 1
        starts = [line for line in last_lines(hosting.folder.log_of(VARIANT), 50) if line.startswith("loaded")]
        assert len(starts) == 2

    def test_an_idle_server_ends_and_comes_back(
        self, hosting: Endpoints, monkeypatch: pytest.MonkeyPatch, passing_time: PassingTime
    ) -> None:
        monkeypatch.setenv(servers.IDLE_VARIABLE, "3600")
        hosting.create(environment=passing_time.environment)
        passing_time.move(3601)
        assert wait_for_end(hosting.server, timeout=60)
        assert hosting.state["status"] == "InService"
        assert hosting.call([1]) == (200, "[2]")

    def test_yesterdays_endpoint_answers_although_its_archive_is_gone(self, hosting: Endpoints) -> None:
        hosting.create()
        os.kill(hosting.server["pid"], signal.SIGKILL)
        assert wait_for_end(hosting.server, timeout=60)
        Path(hosting.state["serving"]["variants"][0]["container"]["ModelDataUrl"].removeprefix("file://")).unlink()
        assert hosting.call([1]) == (200, "[2]")

    def test_an_update_loses_no_request(self, hosting: Endpoints) -> None:
        hosting.create()
        answers: list[tuple[int, str]] = []
        over = threading.Event()

        def keep_calling() -> None:
            while not over.is_set():
                answers.append(hosting.call([1]))

        with ThreadPoolExecutor(1) as pool:
            caller = pool.submit(keep_calling)
            hosting.until(lambda: answers)
            old = hosting.server
            hosting.update(CODE.replace("return 2", "return 3"))
            assert hosting.call([1]) == (200, "[3]")
            assert wait_for_end(old, timeout=60)
            over.set()
            caller.result()
        first = answers.index((200, "[3]"))
        assert set(answers[:first]) == {(200, "[2]")}
        assert set(answers[first:]) == {(200, "[3]")}
        hosting.until(lambda: len(list(hosting.folder.path.glob("model-*"))) == 1)

    def test_an_update_may_follow_an_update(self, hosting: Endpoints) -> None:
        hosting.create()
        # The first server still ends, and the model it had is wanted again.
        hosting.update(CODE.replace("return 2", "return 3"))
        hosting.update(CODE)
        assert hosting.call([1]) == (200, "[2]")
        hosting.until(lambda: len(list(hosting.folder.path.glob("model-*"))) == 1)
        assert hosting.folder.model(hosting.state["deployments"][VARIANT]["digest"]).is_dir()

    def test_an_idle_endpoint_answers_during_an_update(self, hosting: Endpoints, tmp_path: Path) -> None:
        hosting.create()
        os.kill(hosting.server["pid"], signal.SIGKILL)
        assert wait_for_end(hosting.server, timeout=60)
        may_load = tmp_path / "may-load"
        loading = f"while not os.path.exists({str(may_load)!r}): time.sleep(0.02)\n    return 3"
        with ThreadPoolExecutor(1) as pool:
            update = pool.submit(hosting.update, CODE.replace("return 2", loading))
            hosting.until(lambda: hosting.state["status"] == "Updating")
            assert hosting.call([1]) == (200, "[2]")
            assert hosting.state["status"] == "Updating"
            may_load.touch()
            update.result()
        assert hosting.call([1]) == (200, "[3]")

    def test_an_update_that_fails_leaves_the_old_model_serving(self, hosting: Endpoints) -> None:
        hosting.create()
        config = hosting.state["serving"]["config"]
        hosting.update("raise ValueError('new and broken')")
        assert hosting.state["status"] == "InService"
        assert "new and broken" in hosting.state["failure"]
        assert hosting.state["serving"]["config"] == config
        assert hosting.call([1]) == (200, "[2]")

    def test_a_killed_bring_up_is_taken_up_again(self, hosting: Endpoints, tmp_path: Path) -> None:
        hosting.create(script_until(tmp_path / "go") + CODE, wait=False)
        hosting.until(lambda: hosting.state.get("process"))
        process = hosting.state["process"]
        os.kill(process["pid"], signal.SIGKILL)
        assert wait_for_end(process, timeout=60)
        endpoints.reconcile(hosting.store, NAME)
        (tmp_path / "go").touch()
        hosting.until(lambda: hosting.state["status"] == "InService")
        assert hosting.call([1]) == (200, "[2]")

    def test_stopping_answers_what_was_accepted(self, hosting: Endpoints) -> None:
        hosting.create()
        server = hosting.server
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(post, server["port"], "slow")
            hosting.until(lambda: "begun" in hosting.folder.log_of(VARIANT).read_text())
            servers.stop(hosting.store, NAME)
            assert slow.result() == (200, '["ss", "ll", "oo", "ww"]')
        assert not is_alive(server)
        assert hosting.folder.log_of(VARIANT).exists()

    @pytest.mark.parametrize("crashed", [False, True])
    def test_what_a_model_has_started_ends_with_its_endpoint(self, hosting: Endpoints, crashed: bool) -> None:
        code = (
            "import os, subprocess\n"
            "def model_fn(folder):\n"
            "    return subprocess.Popen(['sleep', '780'], start_new_session=True).pid\n"
            "def predict_fn(data, pid): return pid"
        )
        hosting.create(code)
        pid = int(hosting.call([1])[1])
        assert identify(pid) is not None
        if crashed:
            os.kill(hosting.server["pid"], signal.SIGKILL)
            assert wait_for_end(hosting.server, timeout=60)
        servers.stop(hosting.store, NAME)
        assert identify(pid) is None

    def test_stopping_leaves_the_logs_alone(self, hosting: Endpoints) -> None:
        hosting.create()
        # What a killed process had begun to unpack.
        (hosting.folder.path / ".model.00000000-1-00000000.partial/model").mkdir(parents=True)
        servers.stop(hosting.store, NAME)
        assert {path.name for path in hosting.folder.path.iterdir()} == {
            "log-AllTraffic.jsonl", "server-AllTraffic.log", "supervisor.log", "lock", "supervisor.lock"
        }  # fmt: skip

    def test_an_endpoint_that_is_being_deleted_is_not_started_again(self, hosting: Endpoints) -> None:
        hosting.create()
        hosting.store.update(ENDPOINT, NAME, lambda state: state.update(status="Deleting"))
        servers.stop(hosting.store, NAME)
        with pytest.raises(EndpointNotReadyError, match="Endpoint doubling is Deleting"):
            servers.ensure_running(hosting.store, NAME, VARIANT)
        assert not [path for path in hosting.folder.path.iterdir() if path.is_dir()]


class TestContainerEnvironment:
    def test_program_and_source_may_lie_elsewhere(self, hosting: Endpoints, tmp_path: Path) -> None:
        source = tmp_path / "source"
        source.mkdir()
        (source / "serve.py").write_text(
            "def model_fn(model_dir): return 1\ndef predict_fn(data, model): return 'elsewhere'"
        )
        pack(source, tmp_path / "sourcedir.tar.gz")
        where = (tmp_path / "sourcedir.tar.gz").as_uri()
        hosting.create(environment={"SAGEMAKER_PROGRAM": "serve.py", "SAGEMAKER_SUBMIT_DIRECTORY": where})
        assert hosting.call([1]) == (200, '"elsewhere"')

    def test_code_that_is_missing_is_named(self, hosting: Endpoints) -> None:
        hosting.create(environment={"SAGEMAKER_PROGRAM": "absent.py"})
        assert hosting.state["failure"].endswith(
            "error: The model has no code/absent.py: pack it into model.tar.gz, or set SAGEMAKER_PROGRAM."
        )

    def test_secrets_of_the_caller_stay_out(self, hosting: Endpoints, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
        monkeypatch.setenv("DATABASE_URL", "postgres://me:hidden@host/db")
        code = "import os\ndef model_fn(d): return 1\ndef predict_fn(data, model): return dict(os.environ)"
        hosting.create(code, {"MINE": "given"})
        environ = json.loads(hosting.call([1])[1])
        assert environ["MINE"] == "given"
        assert environ["OMP_WAIT_POLICY"] == "PASSIVE"
        assert not [name for name, value in environ.items() if "hidden" in value]
