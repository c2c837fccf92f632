"""How an endpoint's record changes while it comes up."""

from __future__ import annotations

from dogbreed_sdk._util.text import shorten
from dogbreed_sdk.local.states import Serving, State
from dogbreed_sdk.local.store import ENDPOINT, NotFound, Store
from dogbreed_sdk.local.supervision import MAXIMUM_FAILURE_CHARACTERS

COMING_UP = ("Creating", "Updating")


def active(state: State) -> Serving:
    """What an endpoint serves now: during an update still what it served before."""
    return state.get("previous") or state["serving"]


def note_failure(store: Store, name: str, failure: str) -> None:
    """Record why an endpoint can't come up; after a failed update it continues to serve its previous model."""

    def change(state: State) -> None:
        state["status"] = "InService" if state.get("deployments") else "Failed"
        state["failure"] = shorten(failure, MAXIMUM_FAILURE_CHARACTERS)
        if "previous" in state:
            state["serving"] = state.pop("previous")

    try:
        store.update(ENDPOINT, name, change)
    except NotFound:
        return
