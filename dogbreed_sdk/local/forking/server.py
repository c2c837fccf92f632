"""The fork server: imports what our scripts need, then forks a process for every script that it is asked for.

`python server.py SOCKET PIPE PADDING`: the descriptor of a socket, whose other end is held by everybody who may ask,
and that of the pipe of its own output, which it only keeps open. PADDING reserves room for scripts' command lines.
The server ends when nobody holds the socket any longer, or after a minute without a request.

A request is a message with two descriptors: a connection, and the pipe for the script's output. For each one, the
server forks a keeper, which talks to the asking supervisor over the connection, a JSON document per line:

    keeper      {"keeper": process id}
    supervisor  what to run, see `script`
    keeper      {"pid": process id}, or {"refused": why}
    supervisor  "end", once the script has ended
    keeper      {"status": exit status, negative for a signal}

The keeper is the script's parent. If the supervisor is killed, it gives the script time to save, then kills it; if the
keeper is killed, the kernel kills the script.

This file runs alone, on Python 3.9 or later, on Linux.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
from pathlib import Path
from typing import Any

# What our scripts import of other packages; those that are not installed are left out.
MODULES = (
    "numpy",
    "torch",
    "PIL.Image",
)  # fmt: skip
_IDLE_SECONDS = 60.0
_REAP_SECONDS = 10.0
# How long a script may take to save if its supervisor was killed, as with `processes.start_guard`.
_GRACE_SECONDS = 10.0
_LOOK_SECONDS = 0.1
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)


def main(arguments: list[str]) -> None:
    """Serve until nobody can ask any more."""
    if os.fork():
        os._exit(0)  # the server is nobody's child
    os.setsid()
    del sys.path[0]  # the folder of this file, whose modules are not meant to be found
    environment = dict(os.environ)
    # A shell's `&`, with which supervisors are started, makes both ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    asked = socket.socket(fileno=int(arguments[0]))
    script = _sibling("script.py")
    for name in MODULES:
        if importlib.util.find_spec(name.partition(".")[0]) is not None:
            importlib.import_module(name)
    settings = script.Settings(environment, _sibling("../launcher.py"))
    gc.collect()
    gc.freeze()  # otherwise collections in a fork would copy all pages of the server's objects
    _serve(asked, settings, script)
    os._exit(0)


def _sibling(path: str) -> Any:
    """A module of this package, which cannot be imported by its name here."""
    file = Path(__file__).parent / path
    spec = importlib.util.spec_from_file_location(f"_dogbreed_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    return module


def _serve(asked: socket.socket, settings: Any, script: Any) -> None:
    while select.select([asked], [], [], _IDLE_SECONDS)[0]:
        message, descriptors, _, _ = socket.recv_fds(asked, 1, 2)
        if not message:
            return
        # Threads do not survive a fork, and what they hold stays locked; without an answer, the script starts afresh.
        if len(descriptors) == 2 and _threads() == 1 and os.fork() == 0:
            asked.close()
            try:
                _keep(socket.socket(fileno=descriptors[0]), descriptors[1], settings, script)
            finally:
                os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        _reap(None)


def _threads() -> int:
    return sum(1 for _ in Path("/proc/self/task").iterdir())


def _keep(connection: socket.socket, output: int, settings: Any, script: Any) -> None:
    """Start a script, and wait with its supervisor for its end."""
    os.setsid()
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    lines = connection.makefile("r", encoding="utf-8")
    _send(connection, {"keeper": os.getpid()})
    line = lines.readline()
    if not line:
        return  # the supervisor did not wait
    request = json.loads(line)
    refused = settings.refusal(request)
    if refused:
        _send(connection, {"refused": refused})
        return
    ours, its = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        for descriptor in (connection.fileno(), ours.fileno()):
            os.close(descriptor)
        script.run(request, output, its, settings)
    its.close()
    os.close(output)
    ours.recv(1)  # it leads its session, and ends with this process
    _send(connection, {"pid": pid})
    ours.sendall(b"1")
    ours.close()
    _watch(connection, pid)


def _send(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _watch(connection: socket.socket, pid: int) -> None:
    while not select.select([connection], [], [], _REAP_SECONDS)[0]:
        _reap(pid)
    try:
        told = connection.recv(16)
    except ConnectionError:
        told = b""
    if not told:
        _end(pid)
    _, status = os.waitpid(pid, 0)
    _reap(None)
    if told:
        _send(connection, {"status": os.waitstatus_to_exitcode(status)})


def _reap(script: int | None) -> None:
    """Reap children that have ended, but not the script: as long as it is not reaped, its process id stays its own."""
    while True:
        try:
            found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if found is None or found.si_pid == script:
            return
        os.waitpid(found.si_pid, 0)


def _end(pid: int) -> None:
    """End a script without a supervisor: SIGTERM, and after a while SIGKILL to its group."""
    os.kill(pid, signal.SIGTERM)
    for _ in range(int(_GRACE_SECONDS / _LOOK_SECONDS)):
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            break
        select.select([], [], [], _LOOK_SECONDS)
    os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
