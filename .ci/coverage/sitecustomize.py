"""Measures what a Python process runs, where this folder is on PYTHONPATH: `nox -s coverage` puts it there.

Python imports this module when it starts. Jobs and models inherit PYTHONPATH but not coverage's own variables, so these
are set here, with paths that hold wherever a process works.
"""

import os
from pathlib import Path

import coverage

_ROOT = Path(__file__).parents[2]
os.environ["COVERAGE_PROCESS_START"] = str(_ROOT / "pyproject.toml")
os.environ["COVERAGE_FILE"] = str(_ROOT / ".coverage")
coverage.process_startup()
