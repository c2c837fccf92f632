"""The records of local SageMaker: one SQLite file that threads and processes share.

Importing this module loads neither botocore nor a web framework: a job's supervisor imports it in milliseconds.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from dogbreed_sdk._util import clock
from dogbreed_sdk.container import OBJECTIVE_HYPERPARAMETER
from dogbreed_sdk.errors import ConfigurationError, DogBreedError
from dogbreed_sdk.local.database import Database
from dogbreed_sdk.local.root_paths import RootPaths
from dogbreed_sdk.local.states import State

DATABASE = "sagemaker.db"
JOBS_FOLDER = "jobs"
ENDPOINTS_FOLDER = "endpoints"
BUCKET_FOLDER = "bucket"
TRANSFORM_FOLDER = "transform-jobs"

# AWS never assigns this account number, so a local ARN never matches a real resource.
ACCOUNT_ID = "000000000000"
DEFAULT_REGION = "us-east-1"
ROLE_NAME = "local-sagemaker"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT_ID}:role/{ROLE_NAME}"

TRAINING_JOB = "training-job"
TUNING_JOB = "tuning-job"
TRANSFORM_JOB = "transform-job"
MODEL = "model"
ENDPOINT_CONFIG = "endpoint-config"
ENDPOINT = "endpoint"
ASYNC_INVOCATION = "async-invocation"
_ARN_RESOURCES = {
    TRAINING_JOB: "training-job",
    TUNING_JOB: "hyper-parameter-tuning-job",
    TRANSFORM_JOB: "transform-job",
    MODEL: "model",
    ENDPOINT_CONFIG: "endpoint-config",
    ENDPOINT: "endpoint",
    ASYNC_INVOCATION: "async-invocation",
}

_SCHEMA_VERSION = 5
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, name TEXT NOT NULL, arn TEXT NOT NULL,
    request TEXT NOT NULL, state TEXT NOT NULL, created REAL NOT NULL, modified REAL NOT NULL,
    created_mark TEXT, modified_mark TEXT, status TEXT NOT NULL DEFAULT '', parent TEXT,
    objective REAL);
CREATE UNIQUE INDEX IF NOT EXISTS record_names ON records (kind, name COLLATE NOCASE);
CREATE UNIQUE INDEX IF NOT EXISTS record_arns ON records (arn);
CREATE INDEX IF NOT EXISTS records_by_name ON records (kind, name, created, status, modified);
CREATE INDEX IF NOT EXISTS records_by_creation ON records (kind, created, name, status, modified);
CREATE INDEX IF NOT EXISTS records_by_status ON records (kind, status, created, name, modified);
DROP INDEX IF EXISTS records_by_parent;
CREATE INDEX IF NOT EXISTS children_by_name ON records (kind, parent, name, created, status, modified);
CREATE INDEX IF NOT EXISTS children_by_creation ON records (kind, parent, created, name, status, modified);
CREATE INDEX IF NOT EXISTS children_by_status ON records (kind, parent, status, created, name, modified, objective);
CREATE INDEX IF NOT EXISTS children_by_objective ON records (kind, parent, objective, created, name, status, modified);
CREATE TABLE IF NOT EXISTS tags (
    arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key));
"""
_ADDED_COLUMNS = (
    "created_mark TEXT",
    "modified_mark TEXT",
    "status TEXT NOT NULL DEFAULT ''",
    "parent TEXT",
    "objective REAL",
)
# Records that an upgrade reads at a time: a folder may have hundreds of thousands.
_UPGRADED_AT_ONCE = 500
_COLUMNS = "kind, name, arn, request, state, created, modified, created_mark, modified_mark"


# A create request as sent, with AWS's member names, checked against AWS's model; each kind has different members.
Request = Mapping[str, Any]
# The types that SQLite accepts for a placeholder.
_Value = str | float | None


class StoreError(ConfigurationError):
    """The state file can't be read or written: a full disk, a read-only folder, or another program's file."""


class NotFound(DogBreedError):  # noqa: N818 - a lookup's result, named as one
    """A record of that kind and name does not exist."""


class AlreadyExists(DogBreedError):  # noqa: N818
    """A record of that kind and name already exists; as on AWS, names that differ only in case are the same."""


