"""Errors travel: to another process, where multiprocessing pickles them, and into copies."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable

import pytest

from dogbreed_sdk import errors

KINDS = [getattr(errors, name) for name in errors.__all__]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("copied", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_an_error_that_was_copied_says_the_same(
    kind: type[Exception], copied: Callable[[Exception], Exception]
) -> None:
    if kind is errors.JobFailedError:
        error: Exception = errors.JobFailedError("dogs", reason="AlgorithmError", cause="no pictures", fix="add some")
    else:
        error = kind("it failed", request_id="a-request-id")  # type: ignore[call-arg]
    found = copied(error)
    assert type(found) is kind
    assert str(found) == str(error)
    assert vars(found) == vars(error)
