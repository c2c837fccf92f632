"""Processes that outlive their starter: start them, recognize them again, end them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import psutil

from dogbreed_sdk._util import clock
from dogbreed_sdk._util.location import PACKAGE_PARENT
from dogbreed_sdk._util.process_identity import Process

# The boot time that the kernel reports moves with clock corrections, and so does a start time.
_CLOCK_TOLERANCE_SECONDS = 2.0
# Recognizes a service's command line: an option that Python itself ignores and does not pass on to other processes.
_SERVICE_OPTION = ["-X", "dogbreed_service"]

# A process started this way is not a child of its starter: the starter may end first, and need not reap it.
_DETACH = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'

# Reads a pipe whose other end only the supervisor holds. A line means that the job has ended. End of file without a
# line means that the supervisor was killed: then the script gets time to save, and is killed.
_GUARD = (
    'read -r over || { kill -s TERM "$1"; n=0; while kill -s 0 "$1" && [ $n -lt $2 ]; '
    'do sleep 1; n=$((n+1)); done; kill -s KILL -- "-$1"; } 2>/dev/null'
)
GUARD_GRACE_SECONDS = 10


def identify(pid: int, *, root: Path | None = None) -> Process | None:
    """The identity of a running process, by which it is recognized later.

    Args:
        pid: The process.
        root: The root folder that it works for: a copy of that folder must not claim the process.

    Returns:
        Its identity, or None if it has already ended.
    """
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            start = _start_of(pid)
            found: Process = {"pid": pid, "created": process.create_time()}
            if start:
                found["start"] = start
            if root is not None:
                found["root"] = _folder_identity(root)
            return found
    except psutil.NoSuchProcess:
        return None


def _start_of(pid: int) -> str | None:
    """The boot in which a process was started and the ticks since then, if the kernel reports them."""
    try:
        status = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # proc(5): the 22nd field; the 2nd, the command's name in brackets, may hold anything.
    return f"{clock.boot_id()}:{int(status.rpartition(b')')[2].split()[19])}"


def _folder_identity(folder: Path) -> list[int]:
    """A folder's device and inode number, which a renamed folder keeps and a copy does not have."""
    found = folder.stat()
    return [found.st_dev, found.st_ino]


def is_of_copy(process: Process | None, root: Path) -> bool:
    """Whether a process belongs to another root folder, of which this one is a copy.

    A folder that was moved to another disk counts as a copy; one that was renamed does not.
    """
    noted = process.get("root") if process else None
    if process is None or noted is None:
        return False
    try:
        device, number = _folder_identity(root)
    except FileNotFoundError:
        return True  # it was moved away from here
    same_boot = str(process.get("start") or "").startswith(f"{clock.boot_id()}:")
    return bool(number != noted[1] or (same_boot and device != noted[0]))  # device numbers change at boot


def identify_self(*, root: Path | None = None) -> Process:
    """The identity of this process; see `identify`."""
    process = identify(os.getpid(), root=root)
    assert process is not None  # it is this one
    return process


def is_alive(process: Process | None, *, root: Path | None = None) -> bool:
    """Whether the process that `identify` described still runs, and works for the root folder if one is given."""
    if not process or (root is not None and is_of_copy(process, root)):
        return False
    current = identify(int(process["pid"]))
    if current is None:
        return False
    if "start" in current and "start" in process:
        return bool(current["start"] == process["start"])
    return bool(abs(current["created"] - process["created"]) < _CLOCK_TOLERANCE_SECONDS)


def start_module(
    module: str,
    arguments: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    keep_open: Iterable[int] = (),
    python: str | None = None,
    launched_by: Callable[[Sequence[str]], Sequence[str]] = list,
) -> int:
    """Start `python -m module` as a service: in its own session, and not as a child of this process.

    Args:
        module: A module of this package.
        arguments: Its arguments.
        log: The file to which both standard streams are appended.
        environment: Its environment; default: this process's.
        keep_open: File descriptors that it inherits.
        python: The Python that runs it; default: this one.
        launched_by: Gives the command line of a launcher, which the given one replaces in the same process.

    Returns:
        Its process id.
    """
    command = launched_by([python or sys.executable, *_SERVICE_OPTION, "-m", module, *arguments])
    result = subprocess.run(
        ["/bin/sh", "-c", _DETACH, "sh", str(log), *command],
        cwd=PACKAGE_PARENT,  # `-m` finds the package there, installed or not, without touching PYTHONPATH
        env=None if environment is None else dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
        pass_fds=tuple(keep_open),
        check=True,
    )
    return int(result.stdout)


def is_service(command: Sequence[str]) -> bool:
    """Whether a process with this command line was started by `start_module`."""
    return list(command[1:3]) == _SERVICE_OPTION


def restore_interrupts() -> None:
    """Stop ignoring SIGINT and SIGQUIT, in this process and those it starts: a shell's `&` makes both ignored."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


def start_guard(group: int) -> int:
    """Start a guard that ends a process group when this process dies, whatever the cause.

    Args:
        group: The process group of a script.

    Returns:
        The descriptor to pass to `dismiss_guard` when the group has ended.
    """
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD, "sh", str(group), str(GUARD_GRACE_SECONDS)],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    finally:
        os.close(reading)
    _GUARDS[writing] = process
    return writing


def guard_pid(descriptor: int) -> int:
    """The process of a guard that `start_guard` started."""
    return _GUARDS[descriptor].pid


def dismiss_guard(descriptor: int) -> None:
    """Tell the guard that its group has ended by itself, so that the guard ends too."""
    process = _GUARDS.pop(descriptor)
    try:
        os.write(descriptor, b"over\n")
    except BrokenPipeError:
        pass  # the guard was ended already
    finally:
        os.close(descriptor)
    process.wait()


_GUARDS: dict[int, subprocess.Popen[bytes]] = {}


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group; does nothing if it has ended."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers PermissionError for a group of zombies.
        return


def end_process(process: Process | None, *, grace_seconds: float, root: Path | None = None) -> None:
    """End a process: SIGTERM, then SIGKILL if it takes too long.

    Args:
        process: The process; may have already ended.
        grace_seconds: How long it may take before it is killed.
        root: The root folder to which the process must belong, if one is given.
    """
    if process is None or not is_alive(process, root=root):
        return
    pid = int(process["pid"])
    for number, patience in ((signal.SIGTERM, grace_seconds), (signal.SIGKILL, 5.0)):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if wait_for_end(process, timeout=patience):
            return


def wait_for_end(process: Process, *, timeout: float) -> bool:
    """Wait until a process has ended; False if it still runs after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while is_alive(process):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True
