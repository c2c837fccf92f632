"""Sends requests to the model servers of endpoints, which start on first use."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from dogbreed_sdk._util.processes import is_alive
from dogbreed_sdk.local.hosting import servers
from dogbreed_sdk.local.hosting.model_client import Answer, ModelClient, ServerGoneError
from dogbreed_sdk.local.states import Server
from dogbreed_sdk.local.store import ENDPOINT, Record, Store


@dataclass
class EndpointClient:
    """Calls the model servers of one store's endpoints.

    Attributes:
        store: Where endpoints are looked up.
        client: Sends the requests.
    """

    store: Store
    client: ModelClient = field(default_factory=ModelClient)
    _starting: dict[tuple[str, str], asyncio.Lock] = field(default_factory=dict)

    async def call(
        self, record: Record, variant: str, headers: Mapping[str, str], body: bytes, *, seconds: float
    ) -> Answer:
        """The response of a production variant's model server; a request that it has received is not repeated.

        Args:
            record: The endpoint.
            variant: The variant's name.
            headers: The request's headers.
            body: The request's body.
            seconds: How long the response may take, without the start of the server.

        Raises:
            TimeoutError: It took longer.
            ServerGoneError: The server ended without a response.
            EndpointNotReadyError: The server can't be started.
            NotFound: The endpoint was deleted.
        """
        server = record.state.get("servers", {}).get(variant)
        if server is not None and (self.client.knows(server) or is_alive(server, root=self.store.root)):
            try:
                return await self._exchange(server, headers, body, seconds)
            except ServerGoneError as error:
                if error.received_request:
                    raise
        return await self._exchange(await self._start(record.name, variant), headers, body, seconds)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def _exchange(self, server: Server, headers: Mapping[str, str], body: bytes, seconds: float) -> Answer:
        # wait_for, because asyncio.timeout does not exist in Python 3.10.
        try:
            return await asyncio.wait_for(self.client.exchange(server, headers, body), seconds)
        except asyncio.TimeoutError:  # another class than the builtin one in Python 3.10
            raise TimeoutError from None

    async def _start(self, name: str, variant: str) -> Server:
        """Start the variant's model server, only once for all callers that wait for it."""
        async with self._starting.setdefault((name, variant), asyncio.Lock()):
            await asyncio.to_thread(servers.ensure_running, self.store, name, variant)
        server = self.store.get(ENDPOINT, name).state.get("servers", {}).get(variant)
        if server is None:
            raise ServerGoneError("The model server ended as soon as it was started.", received_request=False)
        return server
