"""The model servers of endpoints: started on first use, checked, ended."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from dogbreed_sdk._util.caller_environment import inherited
from dogbreed_sdk._util.descendants import end_marked
from dogbreed_sdk._util.log_file import last_lines
from dogbreed_sdk._util.processes import end_process, identify, is_alive, start_module
from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.local.container_view import OPT_ML, ContainerView
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting.model import Deployment, restore
from dogbreed_sdk.local.hosting.server_python import ServerPython, server_python
from dogbreed_sdk.local.states import Server
from dogbreed_sdk.local.store import ENDPOINT, Record, Store
from dogbreed_sdk.local.supervision import MAXIMUM_FAILURE_CHARACTERS
from training_scripts._util.locking import file_lock

_SERVER = "dogbreed_sdk.model_server"
IDLE_VARIABLE = "DOGBREED_LOCAL_ENDPOINT_IDLE_SECONDS"
_IDLE_SECONDS = 900.0  # a forgotten endpoint holds its memory for a quarter of an hour
_STARTUP_SECONDS = 180.0
# A server that is asked to end first completes the requests that it accepted, which takes at most 60 s.
STOP_SECONDS = 65.0
# API reference, CreateEndpointConfig: an endpoint has 10 production variants at most.
MAXIMUM_VARIANTS = 10
_FAILURE_LINES = 8
_CRASH_LINES = 200
_CRASH = "Fatal Python error"  # how faulthandler begins
# The folder of the endpoint, which distinguishes processes started by its models from all others.
MODEL_MARK = "DOGBREED_LOCAL_MODEL"
_MODEL_FOLDER = f"{OPT_ML}/model"


def ensure_running(store: Store, name: str, variant: str) -> int:
    """The port on 127.0.0.1 of a production variant's model server; starts the server if it is not running.

    Returns:
        The port; the server answers /ping.

    Raises:
        NotFound: There is no such endpoint.
        EndpointNotReadyError: Its status allows no requests, or its model can't be loaded; the message has the log's
            last lines.
    """
    port = _running_port(store, store.get(ENDPOINT, name), variant)
    if port is not None:
        return port
    folder = EndpointFolder.of(store.root, name)
    with file_lock(folder.lock):
        record = store.get(ENDPOINT, name)
        port = _running_port(store, record, variant)
        if port is not None:
            return port
        deployment, status = record.state.get("deployments", {}).get(variant), record.state["status"]
        if deployment is None or status == "Deleting":
            raise EndpointNotReadyError(
                f"Endpoint {name} is {status}: {record.state.get('failure') or 'not ready yet'}"
            )
        try:
            server = start(store.root, folder, restore(folder, Deployment(**deployment)))
        except (ConfigurationError, OSError) as error:
            raise EndpointNotReadyError(str(error)) from error
        store.update(ENDPOINT, name, lambda state: state.setdefault("servers", {}).update({variant: server}))
    return int(server["port"])


def stop(store: Store, name: str) -> None:
    """End an endpoint's model servers after they complete their accepted requests, and remove the unpacked models.

    The logs stay, as on AWS. Call it before the record is deleted.

    Raises:
        NotFound: There is no such endpoint.
    """
    folder = EndpointFolder.of(store.root, name)
    if not folder.path.is_dir():
        return
    with file_lock(folder.lock):
        end_all(store.get(ENDPOINT, name).state.get("servers", {}).values(), root=store.root)
        end_marked(MODEL_MARK, f"{folder.path}/")  # processes of a server that crashed or was killed
        for path in folder.path.iterdir():
            if path.is_dir():  # an unpacked model, or one that a killed process partly unpacked
                shutil.rmtree(path, ignore_errors=True)


def end_all(running: Iterable[Server], *, root: Path, grace_seconds: float = STOP_SECONDS) -> None:
    """End model servers, all at the same time; each first completes the requests that it has accepted."""
    ending = partial(end_process, grace_seconds=grace_seconds, root=root)
    with ThreadPoolExecutor(MAXIMUM_VARIANTS) as pool:
        list(pool.map(ending, running))


def start(root: Path, folder: EndpointFolder, deployment: Deployment, *, parent: socket.socket | None = None) -> Server:
    """Start a model server and wait until it answers /ping.

    Args:
        root: The root folder of local SageMaker.
        folder: Where the model was unpacked, and where the logs are written.
        deployment: What is served.
        parent: A socket whose other end this process keeps: the server ends when that end is closed, also by the
            kernel. Default: it outlives this process, and ends after a while without requests.

    Raises:
        EndpointNotReadyError: Its packages could not be installed, it ended, or it did not answer in time; the message
            has the log's last lines.
    """
    with server_python(root, folder, deployment) as python:
        logs = folder.log_of(deployment.variant), folder.server_log_of(deployment.variant)
        before = {path: _size(path) for path in logs}
        server = _start_process(root, folder, deployment, python, parent)
    problem = _wait_for_ping(deployment, server)
    if problem:
        raise EndpointNotReadyError(_unhealthy(folder, deployment, problem, before))
    return server


def _start_process(
    root: Path, folder: EndpointFolder, deployment: Deployment, python: ServerPython, parent: socket.socket | None
) -> Server:
    """Start a model server's process, which listens already but may still be loading its model."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        # The server inherits the listening socket, so no other process can take the port in between.
        arguments = ["--model-dir", _MODEL_FOLDER, "--log", str(folder.log_of(deployment.variant))]
        arguments += ["--descriptor", str(listener.fileno()), "--remove-at-end", str(python.layer.folder)]
        arguments += (
            ["--idle-seconds", str(_idle_seconds())] if parent is None else ["--parent-socket", str(parent.fileno())]
        )
        pid = start_module(
            _SERVER,
            arguments,
            log=folder.server_log_of(deployment.variant),
            environment=python.layer.environment(_environment(folder, deployment)),
            keep_open=[listener.fileno(), python.lock, *([] if parent is None else [parent.fileno()])],
            python=python.layer.python,
            launched_by=ContainerView(folder.container(deployment.digest)).command,
        )
    process = identify(pid, root=root)
    return {**(process or {"pid": pid, "created": 0.0}), "port": port}


