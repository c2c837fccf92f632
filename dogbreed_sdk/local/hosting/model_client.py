"""An HTTP client for model servers on loopback: POST /invocations over persistent connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import h11

from dogbreed_sdk.local.states import Server
from training_scripts.data.limits import MAX_RESPONSE_BYTES

_READ_BYTES = 256 * 1024
_MAX_IDLE = 32
_MAX_SHOWN_MESSAGE = 2048

ServerKey = tuple[int, float, int]


class ServerGoneError(Exception):
    """The model server can't be reached, or ended during a request.

    Args:
        message: What happened.
        received_request: Whether it may have started to process the request, so that a retry isn't safe.
    """

    def __init__(self, message: str, *, received_request: bool) -> None:
        super().__init__(message)
        self.received_request = received_request


@dataclass(frozen=True)
class Answer:
    """A model server's response; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode("utf-8", "replace")


def described_error(status: int, message: str) -> str:
    """AWS's sentence about a model that responded with an error.

    Args:
        status: The HTTP status; 0 for no response.
        message: What the model said; its beginning is repeated.

    >>> described_error(400, "no picture")
    'Received client error (400) from primary with message "no picture".'
    """
    side = "client" if 400 <= status < 500 else "server"
    shown = message if len(message) <= _MAX_SHOWN_MESSAGE else message[:_MAX_SHOWN_MESSAGE] + "..."
    return f'Received {side} error ({status}) from primary with message "{shown}".'


@dataclass
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))
    fresh: bool = True
    answering: bool = False

    def is_usable(self) -> bool:
        return not (self.reader.at_eof() or self.writer.is_closing())

    def close(self) -> None:
        self.writer.close()


@dataclass
class ModelClient:
    """Keeps idle connections by server; a new process on the same port counts as a new server.

    Attributes:
        max_response_bytes: The size from which on a response counts as a failure of the server.
    """

    max_response_bytes: int = MAX_RESPONSE_BYTES
    _idle: dict[ServerKey, list[_Connection]] = field(default_factory=dict)
    _closed: bool = False

    def knows(self, server: Server) -> bool:
        """Whether a connection to exactly that process is open."""
        return any(connection.is_usable() for connection in self._idle.get(_key(server), ()))

    async def exchange(self, server: Server, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send one invocation.

        Args:
            server: The process.
            headers: The request's headers.
            body: The request's body.

        Raises:
            ServerGoneError: The server ended without a response.
        """
        connection = await self._connection(server)
        try:
            answer = await _exchange(connection, headers, body, self.max_response_bytes)
        except ServerGoneError as error:
            connection.close()
            if connection.fresh or error.received_request:
                raise
            # The server closed the idle connection while this request was on its way.
            return await self.exchange(server, headers, body)
        except BaseException:
            connection.close()
            raise
        self._keep(server, connection)
        return answer

    async def close(self) -> None:
        """Close all idle connections now, and every other connection after its response."""
        self._closed = True
        connections = [connection for idle in self._idle.values() for connection in idle]
        self._idle.clear()
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.writer.wait_closed() for connection in connections), return_exceptions=True)

    async def _connection(self, server: Server) -> _Connection:
        idle = self._idle.get(_key(server), [])
        while idle:
            connection = idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        try:
            return _Connection(*await asyncio.open_connection("127.0.0.1", int(server["port"])))
        except OSError as error:
            raise ServerGoneError(f"The model server can't be reached: {error}.", received_request=False) from error

    def _keep(self, server: Server, connection: _Connection) -> None:
        complete = connection.protocol.our_state is h11.DONE and connection.protocol.their_state is h11.DONE
        if self._closed or not complete:
            connection.close()
            return
        connection.protocol.start_next_cycle()
        connection.fresh, connection.answering = False, False
        idle = self._idle.setdefault(_key(server), [])
        if len(idle) < _MAX_IDLE:
            idle.append(connection)
        else:
            connection.close()
        self._forget_others(server)

    def _forget_others(self, server: Server) -> None:
        """Drop the connections of servers that have ended."""
        for key in [key for key in self._idle if key != _key(server)]:
            if not any(connection.is_usable() for connection in self._idle[key]):
                for connection in self._idle.pop(key):
                    connection.close()


def _key(server: Server) -> ServerKey:
    return int(server["pid"]), float(server["created"]), int(server["port"])


async def _exchange(
    connection: _Connection, headers: Mapping[str, str], body: bytes, max_response_bytes: int
) -> Answer:
    request = h11.Request(
        method="POST",
        target="/invocations",
        headers=[("host", "127.0.0.1"), ("content-length", str(len(body))), *headers.items()],
    )
    send = connection.protocol.send
    head = (send(request) or b"") + (send(h11.Data(data=body)) or b"") + (send(h11.EndOfMessage()) or b"")
    connection.writer.write(head)
    # Read while writing: a server that refuses a large body responds before it has read all of it.
    reading = asyncio.ensure_future(_read_answer(connection, max_response_bytes))
    try:
        with contextlib.suppress(ConnectionError):
            await connection.writer.drain()
        return await reading
    except (OSError, h11.RemoteProtocolError) as error:
        raise ServerGoneError(
            f"The model server ended the connection without a complete answer ({error or type(error).__name__}). "
            "Its log may say why; the next request starts it again.",
            received_request=connection.fresh or connection.answering,
        ) from error
    finally:
        reading.cancel()


async def _read_answer(connection: _Connection, limit: int) -> Answer:
    status, headers, chunks, size = 0, {}, [], 0
    while True:
        event = connection.protocol.next_event()
        if event is h11.NEED_DATA:
            received = await connection.reader.read(_READ_BYTES)
            connection.answering = connection.answering or bool(received)
            connection.protocol.receive_data(received)
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            size += len(event.data)
            if size > limit:
                message = f"The model's answer is larger than {limit >> 20} MiB."
                raise ServerGoneError(message, received_request=True)
            chunks.append(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, headers, b"".join(chunks))
