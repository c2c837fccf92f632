"""Brings endpoints up in the background, and completes work on them that killed processes left unfinished."""

from __future__ import annotations

from dogbreed_sdk._util.processes import is_alive
from dogbreed_sdk.local import supervision
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting import servers
from dogbreed_sdk.local.hosting.state import COMING_UP, note_failure
from dogbreed_sdk.local.states import State
from dogbreed_sdk.local.store import ENDPOINT, Store

_SUPERVISOR = "dogbreed_sdk.local.hosting.supervisor"
_START_SECONDS = 30.0
_MAXIMUM_RESTARTS = 3


def launch(store: Store, name: str) -> None:
    """Bring a new endpoint (status Creating) or a changed one (Updating) up in the background.

    Returns at once; a detached process starts the model server, checks /ping and writes InService or Failed.
    """
    folder = EndpointFolder.of(store.root, name)
    folder.path.mkdir(parents=True, exist_ok=True)
    supervision.start(_SUPERVISOR, store, ENDPOINT, name, log=folder.path / "supervisor.log")


def reconcile(store: Store, name: str) -> None:
    """Complete what a killed process began: deleting an endpoint, or bringing it up (a few attempts, then Failed)."""
    record = store.get(ENDPOINT, name)
    if record.state["status"] == "Deleting" and record.unchanged_for > 2 * servers.STOP_SECONDS:
        servers.stop(store, name)
        store.delete(ENDPOINT, name)
        return
    process = record.state.get("process")
    if record.state["status"] not in COMING_UP or is_alive(process, root=store.root):
        return
    if not process and record.unchanged_for < _START_SECONDS:
        return
    claimed = False

    def change(state: State) -> None:
        nonlocal claimed
        claimed = state.get("process") == process and state["status"] in COMING_UP
        if claimed:
            state.update({"process": None, "restarts": state.get("restarts", 0) + 1})

    restarts = store.update(ENDPOINT, name, change).state.get("restarts", 0)
    if claimed and restarts > _MAXIMUM_RESTARTS:
        note_failure(store, name, f"The process that brings it up ended {restarts} times.")
    elif claimed:
        launch(store, name)
