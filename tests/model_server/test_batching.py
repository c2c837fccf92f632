"""Micro-batches: who is answered with whom, and what stays apart."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.model_server.batching import MAXIMUM_BATCH, MAXIMUM_READ, BatchingRunner, SequentialRunner, runner_for
from dogbreed_sdk.model_server.context import RequestContext
from dogbreed_sdk.model_server.handlers import ModelHandlers, ModelRequest
from tests.waiting import wait_for


class Model:
    """Notes what it is asked, and answers when it is let; its answer to a request is the request."""

    def __init__(self) -> None:
        self.read: list[str] = []
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.working = threading.Event()

    def handlers(self, predict: Callable[[list[str]], Sequence[Any]] = list) -> ModelHandlers:
        def input_fn(body: bytes, _type: str, _context: object) -> str:
            self.read.append(body.decode())
            if body == b"unreadable":
                raise ValueError("no picture")
            return body.decode()

        def predict_batch_fn(batch: list[str], _model: object) -> Sequence[Any]:
            self.batches.append(batch)
            self.working.set()
            assert self.gate.wait(60)
            return predict(batch)

        return ModelHandlers(
            model=self,
            input_fn=input_fn,
            prepare_fn=lambda data, _model, _context: data,
            predict_fn=lambda data, _model, _context: data,
            output_fn=lambda prediction, _accept, _context: prediction,
            predict_batch_fn=predict_batch_fn,
        )


def request(body: str) -> ModelRequest:
    return ModelRequest(body.encode(), "text/plain", "text/plain", RequestContext(Path()))


async def while_busy(
    model: Model, batches: BatchingRunner, bodies: Sequence[str]
) -> tuple[asyncio.Task[Any], list[Any]]:
    """The model works on "first"; then these requests come, and as many as there is room for are read."""
    model.gate.clear()
    first = asyncio.create_task(batches.run(request("first")))
    await asyncio.to_thread(model.working.wait, 60)
    others = [asyncio.create_task(batches.run(request(body))) for body in bodies]
    readable = sum(body != "unreadable" for body in bodies)
    while batches._ready.qsize() < min(readable, MAXIMUM_READ - 1):
        await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    return first, others


def test_what_waits_for_the_model_is_answered_together_and_nobody_waits_for_more_to_come() -> None:
    async def scene() -> None:
        model = Model()
        batches = BatchingRunner(model.handlers(), readers=2)
        first, others = await while_busy(model, batches, [f"{number}" for number in range(10)])
        model.gate.set()
        answers = await asyncio.gather(first, *others)
        assert [answer.body for answer in answers] == [b"first", *(b"%d" % number for number in range(10))]
        assert [len(batch) for batch in model.batches] == [1, MAXIMUM_BATCH, 2]

    asyncio.run(scene())


def test_only_so_much_is_read_ahead_of_the_model() -> None:
    async def scene() -> None:
        model = Model()
        batches = BatchingRunner(model.handlers(), readers=2)
        first, others = await while_busy(model, batches, ["x"] * 60)
        assert len(model.read) == MAXIMUM_READ
        model.gate.set()
        assert len(await asyncio.gather(first, *others)) == 61

    asyncio.run(scene())


@pytest.mark.parametrize("culprit", ["unreadable", "raises", "is an exception"])
def test_a_bad_request_fails_alone(culprit: str) -> None:
    def predict(batch: list[str]) -> list[Any]:
        if "raises" in batch:
            raise ValueError("no picture")
        return [ValueError("no picture") if data == "is an exception" else data for data in batch]

    async def scene() -> None:
        model = Model()
        batches = BatchingRunner(model.handlers(predict), readers=2)
        first, others = await while_busy(model, batches, ["good", culprit, "fine"])
        model.gate.set()
        answers = await asyncio.gather(first, *others, return_exceptions=True)
        assert str(answers.pop(2)) == "no picture"
        assert [answer.body for answer in answers] == [b"first", b"good", b"fine"]

    asyncio.run(scene())


def test_a_wrong_number_of_predictions_is_never_dealt_out() -> None:
    async def scene() -> None:
        batches = BatchingRunner(Model().handlers(lambda batch: [*batch, "one more"]), readers=1)
        with pytest.raises(RuntimeError, match="2 predictions for 1 request"):
            await batches.run(request("x"))

    asyncio.run(scene())


@pytest.mark.parametrize("error", [StopIteration("no more"), SystemExit(3)])
@pytest.mark.parametrize("place", ["input_fn", "predict_batch_fn", "predict_fn", "output_fn"])
def test_errors_that_would_end_a_thread_or_a_loop_end_their_request_only(error: BaseException, place: str) -> None:
    def fails(*_: object) -> Any:
        raise error

    async def scene() -> None:
        handlers = Model().handlers()
        functions = {place: fails, **({"predict_batch_fn": None} if place == "predict_fn" else {})}
        asked = runner_for(dataclasses.replace(handlers, **functions), cores=2)  # type: ignore[arg-type]
        for _ in range(2):  # whoever answered the first is still there
            with pytest.raises(RuntimeError, match=f"the model's code raised {type(error).__name__}: "):
                await asyncio.wait_for(asked.run(request("x")), 60)

    asyncio.run(scene())


def test_what_was_taken_back_is_not_computed() -> None:
    async def scene() -> None:
        model = Model()
        batches = BatchingRunner(model.handlers(), readers=2)
        first, others = await while_busy(model, batches, ["taken back", "kept"])
        others[0].cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert [answer.body for answer in await asyncio.gather(first, others[1])] == [b"first", b"kept"]
        assert model.batches == [["first"], ["kept"]]

    asyncio.run(scene())


def test_nothing_of_a_request_is_kept_until_the_next_one() -> None:
    class Data:
        pass

    kept: weakref.WeakSet[Data] = weakref.WeakSet()

    def input_fn(*_: object) -> Data:
        data = Data()
        kept.add(data)
        return data

    async def scene() -> None:
        functions = {"input_fn": input_fn, "predict_batch_fn": lambda batch, _model: ["answer" for _ in batch]}
        batches = BatchingRunner(dataclasses.replace(Model().handlers(), **functions), readers=1)  # type: ignore[arg-type]
        await batches.run(request("x"))
        await asyncio.to_thread(wait_for, lambda: not kept)

    asyncio.run(scene())


def test_of_code_without_batches_only_what_awss_toolkit_calls_is_called_and_in_one_thread() -> None:
    async def scene() -> None:
        threads = set()

        def note(*given: Any) -> Any:
            threads.add(threading.get_ident())
            return given[0]

        def not_ours(*_: Any) -> Any:
            raise AssertionError("AWS's toolkit would not call this")

        handlers = ModelHandlers(None, note, not_ours, note, note, None)
        one_by_one = runner_for(handlers, cores=4)
        assert isinstance(one_by_one, SequentialRunner)
        answers = await asyncio.gather(*(one_by_one.run(request(f"{number}")) for number in range(20)))
        assert [answer.body for answer in answers] == [b"%d" % number for number in range(20)]
        assert len(threads) == 1
        assert threading.get_ident() not in threads

    asyncio.run(scene())
