"""axe-core in the browser of `tests.browser`: the accessibility rules that a page violates."""

from __future__ import annotations

import functools
import os
from importlib import resources
from pathlib import Path

from tests.browser import Page

# The path of the axe.min.js of another version, to try a page with that.
VARIABLE = "DOGBREED_TEST_AXE"

_RUN = """
axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.flatMap((rule) =>
  rule.nodes.map((node) => `${rule.id} at ${node.target.join(" ")}: ${rule.help}; ${node.failureSummary}`)))
"""


def violations(page: Page) -> list[str]:
    """One line per element that violates a rule of axe-core, best practices included; empty for a page without any.

    The page is judged as it stands: its size, its scheme, and what is open. DevTools puts the script in, so that the
    page's policy need not allow it.

    >>> assert violations(page) == []  # doctest: +SKIP
    """
    if not page.value("'axe' in window"):
        page.value(_script() + "; true")
    found: list[str] = page.value(_RUN)
    return [" ".join(line.split()) for line in found]


@functools.cache
def _script() -> str:
    other = os.environ.get(VARIABLE)
    if other:
        return Path(other).read_text("utf-8")
    return resources.files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
