"""An endpoint that takes its time, for the tests of clients that ask many things at once."""

from __future__ import annotations

import threading
import time

from dogbreed_sdk.client.transports import Response
from dogbreed_sdk.testing import FakeEndpoint, picture
from tests.waiting import wait_for

BREEDS = ["001.Pug", "002.Boxer", "003.Basenji"]
PICTURES = [picture(number) for number in range(20)]


class SlowEndpoint(FakeEndpoint):
    """Says of each of `PICTURES` that it is of the class with the remainder of its number by three.

    Args:
        seconds: What an answer takes.
        first: What the first picture's takes.
        others: So many requests must have been answered before the first picture is.
        together: So many must have been under way at once before any is answered.

    Attributes:
        most: The most that was under way at once.
    """

    def __init__(self, seconds: float = 0.001, *, first: float = 0.0, others: int = 0, together: int = 1) -> None:
        super().__init__(BREEDS, answer=lambda body: BREEDS[PICTURES.index(body) % 3])
        self.seconds, self.first, self.others, self.together = seconds, first, others, together
        self.under_way = self.most = 0
        self.counting = threading.Lock()

    def invoke(self, body: bytes, content_type: str, accept: str, **timeouts: float) -> Response:  # type: ignore[override]
        with self.counting:
            self.under_way += 1
            self.most = max(self.most, self.under_way)
        wait_for(lambda: self.most >= self.together)
        if body == PICTURES[0]:
            wait_for(lambda: len(self.requests) >= self.others)
        time.sleep(self.first if body == PICTURES[0] else self.seconds)
        with self.counting:
            self.under_way -= 1
        return super().invoke(body, content_type, accept, connect_timeout=1.0, read_timeout=1.0)
