"""The troubleshooting page: an entry for every class of errors, and messages that the code really raises."""

from __future__ import annotations

import importlib
import re

import pytest

from dogbreed_sdk import errors
from tests.docs.documents import DOCS

PAGE = (DOCS / "guides" / "troubleshooting.md").read_text(encoding="utf-8")
ENTRIES = dict(re.findall(r"\n### (\w+)\n(.*?)(?=\n##)", f"{PAGE}\n##", re.DOTALL))

pytestmark = pytest.mark.extras


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_class_has_its_entry(name: str) -> None:
    assert ENTRIES[name].strip()
    assert f"[`{name}`](#{name.lower()})" in PAGE


def test_messages_in_the_documentation_are_those_of_the_code() -> None:
    known = importlib.import_module("_generate.failures").messages_of()
    quoted = [
        (name, line)
        for name, text in ENTRIES.items()
        for block in re.findall(r"```text\n(.*?)```", text, re.DOTALL)
        for line in block.splitlines()
    ]
    assert len(quoted) > len(errors.__all__)
    assert [line for name, line in quoted if not any(_raises(one, line) for one in known[name])] == []


def test_no_message_that_the_code_raises_is_missing() -> None:
    listed = (DOCS / "reference" / "messages.md").read_text(encoding="utf-8")
    assert "\n- No training, tuning or transform job named … exists in …. 'dogbreed jobs' lists the jobs.\n" in listed
    found = {name: section.count("\n- ") for name, section in re.findall(r"## (\w+)\n((?:\n?- .*)+)", listed)}
    raised = importlib.import_module("_generate.failures").messages_of()
    assert found == {name: len(messages) for name, messages in raised.items() if messages}


def _raises(message: str, line: str) -> bool:
    """Whether a line is the beginning of a message, with something filled in for its ellipses."""
    return re.fullmatch(".*".join(map(re.escape, message.splitlines()[0].split("…"))), line) is not None
