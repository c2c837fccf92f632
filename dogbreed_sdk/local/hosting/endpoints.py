"""Model servers of endpoints: started on first use, verified once, switched, ended.

An endpoint's state has `status`, `failure`, `container` and `variant_request` (what it is to serve, resolved),
`previous` (the same before an update), `deployment` (what it serves, unpacked) and `server` ({"pid", "created",
"port"}).
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dogbreed_sdk._util.caller_environment import inherited
from dogbreed_sdk._util.descendants import end_marked
from dogbreed_sdk._util.files import file_lock
from dogbreed_sdk._util.log_file import last_lines
from dogbreed_sdk._util.processes import end_process, identify, identify_self, is_alive, start_module
from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting.model import Deployment, prepare, restore
from dogbreed_sdk.local.jobs import state as job_state
from dogbreed_sdk.local.store import ENDPOINT, NotFound, Record, Store

IDLE_VARIABLE = "DOGBREED_LOCAL_ENDPOINT_IDLE_SECONDS"
_IDLE_SECONDS = 900.0  # a forgotten endpoint holds its memory for a quarter of an hour
_STARTUP_SECONDS = 180.0
_STOP_SECONDS = 65.0
_SWITCH_SECONDS = 1.0
_START_SECONDS = 30.0
_MAXIMUM_RESTARTS = 3
_FAILURE_LINES = 8
_CRASH_LINES = 200
_CRASH = "Fatal Python error"  # how faulthandler begins
# Names a folder of the endpoint, which distinguishes the processes that its models have started from all others.
_CODE_VARIABLE = "SAGEMAKER_SUBMIT_DIRECTORY"
_COMING_UP = ("Creating", "Updating")


def launch(store: Store, name: str) -> None:
    """Bring a new endpoint (status Creating) or a changed one (Updating) up in the background.

    Returns at once; a detached process starts the model server, checks /ping and writes InService or Failed.
    """
    folder = EndpointFolder.of(store.root, name)
    folder.path.mkdir(parents=True, exist_ok=True)
    log = folder.path / "supervisor.log"
    pid = start_module("dogbreed_sdk.local.jobs.supervisor", [str(store.root), ENDPOINT, name], log=log)
    process = identify(pid, root=store.root)

    def change(state: dict[str, Any]) -> None:
        if not state.get("process"):
            state["process"] = process

    store.update(ENDPOINT, name, change)


def verify(store: Store, name: str) -> None:
    """What the process that `launch` started does."""
    folder = EndpointFolder.of(store.root, name)
    # An update that comes while another process is at it waits; the old server ends when nobody waits any more.
    with file_lock(folder.supervisor_lock):
        before = _bring_up(store, name, folder)
    if before is not None:
        _retire(store, folder, before)


def _bring_up(store: Store, name: str, folder: EndpointFolder) -> Record | None:
    """Start what an endpoint is to serve; the record before the switch, or None where there was none."""
    record = store.update(ENDPOINT, name, lambda state: state.update(process=identify_self(root=store.root)))
    if record.state["status"] not in _COMING_UP:
        return None
    try:
        deployment = prepare(folder, record.state)
        server = _start(store.root, folder, deployment)
    except Exception as error:  # noqa: BLE001 - the record must get an outcome
        if not isinstance(error, (ConfigurationError, EndpointNotReadyError, OSError)):
            traceback.print_exc()
        _note_failure(store, name, str(error) or type(error).__name__)
        return None
    # Only the switch needs the lock: meanwhile an idle endpoint can be woken to answer with what it served.
    # Where the endpoint was deleted meanwhile, there is none before and nothing to switch.
    with file_lock(folder.lock), suppress(NotFound):
        before = store.get(ENDPOINT, name)
        if _switch(store, name, deployment, server):
            return before
    end_process(server, grace_seconds=0.0, root=store.root)
    return None


def ensure_running(store: Store, name: str) -> int:
    """The port of an endpoint's model server on 127.0.0.1, which is started when it does not run.

    Returns:
        The port; the server answers /ping.

    Raises:
        NotFound: There is no such endpoint.
        EndpointNotReadyError: It is in no state to answer, or its model can't be loaded; with the log's last lines.
    """
    port = _running_port(store, store.get(ENDPOINT, name))
    if port is not None:
        return port
    folder = EndpointFolder.of(store.root, name)
    with file_lock(folder.lock):
        record = store.get(ENDPOINT, name)
        port = _running_port(store, record)
        if port is not None:
            return port
        deployment, status = record.state.get("deployment"), record.state["status"]
        if deployment is None or status == "Deleting":
            raise EndpointNotReadyError(
                f"Endpoint {name} is {status}: {record.state.get('failure') or 'not ready yet'}"
            )
        try:
            server = _start(store.root, folder, restore(folder, Deployment(**deployment)))
        except (ConfigurationError, OSError) as error:
            raise EndpointNotReadyError(str(error)) from error
        store.update(ENDPOINT, name, lambda state: state.update(server=server))
    return int(server["port"])


def stop(store: Store, name: str) -> None:
    """End an endpoint's model server, which answers what it accepted, and remove its unpacked model.

    The logs stay, as on AWS. To be called before the record is deleted.

    Raises:
        NotFound: There is no such endpoint.
    """
    folder = EndpointFolder.of(store.root, name)
    if not folder.path.is_dir():
        return
    with file_lock(folder.lock):
        end_process(store.get(ENDPOINT, name).state.get("server"), grace_seconds=_STOP_SECONDS, root=store.root)
        end_marked(_CODE_VARIABLE, f"{folder.path}/")  # of a server that crashed, or was killed
        for path in folder.path.iterdir():
            if path.is_dir():  # an unpacked model, or what a killed process had begun to unpack
                shutil.rmtree(path, ignore_errors=True)


def reconcile(store: Store, name: str) -> None:
    """Finish what a killed process had begun: bringing an endpoint up (a few times, then Failed), or deleting it."""
    record = store.get(ENDPOINT, name)
    if record.state["status"] == "Deleting" and record.unchanged_for > 2 * _STOP_SECONDS:
        stop(store, name)
        store.delete(ENDPOINT, name)
        return
    process = record.state.get("process")
    if record.state["status"] not in _COMING_UP or is_alive(process, root=store.root):
        return
    if not process and record.unchanged_for < _START_SECONDS:
        return
    claimed = False

    def change(state: dict[str, Any]) -> None:
        nonlocal claimed
        claimed = state.get("process") == process and state["status"] in _COMING_UP
        if claimed:
            state.update(process=None, restarts=state.get("restarts", 0) + 1)

    restarts = store.update(ENDPOINT, name, change).state.get("restarts", 0)
    if claimed and restarts > _MAXIMUM_RESTARTS:
        _note_failure(store, name, f"The process that brings it up ended {restarts} times.")
    elif claimed:
        launch(store, name)


def _running_port(store: Store, record: Record) -> int | None:
    server = record.state.get("server")
    return int(server["port"]) if server and is_alive(server, root=store.root) else None


def _start(root: Path, folder: EndpointFolder, deployment: Deployment) -> dict[str, Any]:
    """Start a model server and wait until it answers /ping."""
    environment = {
        **inherited(os.environ),
        "PYTHONUNBUFFERED": "1",
        **deployment.environment,
        # What that variable named when the endpoint was made has been unpacked beside the model.
        _CODE_VARIABLE: str(folder.model(deployment.digest) / "code"),
    }
    before = {path: _size(path) for path in (folder.log, folder.server_log)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # The server inherits the listening socket: no other process can take the port in between.
        arguments = ["--model-dir", str(folder.model(deployment.digest)), "--log", str(folder.log)]
        arguments += ["--descriptor", str(listener.fileno()), "--idle-seconds", str(_idle_seconds())]
        pid = start_module(
            "dogbreed_sdk.model_server",
            arguments,
            log=folder.server_log,
            environment=environment,
            keep_open=[listener.fileno()],
        )
    process = identify(pid, root=root)
    server = {**(process or {"pid": pid, "created": 0.0}), "port": port}
    problem = _wait_for_ping(deployment, server)
    if problem:
        raise EndpointNotReadyError(_unhealthy(folder, deployment, problem, before))
    return server


def _idle_seconds() -> float:
    return float(os.environ.get(IDLE_VARIABLE) or _IDLE_SECONDS)


def _wait_for_ping(deployment: Deployment, server: dict[str, Any]) -> str | None:
    """None once a model server answers, or what is wrong with it; it is ended then."""
    limit = deployment.startup_seconds or _STARTUP_SECONDS
    deadline = time.monotonic() + limit
    while not _ping(server["port"]):
        if not is_alive(server):
            return "Its process ended."
        if time.monotonic() >= deadline:
            end_process(server, grace_seconds=1.0)
            return f"It was not ready after {limit:.0f} s."
        time.sleep(0.02)
    return None


def _ping(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2.0)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _unhealthy(folder: EndpointFolder, deployment: Deployment, problem: str, before: Mapping[Path, int]) -> str:
    """AWS's words, followed by what its users have to look up in CloudWatch."""
    head = (
        f"The primary container for production variant {deployment.variant} did not pass the ping health check. "
        f"{problem} The end of its log {folder.log}:\n"
    )
    room = job_state.MAXIMUM_FAILURE_CHARACTERS - len(head)
    crash = "\n".join(last_lines(folder.server_log, _CRASH_LINES, since=before[folder.server_log]))
    if _CRASH in crash:
        return head + crash[crash.index(_CRASH) :][:room]
    lines = last_lines(folder.log, _FAILURE_LINES, since=before[folder.log]) or crash.splitlines()[-_FAILURE_LINES:]
    return head + "\n".join(lines)[-room:]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _note_failure(store: Store, name: str, failure: str) -> None:
    def change(state: dict[str, Any]) -> None:
        # A failed update leaves the endpoint serving what it served.
        state["status"] = "InService" if state.get("deployment") else "Failed"
        state["failure"] = job_state.shorten(failure)
        state.update(state.pop("previous", None) or {})

    try:
        store.update(ENDPOINT, name, change)
    except NotFound:
        return


