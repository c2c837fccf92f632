"""The store: one file for threads and processes, nothing lost, clear errors."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.local.store import (
    ENDPOINT,
    MODEL,
    TRAINING_JOB,
    TUNING_JOB,
    AlreadyExists,
    Filters,
    NotFound,
    SortKey,
    Store,
    StoreError,
    Summary,
    resource_arn,
)

COUNT_UP = """
import sys
from pathlib import Path
from dogbreed_sdk.local import Store

store = Store(Path(sys.argv[1]))
for _ in range(50):
    store.update("model", "counter", lambda state: state.update(n=state["n"] + 1))
store.close()
"""


def increment(state: dict[str, Any]) -> None:
    state["n"] += 1


def test_a_record_comes_back_as_it_was_created(store: Store) -> None:
    created = store.create(TRAINING_JOB, "Dogs-1", {"RoleArn": "r"}, {"status": "InProgress"}, region="eu-west-1")
    assert store.get(TRAINING_JOB, "Dogs-1") == created
    assert created.arn == "arn:aws:sagemaker:eu-west-1:000000000000:training-job/dogs-1"
    assert created.region == "eu-west-1"
    assert store.find_arn(created.arn) == created


def test_names_are_unique_within_a_kind_whatever_their_case(store: Store) -> None:
    store.create(MODEL, "Dogs", {}, {})
    store.create(ENDPOINT, "Dogs", {}, {})
    with pytest.raises(AlreadyExists, match="dOGS"):
        store.create(MODEL, "dOGS", {}, {})
    with pytest.raises(NotFound):
        store.get(MODEL, "dogs")


def test_a_list_is_in_order_of_creation(store: Store) -> None:
    for name in ("b", "a", "c"):
        store.create(TUNING_JOB, name, {}, {})
    assert [record.name for record in store.list(TUNING_JOB)] == ["b", "a", "c"]


def test_a_change_that_raises_changes_nothing(store: Store) -> None:
    store.create(MODEL, "m", {}, {"n": 1})

    def fail(state: dict[str, Any]) -> None:
        state["n"] = 2
        raise OSError("in the middle")

    with pytest.raises(OSError, match="in the middle"):
        store.update(MODEL, "m", fail)
    assert store.get(MODEL, "m").state == {"n": 1}


def test_a_change_that_changes_nothing_leaves_the_time_of_change(store: Store) -> None:
    before = store.create(MODEL, "m", {}, {"n": 1})
    assert store.update(MODEL, "m", dict.copy).modified == before.modified
    assert store.update(MODEL, "m", increment).modified > before.modified


def test_a_transaction_happens_as_a_whole_or_not_at_all(store: Store) -> None:
    with pytest.raises(NotFound), store.transaction():
        store.create(MODEL, "a", {}, {})
        assert store.get(MODEL, "a").name == "a"
        store.delete(MODEL, "missing")
    with pytest.raises(NotFound):
        store.get(MODEL, "a")


def test_no_change_is_lost_between_threads_and_processes(root: Path, store: Store) -> None:
    store.create(MODEL, "counter", {}, {"n": 0})
    processes = [subprocess.Popen([sys.executable, "-c", COUNT_UP, str(root)]) for _ in range(2)]

    def count() -> None:
        for _ in range(50):
            store.update(MODEL, "counter", increment)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert store.get(MODEL, "counter").state == {"n": 300}


def test_several_processes_may_open_a_new_folder_at_once(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from dogbreed_sdk.local import Store; Store(Path(sys.argv[1])).close()"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(root)]) for _ in range(6)]
    assert [process.wait(60) for process in processes] == [0] * 6


def test_a_deleted_record_takes_its_tags_along(store: Store) -> None:
    record = store.create(MODEL, "m", {}, {})
    store.set_tags(record.arn, {"team": "dogs", "cost": "1"})
    store.set_tags(record.arn, {"cost": "2"})
    store.remove_tags(record.arn, ["team", "never-there"])
    assert store.tags(record.arn) == {"cost": "2"}
    store.delete(MODEL, "m")
    store.create(MODEL, "m", {}, {})
    assert store.tags(resource_arn(MODEL, "m")) == {}


def test_a_deleted_tuning_job_leaves_its_training_jobs_to_no_search_of_its_name(store: Store) -> None:
    store.create(TUNING_JOB, "search", {}, {})
    store.create(TRAINING_JOB, "search-001", {}, {"tuning_job": "search"})
    assert store.names(TRAINING_JOB, Filters(parent="search")) == ["search-001"]
    store.delete(TUNING_JOB, "search")
    store.create(TUNING_JOB, "search", {}, {})
    assert store.names(TRAINING_JOB, Filters(parent="search")) == []
    assert store.names(TRAINING_JOB, Filters()) == ["search-001"]


def test_the_folder_is_for_its_owner_alone(root: Path, store: Store) -> None:
    assert stat.S_IMODE(root.stat().st_mode) == 0o700
    assert {folder.name for folder in root.iterdir() if folder.is_dir()} == {
        "bucket",
        "endpoints",
        "jobs",
        "transform-jobs",
    }


def test_a_folder_with_other_things_in_it_keeps_its_mode(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "notes.txt").write_text("mine")
    Store(shared).close()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert stat.S_IMODE((shared / "jobs").stat().st_mode) == 0o700


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("")
    with pytest.raises(StoreError, match="is a file, not a folder"):
        Store(tmp_path / "root")


def described_plan(store: Store, list_some: Callable[[], object]) -> str:
    """How SQLite carries out the query of a call."""
    queries: list[str] = []
    with store._database.reading() as connection:
        pass  # the next call takes this connection again
    connection.set_trace_callback(queries.append)
    list_some()
    connection.set_trace_callback(None)
    (query,) = queries
    return "; ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}"))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize(
    ("sort_by", "filters"),
    [
        ("name", Filters()),
        ("created", Filters()),
        ("status", Filters()),
        ("created", Filters(status="Failed")),
        ("status", Filters(status="Failed")),
        ("created", Filters(created=(1.0, 2.0))),
        ("created", Filters(name_contains="dogs", modified=(1.0, None))),
        ("name", Filters(parent="search")),
        ("created", Filters(parent="search")),
        ("status", Filters(parent="search", status="Failed")),
        ("objective", Filters(parent="search", measured=True)),
        ("objective", Filters(parent="search", measured=True, status="Completed")),
    ],
)
def test_a_page_is_read_in_the_order_of_an_index(
    store: Store, sort_by: SortKey, filters: Filters, descending: bool
) -> None:
    value: float | str = 0.5 if sort_by in ("created", "objective") else "m"
    for after in (None, (value, 1.0, "dogs-1")):
        plan = described_plan(
            store,
            partial(store.page, TRAINING_JOB, filters, sort_by=sort_by, descending=descending, after=after, limit=11),
        )
        # Otherwise SQLite sorts all records, or looks at each, for every page.
        assert re.fullmatch(r"SEARCH records USING (COVERING )?INDEX \w+ \(kind=\?.*\)", plan), plan
        assert ("parent=?" in plan) == (filters.parent is not None)


def test_counts_and_the_newest_names_need_an_index_alone(store: Store) -> None:
    for call in (
        partial(store.newest, TRAINING_JOB, 100),
        partial(store.count, TRAINING_JOB),
        partial(store.names, TRAINING_JOB, Filters(status="InProgress")),
        partial(store.names, TRAINING_JOB, Filters(status="InProgress", parent="search")),
    ):
        assert described_plan(store, call).startswith("SEARCH records USING COVERING INDEX")
    plan = described_plan(store, partial(store.statuses, TRAINING_JOB, "search"))
    assert plan.startswith("SEARCH records USING COVERING INDEX children_by_status (kind=? AND parent=?)")


def test_trials_are_sorted_and_counted_by_their_objective(store: Store) -> None:
    request = {"HyperParameters": {"_tuning_objective_metric": "loss", "lr": "1"}}
    for name, value in (("a", 2.0), ("b", None), ("c", float("nan")), ("d", 0.5)):
        metrics = {} if value is None else {"loss": {"value": value, "time": 1.0}, "other": {"value": 9.0, "time": 1.0}}
        store.create(TRAINING_JOB, name, request, {"status": "InProgress", "tuning_job": "search"})
        store.update(TRAINING_JOB, name, lambda state, found=metrics: state.update(metrics=found, status="Completed"))
    store.create(TRAINING_JOB, "e", request, {"status": "Failed", "tuning_job": "search"})
    store.create(TRAINING_JOB, "f", request, {"status": "Failed", "tuning_job": "another"})
    found = store.page(TRAINING_JOB, Filters(parent="search", measured=True), sort_by="objective", descending=True)
    assert [(record.name, record.objective) for record in found] == [("a", 2.0), ("d", 0.5)]
    assert store.statuses(TRAINING_JOB, "search") == {
        ("Completed", True): 2,
        ("Completed", False): 2,
        ("Failed", False): 1,
    }
    assert store.count(TRAINING_JOB) == 6
    assert store.newest(TRAINING_JOB, 2) == [
        Summary(name, "Failed", store.get(TRAINING_JOB, name).created) for name in ("f", "e")
    ]


def test_a_database_of_version_4_gets_its_columns_and_indexes(root: Path) -> None:
    store = Store(root)
    request = {"HyperParameters": {"_tuning_objective_metric": "loss"}}
    state = {"status": "Completed", "tuning_job": "search", "metrics": {"loss": {"value": 0.25, "time": 1.0}}}
    with store.transaction():
        for number in range(1100):  # more than are upgraded at a time
            store.create(TRAINING_JOB, f"dogs-{number}", request, state)
    store.close()
    with sqlite3.connect(root / "sagemaker.db") as connection:
        indexes = connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'children%'").fetchall()
        for (name,) in indexes:
            connection.execute(f"DROP INDEX {name}")
        connection.execute("CREATE INDEX records_by_parent ON records (kind, parent, created, name)")
        connection.execute("ALTER TABLE records DROP COLUMN objective")
        connection.execute("PRAGMA user_version = 4")
    connection.close()
    upgraded = Store(root)
    with upgraded._database.reading() as connection:
        after = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()
        assert connection.execute("SELECT DISTINCT objective, parent FROM records").fetchall() == [(0.25, "search")]
    assert {*indexes} <= {*after}
    assert ("records_by_parent",) not in after
    assert len(upgraded.page(TRAINING_JOB, Filters(parent="search", measured=True), sort_by="objective")) == 1100
    upgraded.close()


def test_a_foreign_file_in_the_place_of_the_database_is_named(root: Path) -> None:
    root.mkdir()
    (root / "sagemaker.db").write_bytes(b"this is no database, only some text that is long enough to look at" * 20)
    with pytest.raises(ConfigurationError, match=r"sagemaker\.db"):
        Store(root)


def test_a_database_of_a_newer_version_is_left_alone(root: Path) -> None:
    Store(root).close()
    with sqlite3.connect(root / "sagemaker.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StoreError, match="newer dogbreed-sdk"):
        Store(root)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(StoreError, match="writable"):
        Store(tmp_path / "closed" / "root")


def test_the_store_alone_loads_neither_botocore_nor_a_web_framework() -> None:
    code = "import sys, dogbreed_sdk.local.store; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert not {"boto3", "botocore", "starlette", "uvicorn", "psutil"} & set(loaded)