@dataclass(frozen=True)
class Record:
    """One resource as stored.

    Attributes:
        kind: One of TRAINING_JOB, TUNING_JOB, TRANSFORM_JOB, MODEL, ENDPOINT_CONFIG, ENDPOINT, ASYNC_INVOCATION.
        name: Its name, with its case preserved.
        arn: Its Amazon Resource Name, lower case as on AWS.
        request: The create request as sent, with AWS's member names.
        state: What has happened since then; a copy, which only `Store.update` changes.
        created: Epoch seconds.
        modified: Epoch seconds of the last change of state.
        created_mark: When it was created, for durations; see `clock`.
        modified_mark: When its state last changed, for durations.
    """

    kind: str
    name: str
    arn: str
    request: Request
    state: State
    created: float
    modified: float
    created_mark: str | None = None
    modified_mark: str | None = None

    @property
    def age(self) -> float:
        """Seconds since its creation, unaffected by corrections of the wall clock."""
        return clock.elapsed(self.created_mark, self.created)

    @property
    def now(self) -> float:
        """The current time in epoch seconds, counted from its creation."""
        return self.created + self.age

    @property
    def unchanged_for(self) -> float:
        """Seconds since the last change of its state."""
        return clock.elapsed(self.modified_mark, self.modified)

    @property
    def objective(self) -> float | None:
        """A training job's last value of the objective metric of its search; None without one, or if not finite."""
        return _derived(self.request, self.state)[2]

    @property
    def region(self) -> str:
        """The region the resource was created in."""
        return self.arn.split(":")[3]


class Summary(NamedTuple):
    """What lists show of a record.

    Attributes:
        name: Its name.
        status: Its status; empty for records without one.
        created: Epoch seconds.
    """

    name: str
    status: str
    created: float


SortKey = Literal["name", "created", "status", "objective"]
# The columns that define each order, with ties resolved.
_SORT_COLUMNS: dict[SortKey, tuple[str, str, str]] = {
    "name": ("name", "created", "name"),
    "created": ("created", "created", "name"),
    "status": ("status", "created", "name"),
    "objective": ("objective", "created", "name"),
}
Position = tuple[float | str, float, str]


@dataclass(frozen=True)
class Filters:
    """Conditions for the records of a listing; None means no condition.

    Attributes:
        name_contains: A part of the name; case matters.
        status: The status in the state.
        parent: The tuning job that started a training job, or the endpoint of an asynchronous invocation.
        created: Epoch seconds after and before which it was created.
        modified: Epoch seconds after and before which it was last changed.
        measured: Whether only training jobs that have a value of their search's objective metric pass.
    """

    name_contains: str | None = None
    status: str | None = None
    parent: str | None = None
    created: tuple[float | None, float | None] = (None, None)
    modified: tuple[float | None, float | None] = (None, None)
    measured: bool = False

    def where(self, kind: str) -> tuple[str, list[_Value]]:
        """An SQL condition for the records of a kind that pass, and the values of its placeholders."""
        conditions: list[tuple[str, _Value]] = [
            ("kind = ?", kind),
            ("instr(name, ?)", self.name_contains or None),
            ("status = ?", self.status),
            ("parent = ?", self.parent),
            ("created > ?", self.created[0]),
            ("created < ?", self.created[1]),
            ("modified > ?", self.modified[0]),
            ("modified < ?", self.modified[1]),
        ]
        given = [(condition, value) for condition, value in conditions if value is not None]
        measured = ["objective IS NOT NULL"] if self.measured else []
        return " AND ".join([condition for condition, _ in given] + measured), [value for _, value in given]


def is_root(folder: Path) -> bool:
    """Whether a folder is a root folder of local SageMaker; changes nothing."""
    return (folder / DATABASE).is_file()


def resource_arn(kind: str, name: str, region: str = DEFAULT_REGION) -> str:
    """The ARN of a resource.

    >>> resource_arn(TRAINING_JOB, "Dogs-1")
    'arn:aws:sagemaker:us-east-1:000000000000:training-job/dogs-1'
    """
    return f"arn:aws:sagemaker:{region}:{ACCOUNT_ID}:{_ARN_RESOURCES[kind]}/{name.lower()}"


