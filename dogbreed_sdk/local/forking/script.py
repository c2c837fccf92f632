"""Turns a fork of the fork server into what a new process with the script would be, and runs the script.

A new process has its own command, environment, folder, output, limits and signals; modules that keep state of the
process that imported them (seeds, temporary folders, threads) are reset.

This file runs alone, on Python 3.9 or later, on Linux.
"""

from __future__ import annotations

import atexit
import builtins
import ctypes
import importlib
import importlib.machinery
import os
import re
import resource
import signal
import socket
import sys
import sysconfig
import threading
import time
import types
from pathlib import Path
from typing import Any, NoReturn

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # prctl(2)
_CAPABILITY_VERSION = 0x20080522  # capset(2)
# Variables that nothing reads before the script runs: they may differ from the server's. Those of threads are applied.
_LATE = re.compile(
    r"SM_|SAGEMAKER_|TRAINING_JOB_|CURRENT_HOST$|MASTER_(ADDR|PORT)$|(NCCL|GLOO|TP)_SOCKET_IFNAME$|SMDEBUG_|SMPROFILER_"
    r"|CHECKPOINT_CONFIG|TENSORBOARD_CONFIG|DOGBREED_|AWS_|BOTOCORE_|VIRTUAL_ENV$|PATH$|PYTHONPATH$|PIP_"
    r"|(OMP|MKL|OPENBLAS|NUMEXPR)_NUM_THREADS$|VECLIB_MAXIMUM_THREADS$"
)
# The seed of PyTorch's generator in versions in which it is the same in every process (ATen, CPUGeneratorImpl).
_FIXED_SEED = 67280421310721
_THREADS = "OMP_NUM_THREADS"
_THREAD_FUNCTIONS = {
    "gomp": ("omp_set_num_threads",),
    "iomp": ("omp_set_num_threads",),
    "openblas": ("openblas_set_num_threads", "openblas_set_num_threads64_", "scipy_openblas_set_num_threads64_"),
}
_LIMITS = tuple(name for name in dir(resource) if name.startswith("RLIMIT_"))


class Settings:
    """What the fork server started with.

    Args:
        environment: Its environment.
        launcher: The module `local.launcher`.
    """

    def __init__(self, environment: dict[str, str], launcher: Any) -> None:
        self.environment = environment
        self.launcher = launcher
        own = _folders(environment)
        self.path = [folder for folder in sys.path if folder not in own]

    def refusal(self, request: dict[str, Any]) -> str | None:
        """Why a script cannot run in a fork of this process; None if it can."""
        if request["python"] != sys.executable:
            return f"it runs in {request['python']}, and the fork server in {sys.executable}"
        wanted, present = _early(request["environment"]), _early(self.environment)
        different = sorted(name for name in {*wanted, *present} if wanted.get(name) != present.get(name))
        if different:
            return f"its environment has other values of {', '.join(different)}"
        searched = _folders(request["environment"])
        own = _folders(self.environment)
        if searched[len(searched) - len(own) :] != own:
            return "its PYTHONPATH differs from the fork server's"
        return None


def _early(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if not _LATE.match(name)}


def _folders(environment: dict[str, str]) -> list[str]:
    return [os.path.abspath(folder) for folder in environment.get("PYTHONPATH", "").split(os.pathsep) if folder]  # noqa: PTH100


