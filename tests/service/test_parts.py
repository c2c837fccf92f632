"""The parts that need no server: forms taken apart, places handed on, the answer about readiness."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from dogbreed_sdk.errors import EndpointTimeoutError
from dogbreed_sdk.service import readiness as readiness_module
from dogbreed_sdk.service.admission import Admission, Overloaded
from dogbreed_sdk.service.multipart import MultipartError, Part, parse
from dogbreed_sdk.service.readiness import Readiness, probe
from dogbreed_sdk.testing import FakeEndpoint
from tests.service.running import BREEDS, Gate
from tests.waiting import least_cpu_seconds

FORM = "multipart/form-data; boundary=b"
NAMED = b'Content-Disposition: form-data; name="x"'


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=200)), min_size=1, max_size=6))
def test_what_requests_packs_is_taken_apart_again(parts: list[tuple[bool, bytes]]) -> None:
    files = [("x", ("name.jpg" if is_file else None, content)) for is_file, content in parts]
    prepared = requests.Request("POST", "http://x", files=files).prepare()
    assert isinstance(prepared.body, bytes)
    found = parse(prepared.body, prepared.headers["Content-Type"], most_parts=6)
    assert found == [Part("x", is_file, content) for is_file, content in parts]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not in the body"),
        (b"--b", "cut off"),
        (b"--b\r\n" + NAMED + b"\r\n\r\nxx", "cut off"),
        (b"--b\r\nxx\r\n--b--", "no headers"),
        (b"--b\r\nX: " + b"y" * 9000 + b"\r\n\r\nxx\r\n--b--", "no headers"),
        (b"--b\r\nX: y\r\n\r\nxx\r\n--b--", "Content-Disposition"),
        (b'--b\r\nContent-Disposition: attachment; name="x"\r\n\r\nxx\r\n--b--', "Content-Disposition"),
        ((b"--b\r\n" + NAMED + b"\r\n\r\nxx\r\n") * 4 + b"--b--", "more than 3"),
    ],
)
def test_forms_that_are_none_are_refused(body: bytes, says: str) -> None:
    with pytest.raises(MultipartError, match=says):
        parse(body, FORM, most_parts=3)


@pytest.mark.parametrize(
    "value", ["multipart/form-data", "multipart/form-data; boundary=", f"a/b; boundary={'x' * 71}"]
)
def test_boundaries_that_are_none_are_refused(value: str) -> None:
    with pytest.raises(MultipartError, match="names no boundary"):
        parse(b"--b--", value, most_parts=3)


@pytest.mark.parametrize("filler", [";", '";', ';a="', '\\";', " ;"])
def test_headers_of_any_length_take_no_time(filler: str) -> None:
    header = 'multipart/form-data; boundary="' + filler * (60_000 // len(filler))
    part = b'--b\r\nContent-Disposition: form-data; name="x"; filename="' + filler.encode() * 900 + b'"\r\n\r\nxx\r\n'

    def read_both() -> None:
        with pytest.raises(MultipartError):
            parse(b"--b--", header, most_parts=3)
        assert len(parse(part * 36 + b"--b--", FORM, most_parts=36)) == 36

    assert least_cpu_seconds(read_both) < 0.2, "in quadratic time it is seconds"


@pytest.mark.parametrize(
    ("disposition", "part"),
    [
        ('form-data; name="a;b"', Part("a;b", False, b"xx")),
        ('form-data; name="say \\"hi\\""', Part('say "hi"', False, b"xx")),
        ("form-data; filename=rex.jpg; name=file", Part("file", True, b"xx")),
        ("Form-Data;Name=x;FileName*=UTF-8''%C3%BC.jpg", Part("x", True, b"xx")),
        ('form-data; name="first"; name="second"; filename=""', Part("first", True, b"xx")),
    ],
)
def test_dispositions_are_read_as_clients_write_them(disposition: str, part: Part) -> None:
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\nxx\r\n--b--".encode()
    assert parse(body, FORM, most_parts=1) == [part]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_places_are_handed_on_in_the_order_of_asking() -> None:
    async def test() -> None:
        admission, order = Admission(slots=1, queue=9, buffer=1), []

        async def take(number: int) -> None:
            async with admission.slot():
                order.append(number)
                await asyncio.sleep(0)

        await asyncio.gather(*(take(number) for number in range(5)))
        assert order == [0, 1, 2, 3, 4]
        assert (admission.active, admission.waiting) == (0, 0)

    run(test)


@pytest.mark.parametrize("leaves", [0, 1, 2, 3])
def test_whoever_leaves_takes_no_place_along(leaves: int) -> None:
    """One inside and two in the queue; whoever is cancelled, and in whichever order, all places come back."""

    async def test() -> None:
        admission, release = Admission(slots=1, queue=9, buffer=1), asyncio.Event()

        async def take() -> None:
            async with admission.slot():
                await release.wait()

        tasks = [asyncio.create_task(take()) for _ in range(3)]
        await settle()
        assert (admission.active, admission.waiting) == (1, 2)
        if leaves < 3:
            tasks[leaves].cancel()
        else:
            # The place is handed to the second in the very moment in which it is cancelled.
            tasks[0].cancel()
            await asyncio.sleep(0)
            tasks[1].cancel()
        await settle()
        release.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert (admission.active, admission.waiting) == (0, 0)

    run(test)


def test_bytes_are_counted_and_given_back() -> None:
    admission = Admission(slots=1, queue=1, buffer=100)
    admission.hold(60)
    with pytest.raises(Overloaded):
        admission.hold(41)
    admission.hold(40)
    admission.hold(-100)
    assert admission.held_bytes == 0


def test_retry_after_grows_with_the_queue_and_with_slow_answers() -> None:
    async def test() -> None:
        admission = Admission(slots=2, queue=100, buffer=1)
        assert admission.retry_after == 1
        admission._seconds = 4.0
        assert admission.retry_after == 2
        admission._waiters.extend(asyncio.get_running_loop().create_future() for _ in range(4))
        assert admission.retry_after == 10
        admission._seconds = 60.0
        assert admission.retry_after == 30

    run(test)


def test_many_probes_at_once_ask_once() -> None:
    async def test() -> None:
        asked = 0

        async def ask() -> None:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0.01)
            raise EndpointTimeoutError("slow")

        readiness = Readiness(ask, good_for=60.0)
        problems = await asyncio.gather(*(readiness.problem() for _ in range(10)))
        assert {problem.detail for problem in problems if problem} == {"The endpoint did not respond in time."}
        assert asked == 1

    run(test)


def test_a_probe_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness_module, "_PROBE_SECONDS", 0.05)
    gate = Gate()

    async def test() -> None:
        async with FakeEndpoint(BREEDS, answer=gate).async_classifier() as classifier:
            problem = await Readiness(lambda: probe(classifier), good_for=1.0).problem()
            gate.open.set()
        assert problem is not None
        assert (problem.status, problem.detail) == (503, "The endpoint did not respond in time.")

    run(test)


def test_settings_keys_and_page_load_no_web_framework() -> None:
    code = (
        "import sys\nfrom dogbreed_sdk.service import ApiKeys, Rate, ServiceSettings, page\n"
        "print(sorted({'fastapi', 'starlette', 'uvicorn', 'pydantic', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
