"""An SQLite file that threads and processes share: connections, and transactions that a thread's calls join."""

from __future__ import annotations

import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from training_scripts._util.locking import file_lock

_BUSY_SECONDS = 30.0


class Database:
    """One SQLite file in WAL mode, safe for several threads and processes.

    Args:
        path: The file; created with its schema if it is missing.
        failed: Makes the exception to raise instead of sqlite3's, for instance on a full disk.
    """

    def __init__(self, path: Path, *, failed: Callable[[Exception], Exception]) -> None:
        self.path = path
        self._failed = failed
        self._idle: list[sqlite3.Connection] = []
        self._local = threading.local()
        # A connection closed by the garbage collector warns from Python 3.13 on.
        self._finalizer = weakref.finalize(self, _close_all, self._idle)

    def prepare(self, change: Callable[[sqlite3.Connection], None]) -> None:
        """Create or upgrade the schema, while no other process does."""
        with file_lock(self.path.with_name(f"{self.path.name}.lock")), self._errors():
            connection = self._open()
            self._idle.append(connection)
            # SQLite's busy handler does not cover the switch to WAL, so the first users take turns by the file lock.
            connection.execute("PRAGMA journal_mode = WAL")
            change(connection)

    def close(self) -> None:
        """Close the idle connections; new ones are opened when the database is used again."""
        _close_all(self._idle)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection to read with: that of this thread's open transaction, or an idle one."""
        joined: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if joined is not None:
            yield joined
            return
        with self._errors(), self._borrowed() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection in a transaction, which is committed at the end; nested calls of a thread join it."""
        joined: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if joined is not None:
            yield joined
            return
        with self._errors(), self._borrowed() as connection:
            connection.execute("BEGIN IMMEDIATE")
            self._local.connection = connection
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
            finally:
                self._local.connection = None

    @contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._open()
        try:
            yield connection
        finally:
            self._idle.append(connection)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._failed(error) from error

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        # In WAL mode, NORMAL survives a killed process; only a power failure may lose the last commits.
        connection.execute("PRAGMA synchronous = NORMAL")
        return connection


def _close_all(connections: list[sqlite3.Connection]) -> None:
    while connections:
        connections.pop().close()