def run(request: dict[str, Any], output: int, keeper: socket.socket, settings: Settings) -> NoReturn:
    """Become the script's process, and run the script to its end.

    Args:
        request: "python", the scripts' Python; "command", of the Python of the job's layer, a script and arguments;
            "layer" and "site_packages", the layer's folders; "added", folders that end the module search path;
            "environment"; "folder", the working folder; "view", as `launcher` takes it; "mark", the variable by which
            the job's processes are recognized; "process", what `inherited` has found.
        output: The descriptor of its output.
        keeper: The connection to its parent.
        settings: What the fork server started with.
    """
    try:
        os.setsid()
        _end_with_parent()
        keeper.sendall(b"1")
        if not keeper.recv(1):
            os._exit(1)
        _redirect(output)
        _inherit(request["process"])
        command, environment = _enter(request, settings)
        _show(command, environment, request["mark"])
        os.environ.clear()
        os.environ.update(environment)
        _become(command, request, settings)
    except BaseException as error:  # noqa: BLE001 - the frames of the server must not run on
        sys.stderr.write(f"the script can't be started: {type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)
    _execute(command)


def inherited() -> dict[str, Any]:
    """What a child would inherit of this process: limits, niceness, cores and the mask of file modes."""
    mask = os.umask(0)
    os.umask(mask)
    return {
        "limits": {name: resource.getrlimit(getattr(resource, name)) for name in _LIMITS},
        "niceness": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else [],
        "mask": mask,
    }


def _end_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, which is then the script's only supervisor."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _redirect(output: int) -> None:
    """Give the script its output, and none of the server's other descriptors."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((nothing, output, output)):
        os.dup2(descriptor, number)
    os.closerange(3, max(int(path.name) for path in Path("/proc/self/fd").iterdir()) + 1)


def _inherit(process: dict[str, Any]) -> None:
    """Have what `inherited` has found in the supervisor."""
    for name, (soft, hard) in process["limits"].items():
        kind = getattr(resource, name, None)
        if kind is not None and resource.getrlimit(kind) != (soft, hard):
            resource.setrlimit(kind, (soft, hard))
    if os.getpriority(os.PRIO_PROCESS, 0) != process["niceness"]:
        os.setpriority(os.PRIO_PROCESS, 0, process["niceness"])
    if sorted(os.sched_getaffinity(0)) != process["cores"]:
        os.sched_setaffinity(0, process["cores"])
    os.umask(process["mask"])


def _enter(request: dict[str, Any], settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Enter the job's view of its container; returns the command and the environment to use in it."""
    os.chdir(request["folder"])
    found: tuple[list[str], dict[str, str]] = settings.launcher.entered(
        request["view"], request["command"], request["environment"]
    )
    if os.getuid() != 0:
        _drop_capabilities()
    # Both are lost with a new user namespace, which other users' processes must not look into.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
    _end_with_parent()
    return found


def _drop_capabilities() -> None:
    """Give up the rights in a new user namespace, which end when a new program starts."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    ctypes.CDLL(None).capset(header, (ctypes.c_uint32 * 6)())


def _show(command: list[str], environment: dict[str, str], mark: str) -> None:
    """Have the system report the script's command line and environment, as far as the server's leave room.

    Supervisors find the processes of a job by its mark in their environment.
    """
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    # proc(5): the 48th to 51st field; the first two are before the closing bracket.
    argument_start, argument_end, environment_start, environment_end = map(int, fields[45:49])
    _overwrite(argument_start, argument_end, [os.fsencode(word) for word in command])
    first = {mark: environment[mark]} if mark in environment else {}
    entries = [os.fsencode(f"{name}={value}") for name, value in {**first, **environment}.items()]
    _overwrite(environment_start, environment_end, entries)


def _overwrite(start: int, end: int, entries: list[bytes]) -> None:
    room, written = end - start - 1, b""
    for entry in entries:
        if len(written) + len(entry) + 1 <= room:
            written += entry + b"\0"
    ctypes.memmove(start, written.ljust(end - start, b"\0"), end - start)


def _become(command: list[str], request: dict[str, Any], settings: Settings) -> None:
    """Set what the interpreter and its modules would have found at the start of a new process."""
    layer = request["layer"]
    sys.argv = command[1:]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv = list(command)
    sys.executable = command[0]
    sys.prefix = sys.exec_prefix = layer
    sys.path[:] = [str(Path.cwd()), *_folders(dict(os.environ)), *_with_layer(settings.path, request)]
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()
    site = sys.modules["site"]
    vars(site).update(PREFIXES=[layer], ENABLE_USER_SITE=False)
    vars(sysconfig).update(_PREFIX=layer, _EXEC_PREFIX=layer, _CONFIG_VARS=None)
    if hasattr(sysconfig, "_CONFIG_VARS_INITIALIZED"):
        sysconfig._CONFIG_VARS_INITIALIZED = False
    _renew_modules()
    _set_threads(os.environ.get(_THREADS, ""))
    for name in [name for name in sys.modules if name.startswith("_dogbreed_")]:
        del sys.modules[name]


def _with_layer(path: list[str], request: dict[str, Any]) -> list[str]:
    """A module search path with a layer's packages before those of the scripts' Python."""
    place = next((number for number, folder in enumerate(path) if folder in request["below"]), len(path))
    return [*path[:place], request["site_packages"], *path[place:], *request["added"]]


def _renew_modules() -> None:
    """Renew what modules have drawn or noted for the process that imported them."""
    loaded = sys.modules
    if "numpy" in loaded:
        loaded["numpy"].random.seed()  # Python's own generator does that by itself
    if "torch" in loaded:
        generator = loaded["torch"].default_generator
        if generator.initial_seed() != _FIXED_SEED:  # newer versions draw it when they are imported
            generator.seed()
    if "logging" in loaded:
        started: float = vars(loaded["logging"])["_startTime"]
        vars(loaded["logging"])["_startTime"] = time.time_ns() if isinstance(started, int) else time.time()
    if "tempfile" in loaded:
        vars(loaded["tempfile"])["tempdir"] = None
    if "linecache" in loaded:
        loaded["linecache"].clearcache()
    if "multiprocessing.process" in loaded:
        loaded["multiprocessing.process"].current_process().authkey = os.urandom(32)
    if "multiprocessing.spawn" in loaded:
        loaded["multiprocessing.spawn"].set_executable(sys.executable)


def _set_threads(number: str) -> None:
    """Set the threads of numerical libraries, which have read the server's environment: one each, so that none runs."""
    if not number.isdecimal() or int(number) == 0:
        return
    mapped = {line.split(maxsplit=5)[5].strip() for line in _maps() if "/" in line}
    for path in sorted(mapped):
        names = [name for part, found in _THREAD_FUNCTIONS.items() if part in Path(path).name for name in found]
        library = ctypes.CDLL(path) if names else None
        for name in names:
            function = getattr(library, name, None)
            if function is not None:
                function(ctypes.c_int(int(number)))


def _maps() -> list[str]:
    return Path("/proc/self/maps").read_text("utf-8", "replace").splitlines()


def _execute(command: list[str]) -> NoReturn:
    """Run the script as `python script` does, and end with its status."""
    path = os.path.join(os.getcwd(), command[1])  # noqa: PTH109, PTH118 - as Python composes __file__
    main = types.ModuleType("__main__")
    loader = importlib.machinery.SourceFileLoader("__main__", path)
    vars(main).update(__file__=path, __builtins__=builtins, __cached__=None, __loader__=loader)
    sys.modules["__main__"] = main
    status = 0
    try:
        exec(compile(loader.get_data(path), path, "exec", dont_inherit=True), vars(main))  # noqa: S102
    except SystemExit as end:
        status = _status(end.code)
    except KeyboardInterrupt as error:
        _print(error)
        _finish()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    except BaseException as error:  # noqa: BLE001 - as the interpreter does
        _print(error)
        status = 1
    os._exit(_finish() or status)


def _status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    sys.stderr.write(f"{code}\n")
    return 1


def _print(error: BaseException) -> None:
    """Print an error that has ended the script, without the frame of this file."""
    frames = error.__traceback__
    found = error.with_traceback(frames.tb_next if frames else None)
    sys.excepthook(type(found), found, found.__traceback__)


def _finish() -> int:
    """What the interpreter does at its end, except that it leaves the objects to the system, which takes no time.

    Taking PyTorch's modules apart takes half a second of CPU time.

    Returns:
        120 if the output could not be written, as Python ends then; otherwise 0.
    """
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return 120
    return 0
