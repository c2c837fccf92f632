"""Brings an endpoint up: starts the new model server, checks it, and switches to it."""

from __future__ import annotations

import shutil
import time
import traceback
from contextlib import suppress

from dogbreed_sdk._util.processes import end_process, identify_self
from dogbreed_sdk.errors import ConfigurationError, EndpointNotReadyError
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting import servers
from dogbreed_sdk.local.hosting.model import Deployment, prepare
from dogbreed_sdk.local.hosting.state import COMING_UP, note_failure
from dogbreed_sdk.local.states import Server, State
from dogbreed_sdk.local.store import ENDPOINT, NotFound, Record, Store
from training_scripts._util.locking import file_lock

# Requests that were sent to the old server before the switch arrive within this time.
_SWITCH_SECONDS = 1.0


def bring_up(store: Store, name: str) -> None:
    """Bring up a new or changed endpoint; afterwards its status is InService or Failed."""
    folder = EndpointFolder.of(store.root, name)
    # An update that arrives while another one is brought up waits. The old server ends when none is waiting.
    with file_lock(folder.supervisor_lock):
        before = _switched_from(store, name, folder)
    if before is not None:
        _retire(store, folder, before)


def _switched_from(store: Store, name: str, folder: EndpointFolder) -> Record | None:
    """Start an endpoint's new model server and switch to it; returns the previous record, or None without a switch."""
    record = store.update(ENDPOINT, name, lambda state: state.update({"process": identify_self(root=store.root)}))
    if record.state["status"] not in COMING_UP:
        return None
    try:
        deployment = prepare(folder, record.state["serving"])
        server = servers.start(store.root, folder, deployment)
    except Exception as error:  # noqa: BLE001 - the record must get an outcome
        if not isinstance(error, (ConfigurationError, EndpointNotReadyError, OSError)):
            traceback.print_exc()
        note_failure(store, name, str(error) or type(error).__name__)
        return None
    # Only the switch needs the lock: until then, the old model server of an idle endpoint can still be started.
    # If the endpoint was deleted meanwhile, there is nothing to switch.
    with file_lock(folder.lock), suppress(NotFound):
        before = store.get(ENDPOINT, name)
        if _switch(store, name, deployment, server):
            return before
    end_process(server, grace_seconds=0.0, root=store.root)
    return None


def _switch(store: Store, name: str, deployment: Deployment, server: Server) -> bool:
    """Make a server the endpoint's current one; False if the endpoint was deleted meanwhile."""

    def change(state: State) -> None:
        if state["status"] in COMING_UP:
            state.update(
                {"status": "InService", "failure": None, "deployment": deployment.to_state(), "server": server}
            )
            state.pop("previous", None)

    try:
        return bool(store.update(ENDPOINT, name, change).state.get("server") == server)
    except NotFound:
        return False


def _retire(store: Store, folder: EndpointFolder, before: Record) -> None:
    """End the replaced server after requests on their way to it have arrived, and remove its model."""
    old = before.state.get("deployment")
    if old is None:
        return
    time.sleep(_SWITCH_SECONDS)
    end_process(before.state.get("server"), grace_seconds=servers.STOP_SECONDS, root=store.root)
    # A later update may have returned to that model; no update is in progress while this lock is held.
    with file_lock(folder.supervisor_lock):
        if _deployed_digest(store, before.name) != old["digest"]:
            shutil.rmtree(folder.container(old["digest"]), ignore_errors=True)


def _deployed_digest(store: Store, name: str) -> str | None:
    try:
        deployment = store.get(ENDPOINT, name).state.get("deployment")
    except NotFound:
        return None
    return str(deployment["digest"]) if deployment else None
