"""Brings an endpoint up: starts a model server for each production variant, checks them, and switches to them."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from dogbreed_sdk._util.processes import identify_self
from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting import servers
from dogbreed_sdk.local.hosting.model import Deployment, prepare
from dogbreed_sdk.local.hosting.state import COMING_UP, note_failure
from dogbreed_sdk.local.states import ServedVariant, Server, Serving, State
from dogbreed_sdk.local.store import ENDPOINT, NotFound, Record, Store
from training_scripts._util.locking import file_lock

# Requests that were sent to the old server before the switch arrive within this time.
_SWITCH_SECONDS = 1.0

_Started = tuple[Deployment, Server]


def bring_up(store: Store, name: str) -> None:
    """Bring up a new or changed endpoint; afterward its status is InService or Failed."""
    folder = EndpointFolder.of(store.root, name)
    # An update that arrives while another one is brought up waits. The old server ends when none is waiting.
    with file_lock(folder.supervisor_lock):
        before = _switched_from(store, name, folder)
    if before is not None:
        _retire(store, folder, before)


def _switched_from(store: Store, name: str, folder: EndpointFolder) -> Record | None:
    """Start an endpoint's new model servers and switch to them; the previous record, or None without a switch."""
    record = store.update(ENDPOINT, name, lambda state: state.update({"process": identify_self(root=store.root)}))
    if record.state["status"] not in COMING_UP:
        return None
    with ThreadPoolExecutor(servers.MAXIMUM_VARIANTS) as pool:
        starting = [
            pool.submit(_started, store.root, folder, record.state["serving"], served)
            for served in record.state["serving"]["variants"]
        ]
    errors = [error for future in starting if (error := future.exception())]
    started = [future.result() for future in starting if not future.exception()]
    if errors:
        _end(store, started)
        note_failure(store, name, _reason(errors))
        return None
    # Only the switch needs the lock: until then, the old model servers of an idle endpoint can still be started.
    # If the endpoint was deleted meanwhile, there is nothing to switch.
    with file_lock(folder.lock), suppress(NotFound):
        before = store.get(ENDPOINT, name)
        if _switch(store, name, started):
            return before
    _end(store, started)
    return None


def _started(root: Path, folder: EndpointFolder, serving: Serving, served: ServedVariant) -> _Started:
    """Start the model server of one production variant."""
    deployment = prepare(folder, serving, served)
    return deployment, servers.start(root, folder, deployment)


def _reason(errors: Sequence[BaseException]) -> str:
    """Why model servers did not start; the record must get an outcome, whatever it was."""
    for error in errors:
        if not isinstance(error, (ConfigurationError, EndpointNotReadyError, OSError)):
            traceback.print_exception(error)
    return "\n".join(str(error) or type(error).__name__ for error in errors)


def _end(store: Store, started: Sequence[_Started]) -> None:
    """End servers that never got a request."""
    servers.end_all([server for _, server in started], root=store.root, grace_seconds=0.0)


def _switch(store: Store, name: str, started: Sequence[_Started]) -> bool:
    """Make these the endpoint's current servers; False if the endpoint was deleted meanwhile."""
    current = {deployment.variant: server for deployment, server in started}

    def change(state: State) -> None:
        if state["status"] in COMING_UP:
            deployments = {deployment.variant: deployment.to_state() for deployment, _ in started}
            state.update({"status": "InService", "failure": None, "deployments": deployments, "servers": current})
            state.pop("previous", None)

    try:
        return bool(store.update(ENDPOINT, name, change).state.get("servers") == current)
    except NotFound:
        return False


def _retire(store: Store, folder: EndpointFolder, before: Record) -> None:
    """End the replaced servers after requests on their way to them have arrived, and remove their models."""
    old = before.state.get("deployments")
    if not old:
        return
    time.sleep(_SWITCH_SECONDS)
    servers.end_all(before.state.get("servers", {}).values(), root=store.root)
    # A later update may have returned to one of the models; no update is in progress while this lock is held.
    with file_lock(folder.supervisor_lock):
        for digest in {deployment["digest"] for deployment in old.values()} - _deployed_digests(store, before.name):
            shutil.rmtree(folder.container(digest), ignore_errors=True)


def _deployed_digests(store: Store, name: str) -> set[str]:
    try:
        deployments = store.get(ENDPOINT, name).state.get("deployments", {})
    except NotFound:
        return set()
    return {deployment["digest"] for deployment in deployments.values()}
