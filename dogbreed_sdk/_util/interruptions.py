"""Interruptions of work that must not end halfway: Ctrl-C, and the signals that end a process (SIGTERM, SIGHUP)."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, ClassVar

_ENDING = (signal.SIGTERM, signal.SIGHUP)
# What `signal.getsignal` returns, and `signal.signal` takes.
_Handler = Any


class Terminated(SystemExit):
    """SIGTERM or SIGHUP, raised within a block that has something to clean up.

    Attributes:
        code: The exit status that a shell expects: 128 plus the signal's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class EndsByException:
    """Within the block, SIGTERM and SIGHUP raise `Terminated`, so that every ``with`` around it is left in order.

    By default, both signals end a Python process at once, and no clean-up runs. A handler that the program has set
    stays as it is, and an ignored signal stays ignored. Blocks may overlap. Only the main thread receives signals;
    elsewhere the block changes nothing.
    """

    _open: ClassVar[int] = 0
    _replaced: ClassVar[dict[int, _Handler]] = {}

    def __enter__(self) -> None:
        self._counted = threading.current_thread() is threading.main_thread()
        if not self._counted:
            return
        if EndsByException._open == 0:
            for number in _ENDING:
                if signal.getsignal(number) is signal.SIG_DFL:
                    EndsByException._replaced[number] = signal.signal(number, _terminate)
        EndsByException._open += 1

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._counted:
            return
        EndsByException._open -= 1
        if EndsByException._open == 0:
            _restore(EndsByException._replaced)


@contextmanager
def finished_first(report: Callable[[], object]) -> Iterator[None]:
    """Defers the first interruption within the block until its end; a second one ends the block.

    For clean-up: after an impatient second Ctrl-C, what costs money is still deleted, and who insists gets out.

    Args:
        report: Called at the first interruption: says that the work continues, and what another interruption does.

    Raises:
        KeyboardInterrupt: A second Ctrl-C, or the first one at the block's end.
        Terminated: Likewise for SIGTERM and SIGHUP.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []

    def handler(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        if len(arrived) == 1:
            report()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        else:
            _terminate(number, frame)

    replaced: dict[int, _Handler] = {
        number: signal.signal(number, handler)
        for number in (signal.SIGINT, *_ENDING)
        if signal.getsignal(number) not in (signal.SIG_IGN, None)
    }
    try:
        yield
    finally:
        _restore(replaced)
    if len(arrived) == 1 and not isinstance(sys.exc_info()[1], (KeyboardInterrupt, SystemExit)):
        # Nothing else ends the program, so the deferred interruption takes effect now.
        signal.raise_signal(arrived[0])


def _terminate(number: int, _frame: FrameType | None) -> None:
    raise Terminated(number)


def _restore(replaced: dict[int, _Handler]) -> None:
    while replaced:
        number, handler = replaced.popitem()
        signal.signal(number, handler)
