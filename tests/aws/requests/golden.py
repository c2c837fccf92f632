"""Golden files: every request as it is meant to be sent, so that no change of one goes unnoticed.

A test builds a request through the public API and calls `check_golden`. If the request changed on purpose, run
`python -m tests.aws.requests.golden`, which writes all golden files anew; read their diff before you commit it.

What is different in each run (names, times, digests) is fixed by the test: pass names, use the fixtures of `conftest`.
"""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dogbreed_sdk.local.api.validation import operation_model, problems

FOLDER = Path(__file__).with_name("golden")
# Not a variable of the project: the tests' fixtures remove those.
_ACCEPT_VARIABLE = "ACCEPT_GOLDEN_FILES"


def check_golden(name: str, operation: str, request: Mapping[str, Any], *, service: str = "sagemaker") -> None:
    """Checks that a request is valid by botocore's model, and the same as in its golden file.

    Args:
        name: Name of the golden file, without suffix; it must be written out in the test, so that it can be found.
        operation: The API operation, for example ``CreateTrainingJob``.
        request: The request as the service receives it.
        service: The service as botocore names it.

    Raises:
        AssertionError: The request is invalid, or differs; the message has the difference and how to accept it.
    """
    shape = operation_model(service, operation).input_shape
    assert shape is not None
    found = list(problems(shape, request))
    assert not found, f"{operation} would be refused: {'; '.join(found)}"
    path = FOLDER / f"{name}.json"
    document = {"service": service, "operation": operation, "request": request}
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    if os.environ.get(_ACCEPT_VARIABLE):
        path.write_text(text, encoding="utf-8")
        return
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    if text == before:
        return
    difference = "".join(
        difflib.unified_diff(
            before.splitlines(keepends=True), text.splitlines(keepends=True), f"golden/{path.name}", "this request"
        )
    )
    raise AssertionError(
        f"The request {name} ({operation}) is not as its golden file says:\n{difference}\n"
        "If that is meant, run `python -m tests.aws.requests.golden` and commit the changed files."
    )


def main() -> int:
    """Writes all golden files anew by running the tests that check them; files that no test checks are removed."""
    for path in FOLDER.glob("*.json"):
        path.unlink()
    command = [sys.executable, "-m", "pytest", "-q", "-n0", str(FOLDER.parent)]
    return subprocess.run(command, env={**os.environ, _ACCEPT_VARIABLE: "1"}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