class Store:
    """The records of one root folder, safe for several threads and processes.

    Each method is one transaction; inside `with store.transaction():` all calls of that thread belong to it.

    Args:
        root: The folder; created with mode 0700 if it is missing.

    Raises:
        StoreError: The folder or its file can't be used. Any method may raise it, for instance on a full disk.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()
        self.path = self.root / DATABASE
        self._paths = RootPaths(self.root)
        self._database = Database(self.path, failed=partial(_unusable, self.path))
        try:
            _make_root(self.root)
            self._database.prepare(self._prepare)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def close(self) -> None:
        """Close the idle connections; the store opens new ones when it is used again."""
        self._database.close()

    def check_writable(self) -> None:
        """Write a page, so that a full disk or a read-only folder is found before any work begins.

        Raises:
            StoreError: It can't be written.
        """
        with self._database.writing() as connection:
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def create(
        self,
        kind: str,
        name: str,
        request: Request,
        state: State,
        *,
        region: str = DEFAULT_REGION,
    ) -> Record:
        """Add a record.

        Raises:
            AlreadyExists: The name is taken.
        """
        now, mark = time.time(), clock.mark()
        arn = resource_arn(kind, name, region)
        row = (kind, name, arn, self._dump(request), self._dump(state), now, now, mark, mark)
        with self._database.writing() as connection:
            # The unique index also ensures this; the query gives a clearer error.
            taken = "SELECT 1 FROM records WHERE kind = ? AND name = ? COLLATE NOCASE"
            if connection.execute(taken, (kind, name)).fetchone():
                raise AlreadyExists(f"A {kind} named {name} already exists.")
            derived = _derived(request, state)
            places = ", ".join("?" * (len(row) + len(derived)))
            command = f"INSERT INTO records ({_COLUMNS}, status, parent, objective) VALUES ({places})"  # noqa: S608
            connection.execute(command, (*row, *derived))
        return self._record(row)

    def get(self, kind: str, name: str) -> Record:
        """The record of that kind and exact name.

        Raises:
            NotFound: It does not exist.
        """
        with self._database.reading() as connection:
            query = f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND name = ?"  # noqa: S608
            row = connection.execute(query, (kind, name)).fetchone()
        if row is None:
            raise NotFound(f"No {kind} is named {name}.")
        return self._record(row)

    def page(
        self,
        kind: str,
        filters: Filters,
        *,
        sort_by: SortKey = "created",
        descending: bool = False,
        after: Position | None = None,
        limit: int | None = None,
    ) -> list[Record]:
        """The sorted records of a kind that pass the filters; reads no more of them than it returns.

        Args:
            kind: The kind.
            filters: The conditions.
            sort_by: The sort key; records with equal keys are sorted by creation and name.
            descending: Whether the largest key comes first.
            after: The position of the previous page's last record: its value of `sort_by`, its creation in epoch
                seconds, its name.
            limit: The maximum number; None for all.
        """
        if sort_by == "status" and filters.status is not None:
            # All have the same status, which SQLite does not see: it would sort them for every page.
            sort_by, after = "created", after and (after[1], *after[1:])
        columns = _SORT_COLUMNS[sort_by]
        where, values = filters.where(kind)
        if after is not None:
            where += f" AND ({', '.join(columns)}) {'<' if descending else '>'} (?, ?, ?)"
            values += after
        order = ", ".join(f"{column} {'DESC' if descending else 'ASC'}" for column in dict.fromkeys(columns))
        query = f"SELECT {_COLUMNS} FROM records WHERE {where} ORDER BY {order} LIMIT ?"  # noqa: S608
        with self._database.reading() as connection:
            rows = connection.execute(query, (*values, -1 if limit is None else limit)).fetchall()
        return [self._record(row) for row in rows]

    def newest(self, kind: str, limit: int | None) -> list[Summary]:
        """The newest records of a kind, newest first, as an index has them: no record is read.

        Args:
            kind: The kind.
            limit: The maximum number; None for all.
        """
        query = "SELECT name, status, created FROM records WHERE kind = ? ORDER BY created DESC, name DESC LIMIT ?"
        with self._database.reading() as connection:
            return [Summary(*row) for row in connection.execute(query, (kind, -1 if limit is None else limit))]

    def statuses(self, kind: str, parent: str) -> Counter[tuple[str, bool]]:
        """How many records of a kind belong to a parent, by status and by whether they have an objective value.

        Args:
            kind: The kind.
            parent: See `Filters`.
        """
        query = (
            "SELECT status, objective IS NOT NULL, count(*) FROM records WHERE kind = ? AND parent = ? GROUP BY 1, 2"
        )
        with self._database.reading() as connection:
            rows = connection.execute(query, (kind, parent))
            return Counter({(status, bool(measured)): count for status, measured, count in rows})

    def count(self, kind: str) -> int:
        """The number of records of a kind."""
        with self._database.reading() as connection:
            found: int = connection.execute("SELECT count(*) FROM records WHERE kind = ?", (kind,)).fetchone()[0]
        return found

    def names(self, kind: str, filters: Filters) -> list[str]:
        """The names of the records that pass the filters, oldest first."""
        where, values = filters.where(kind)
        with self._database.reading() as connection:
            query = f"SELECT name FROM records WHERE {where} ORDER BY created, name"  # noqa: S608
            return [name for (name,) in connection.execute(query, values)]

    def parents(self, kind: str) -> list[str]:
        """The names of the resources to which records of a kind belong."""
        with self._database.reading() as connection:
            query = "SELECT DISTINCT parent FROM records WHERE kind = ? AND parent IS NOT NULL"
            return [parent for (parent,) in connection.execute(query, (kind,))]

    def tagged(self, key: str) -> list[Record]:
        """The endpoints, endpoint configurations and models that have a tag."""
        with self._database.reading() as connection:
            query = (
                f"SELECT {_COLUMNS} FROM records JOIN tags USING (arn) "  # noqa: S608
                "WHERE key = ? AND kind IN (?, ?, ?) ORDER BY sequence"
            )
            rows = connection.execute(query, (key, ENDPOINT, ENDPOINT_CONFIG, MODEL)).fetchall()
        return [self._record(row) for row in rows]

    def list(self, kind: str) -> list[Record]:
        """All records of a kind, oldest first."""
        with self._database.reading() as connection:
            query = f"SELECT {_COLUMNS} FROM records WHERE kind = ? ORDER BY sequence"  # noqa: S608
            rows = connection.execute(query, (kind,)).fetchall()
        return [self._record(row) for row in rows]

    def update(self, kind: str, name: str, change: Callable[[State], None]) -> Record:
        """Edit a record's state in one transaction.

        Args:
            kind: The kind.
            name: The name.
            change: Edits the state in place. If it raises or changes nothing, nothing is written.

        Raises:
            NotFound: It does not exist.
        """
        with self._database.writing() as connection:
            record = self._get_within(connection, kind, name)
            before = json.dumps(record.state)
            change(record.state)
            after = json.dumps(record.state)
            if after == before:
                return record
            now, mark = time.time(), clock.mark()
            status, _, objective = _derived(record.request, record.state)
            connection.execute(
                "UPDATE records SET state = ?, status = ?, objective = ?, modified = ?, modified_mark = ? "
                "WHERE kind = ? AND name = ?",
                (self._paths.relative(after), status, objective, now, mark, kind, name),
            )
        return replace(record, modified=now, modified_mark=mark)

    def delete(self, kind: str, name: str) -> None:
        """Remove a record and its tags.

        Raises:
            NotFound: It does not exist.
        """
        with self._database.writing() as connection:
            record = self._get_within(connection, kind, name)
            connection.execute("DELETE FROM records WHERE kind = ? AND name = ?", (kind, name))
            connection.execute("DELETE FROM tags WHERE arn = ?", (record.arn,))
            if kind == TUNING_JOB:  # its training jobs stay, but must not belong to a later search of the same name
                orphan = "UPDATE records SET parent = NULL WHERE kind = ? AND parent = ?"
                connection.execute(orphan, (TRAINING_JOB, name))

    def find_arn(self, arn: str) -> Record:
        """The record behind an ARN.

        Raises:
            NotFound: It does not exist.
        """
        with self._database.reading() as connection:
            query = f"SELECT {_COLUMNS} FROM records WHERE arn = ?"  # noqa: S608
            row = connection.execute(query, (arn.lower(),)).fetchone()
        if row is None:
            raise NotFound(f"No resource has the ARN {arn}.")
        return self._record(row)

    def tags(self, arn: str) -> dict[str, str]:
        """The tags of a resource, by key."""
        with self._database.reading() as connection:
            query = "SELECT key, value FROM tags WHERE arn = ? ORDER BY key"
            return dict(connection.execute(query, (arn.lower(),)).fetchall())

    def set_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags to a resource; a key that it already has gets the new value."""
        rows = [(arn.lower(), key, value) for key, value in tags.items()]
        with self._database.writing() as connection:
            connection.executemany("INSERT OR REPLACE INTO tags VALUES (?, ?, ?)", rows)

    def remove_tags(self, arn: str, keys: Iterable[str]) -> None:
        """Remove tags from a resource; ignores keys that it does not have."""
        rows = [(arn.lower(), key) for key in keys]
        with self._database.writing() as connection:
            connection.executemany("DELETE FROM tags WHERE arn = ? AND key = ?", rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Combine several calls into one transaction: all of them take effect, or none.

        Keep it short, and don't start a process inside: all other writers wait.
        """
        with self._database.writing():
            yield

    def _get_within(self, connection: sqlite3.Connection, kind: str, name: str) -> Record:
        query = f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND name = ?"  # noqa: S608
        row = connection.execute(query, (kind, name)).fetchone()
        if row is None:
            raise NotFound(f"No {kind} is named {name}.")
        return self._record(row)

    def _dump(self, value: Mapping[str, object]) -> str:
        return self._paths.relative(json.dumps(value))

    def _record(self, row: Sequence[Any]) -> Record:
        kind, name, arn, request, state, *times = row
        load = self._paths.absolute
        return Record(kind, name, arn, json.loads(load(request)), json.loads(load(state)), *times)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _SCHEMA_VERSION:
            raise StoreError(f"{self.path} was written by a newer dogbreed-sdk; upgrade to use this folder.")
        if version < _SCHEMA_VERSION:
            if version:
                self._upgrade(connection)
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        """Convert the records of older versions."""
        present = {row[1] for row in connection.execute("PRAGMA table_info(records)")}
        connection.execute("BEGIN IMMEDIATE")
        for column in _ADDED_COLUMNS:
            if column.partition(" ")[0] not in present:
                connection.execute(f"ALTER TABLE records ADD COLUMN {column}")
        for sequence, kind, request, text in _in_portions(connection):
            state = _upgraded(kind, json.loads(self._paths.absolute(text)))
            connection.execute(
                "UPDATE records SET request = ?, state = ?, status = ?, parent = ?, objective = ? WHERE sequence = ?",
                (self._paths.relative(request), self._dump(state), *_derived(json.loads(request), state), sequence),
            )
        connection.execute("COMMIT")


def _in_portions(connection: sqlite3.Connection) -> Iterator[tuple[int, str, str, str]]:
    """The sequence, kind, request and state of every record, which may be changed meanwhile."""
    query = "SELECT sequence, kind, request, state FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?"
    rows = connection.execute(query, (-1, _UPGRADED_AT_ONCE)).fetchall()
    while rows:
        yield from rows
        rows = connection.execute(query, (rows[-1][0], _UPGRADED_AT_ONCE)).fetchall()


def _derived(request: Request, state: State) -> tuple[str, str | None, float | None]:
    """The columns by which lists are filtered and sorted: status, parent, and value of the objective metric."""
    # SageMaker names the objective metric of a search among the hyperparameters of its training jobs.
    metric = (request.get("HyperParameters") or {}).get(OBJECTIVE_HYPERPARAMETER)
    last = (state.get("metrics") or {}).get(metric) if metric else None
    value = last["value"] if last else None
    objective = float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    return str(state.get("status") or ""), state.get("tuning_job") or state.get("endpoint"), objective


def _upgraded(kind: str, state: dict[str, Any]) -> State:
    """A state in the current form.

    Until version 2, an endpoint's state had the members of `Serving` at top level; until version 3, it had one
    production variant, whose members were those of `Serving`.
    """
    if kind != ENDPOINT:
        return cast("State", state)
    if "container" in state:
        moved = {"config": "config", "variant_request": "variant", "model": "model", "container": "container"}
        kept = {member: value for member, value in state.items() if member not in (*moved, "variant")}
        for place, old in (("serving", state), ("previous", state.get("previous"))):
            if old:
                kept[place] = {new: old.get(member) for member, new in moved.items()}
        state = kept
    for place in ("serving", "previous"):
        if "variant" in (state.get(place) or {}):
            one = {member: state[place].pop(member) for member in ("variant", "model", "container")}
            state[place]["variants"] = [one]
    deployment, server = state.pop("deployment", None), state.pop("server", None)
    if deployment:
        state["deployments"] = {deployment["variant"]: deployment}
    if server:
        state["servers"] = {(deployment or state["serving"]["variants"][0]["variant"])["variant"]: server}
    return cast("State", state)


def _make_root(root: Path) -> None:
    """Create the folder for its owner only; an existing folder that is not empty keeps its mode."""
    try:
        root.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not root.is_dir():
            raise NotADirectoryError(f"{root} is a file, not a folder") from None
        if root.stat().st_uid == os.getuid() and not any(root.iterdir()):
            root.chmod(0o700)
    for folder in (JOBS_FOLDER, TRANSFORM_FOLDER, ENDPOINTS_FOLDER, BUCKET_FOLDER):
        (root / folder).mkdir(mode=0o700, exist_ok=True)


def _unusable(path: Path, error: Exception) -> StoreError:
    return StoreError(
        f"Local SageMaker can't use its state file {path}: {error}. "
        "Check that you own the folder, that it is writable, and that its disk has free space."
    )
