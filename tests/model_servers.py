"""The model servers of local endpoints, as tests look at them."""

from __future__ import annotations

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.states import Server
from dogbreed_sdk.local.store import ENDPOINT


def server_of(store: Store, endpoint: str) -> Server:
    """The model server of an endpoint that has one production variant."""
    (server,) = store.get(ENDPOINT, endpoint).state["servers"].values()
    return server