def _environment(folder: EndpointFolder, deployment: Deployment) -> dict[str, str]:
    """The variables of a model server, but for those of its Python."""
    return {
        **inherited(os.environ),
        "PYTHONUNBUFFERED": "1",
        **deployment.environment,
        # This overrides the request's value: the archive that it named was unpacked beside the model.
        "SAGEMAKER_SUBMIT_DIRECTORY": f"{_MODEL_FOLDER}/code",
        MODEL_MARK: f"{folder.path}/",
    }


def execution_parameters(server: Server) -> dict[str, Any]:
    """What a model recommends for batch transform jobs (GET /execution-parameters); empty if it recommends nothing."""
    status, body = _get(server["port"], "/execution-parameters")
    return dict(json.loads(body)) if status == http.client.OK else {}


def _running_port(store: Store, record: Record, variant: str) -> int | None:
    server = record.state.get("servers", {}).get(variant)
    return int(server["port"]) if server and is_alive(server, root=store.root) else None


def _idle_seconds() -> float:
    return float(os.environ.get(IDLE_VARIABLE) or _IDLE_SECONDS)


def _wait_for_ping(deployment: Deployment, server: Server) -> str | None:
    """Wait until a model server answers; returns None, or ends the server and returns the problem."""
    limit = deployment.startup_seconds or _STARTUP_SECONDS
    deadline = time.monotonic() + limit
    while _get(server["port"], "/ping")[0] != http.client.OK:
        if not is_alive(server):
            return "Its process ended."
        if time.monotonic() >= deadline:
            end_process(server, grace_seconds=1.0)
            return f"It was not ready after {limit:.0f} s."
        time.sleep(0.02)
    return None


def _get(port: int, path: str) -> tuple[int, bytes]:
    """The status and the body of a response; status 0 if the server does not answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30.0)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _unhealthy(folder: EndpointFolder, deployment: Deployment, problem: str, before: Mapping[Path, int]) -> str:
    """AWS's message, followed by the last log lines, which AWS shows only in CloudWatch."""
    variant = f" for production variant {deployment.variant}" if deployment.variant else ""
    log, server_log = folder.log_of(deployment.variant), folder.server_log_of(deployment.variant)
    head = f"The primary container{variant} did not pass the ping health check. {problem} The end of its log {log}:\n"
    room = MAXIMUM_FAILURE_CHARACTERS - len(head)
    crash = "\n".join(last_lines(server_log, _CRASH_LINES, since=before[server_log]))
    if _CRASH in crash:
        return head + crash[crash.index(_CRASH) :][:room]
    lines = last_lines(log, _FAILURE_LINES, since=before[log]) or crash.splitlines()[-_FAILURE_LINES:]
    return head + "\n".join(lines)[-room:]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