def _switch(store: Store, name: str, deployment: Deployment, server: dict[str, Any]) -> bool:
    """Make a server the endpoint's own; False when the endpoint was deleted meanwhile."""

    def change(state: dict[str, Any]) -> None:
        if state["status"] in _COMING_UP:
            state.update(status="InService", failure=None, deployment=deployment.to_state(), server=server)
            state.pop("previous", None)

    try:
        return bool(store.update(ENDPOINT, name, change).state.get("server") == server)
    except NotFound:
        return False


def _retire(store: Store, folder: EndpointFolder, before: Record) -> None:
    """End the server that was replaced, once requests under way to it have arrived, and remove its model."""
    old = before.state.get("deployment")
    if old is None:
        return
    time.sleep(_SWITCH_SECONDS)
    end_process(before.state.get("server"), grace_seconds=_STOP_SECONDS, root=store.root)
    # A later update may have gone back to that model; none is under way while this lock is held.
    with file_lock(folder.supervisor_lock):
        if _deployed_digest(store, before.name) != old["digest"]:
            shutil.rmtree(folder.model(old["digest"]), ignore_errors=True)


def _deployed_digest(store: Store, name: str) -> str | None:
    try:
        deployment = store.get(ENDPOINT, name).state.get("deployment")
    except NotFound:
        return None
    return str(deployment["digest"]) if deployment else None
