"""Runs entry points in forks of one process that has imported PyTorch, which takes longer than most of their runs.

As a program (`python forked_entry_points.py`), it is that process: each line on its standard input is a JSON document
of a run (the script, its arguments, its environment, and the files of its output), each line on its standard output
the exit status of one. The scripts' own modules are imported anew in each run.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

_PRELOADED = ("numpy", "PIL.Image", "torch")


def run_forked(command: list[str], environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs `command`, which is this Python's with options and a script, to its end.

    Args:
        command: From `small_datasets.command`.
        environ: The whole environment; OMP_NUM_THREADS must be 1, as PyTorch reads it when it is imported.
    """
    assert environ["OMP_NUM_THREADS"] == "1"
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        request = {"arguments": command[2:], "environ": environ, "outputs": [str(out), str(err)]}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        status = int(server.stdout.readline())
        return subprocess.CompletedProcess(command, status, out.read_text("utf-8"), err.read_text("utf-8"))


@cache
def _server() -> subprocess.Popen[str]:
    server = subprocess.Popen(
        [sys.executable, "-u", __file__],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(server.communicate)  # closes its input, which ends it
    return server


def _serve() -> dict[str, Any]:
    """Forks for each request; returns the request in the fork, and ends the process itself."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            request: dict[str, Any] = json.loads(line)
            return request
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    sys.exit()


def _become(request: dict[str, Any]) -> str:
    """Makes this process what a new one with the request's script would be; returns the script's path."""
    paths = (os.devnull, *request["outputs"])
    for number, (path, mode) in enumerate(zip(paths, (os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT] * 2), strict=True)):
        opened = os.open(path, mode)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(request["environ"])
    script, *_ = sys.argv[:] = request["arguments"]
    sys.path[0] = str(Path(script).parent)
    sys.path[1:1] = request["environ"]["PYTHONPATH"].split(os.pathsep)
    return str(script)


if __name__ == "__main__":
    for name in _PRELOADED:
        importlib.import_module(name)
    runpy.run_path(_become(_serve()), run_name="__main__")
