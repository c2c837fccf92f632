"""Listings in pages, whatever the keys, prefix, delimiter and size of a page: every entry once, in order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dogbreed_sdk.local.api.s3.context import S3Context
from dogbreed_sdk.local.api.s3.listing import OPERATIONS
from dogbreed_sdk.local.s3.objects import Objects

KEYS = st.sets(st.text("ab/-\U0010ffff", min_size=1, max_size=5), max_size=12)


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Context]:
    objects = Objects(tmp_path_factory.mktemp("listing"))
    objects.make_bucket("dogs", "us-east-1")
    yield S3Context(objects, "us-east-1", "")
    objects.close()


def fill(objects: Objects, keys: set[str]) -> None:
    for item in objects.index.objects("dogs"):
        if item.key not in keys:
            objects.delete("dogs", item.key)
    for key in keys:
        with objects.receiving() as content:
            objects.put("dogs", key, content, {})


def expected(keys: set[str], prefix: str, delimiter: str) -> list[str]:
    found = set()
    for key in keys:
        if key.startswith(prefix):
            end = key.find(delimiter, len(prefix)) if delimiter else -1
            found.add(key if end < 0 else key[: end + len(delimiter)])
    return sorted(found, key=str.encode)


def pages(context: S3Context, operation: str, **asked: Any) -> Iterator[list[str]]:
    following: dict[str, str] = {}
    while True:
        answer = OPERATIONS[operation](context, {"Bucket": "dogs", **asked, **following}).members
        entries = [item["Key"] for item in answer["Contents"]] + [item["Prefix"] for item in answer["CommonPrefixes"]]
        yield entries
        if not answer["IsTruncated"]:
            return
        if operation == "ListObjectsV2":
            following = {"ContinuationToken": answer["NextContinuationToken"]}
        else:
            following = {"Marker": answer["NextMarker"] or entries[-1]}


@pytest.mark.parametrize("operation", ["ListObjectsV2", "ListObjects"])
@given(
    keys=KEYS,
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "-", "a/"]),
    size=st.integers(1, 4),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_entry_is_on_one_page(
    context: S3Context, operation: str, keys: set[str], prefix: str, delimiter: str, size: int
) -> None:
    fill(context.objects, keys)
    found = list(pages(context, operation, Prefix=prefix, Delimiter=delimiter, MaxKeys=size))
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    flat = [entry for page in found for entry in sorted(page, key=str.encode)]
    assert flat == expected(keys, prefix, delimiter)


def test_every_key_has_a_file_of_its_own(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    objects.make_bucket("dogs", "us-east-1")
    keys = ["a", "a/b", "a/b/c", "a/", "/", "..", "../x", ".", "a//b", "x" * 256, "x" * 255, "nul\0", ".index.db"]
    fill(objects, set(keys))
    paths = {str(objects.index.object("dogs", key).path) for key in keys}  # type: ignore[union-attr]
    assert len(paths) == len(keys)
    assert all((objects.folder / path).resolve().is_relative_to(objects.folder.resolve()) for path in paths)
    fill(objects, set())
    assert [path.name for path in (objects.folder / "dogs").iterdir()] == []
    assert list((objects.folder / ".other-keys").rglob("*")) == []
    objects.close()
