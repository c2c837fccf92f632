"""Describes a Python: imported for the one that runs, run as a file by another one, which prints JSON.

This file runs alone, on Python 3.9 or later.
"""

from __future__ import annotations

import json
import os
import site
import sys
import sysconfig


def facts() -> dict[str, object]:
    """What `scripts_python.ScriptsPython` holds, in JSON's types."""
    folders = site.getsitepackages()
    if site.ENABLE_USER_SITE:
        folders.insert(0, site.getusersitepackages())
    wheels = os.path.join(sysconfig.get_path("stdlib"), "ensurepip", "_bundled")  # noqa: PTH118 - quicker to import
    pip = [entry.path for entry in os.scandir(wheels) if entry.name.startswith("pip-")] if os.path.isdir(wheels) else []  # noqa: PTH112
    return {
        "version": list(sys.version_info[:3]),
        "base": getattr(sys, "_base_executable", sys.executable),
        "site_folders": [folder for folder in folders if os.path.isdir(folder)],  # noqa: PTH112
        # Without the program's own folder.
        "path": sys.path[1:],
        "pip_wheel": next(iter(pip), None),
    }


if __name__ == "__main__":
    print(json.dumps(facts()))
