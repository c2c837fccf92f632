"""A script in a fork of the fork server is as one in a new process: what it sees, what it leaves, how it ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from dogbreed_sdk._util.caller_environment import inherited
from dogbreed_sdk._util.cores import thread_environment
from dogbreed_sdk.local.container_view import ContainerView
from dogbreed_sdk.local.forking import FORK_SERVER_VARIABLE
from dogbreed_sdk.local.forking.client import Fork, ForkedProcess
from dogbreed_sdk.local.forking.lease import ForkServers, handed_down, is_possible
from dogbreed_sdk.local.jobs.environment import JOB_MARK
from dogbreed_sdk.local.jobs.script_process import Script, ScriptProcess
from dogbreed_sdk.local.python.scripts_python import Layer, scripts_python
from tests.waiting import script_until, wait_for

pytestmark = pytest.mark.skipif(not is_possible({}), reason="fork servers need Linux")

# Prints what a process can see of itself, a line each, in the same order in every process.
PROBE = """
import sys, os
print("modules of the start", sorted(name for name in sys.modules if "dogbreed" in name))
import json, locale, logging, multiprocessing, multiprocessing.spawn, platform, resource, signal, site, stat
import sysconfig, tempfile, threading, time
import numpy, psutil, torch
def see(name, value): print(f"{name}: {value}")
for name in ("argv", "orig_argv", "executable", "prefix", "exec_prefix", "base_prefix", "base_exec_prefix",
             "_base_executable", "path", "flags", "warnoptions", "_xoptions", "dont_write_bytecode", "pycache_prefix"):
    see("sys." + name, getattr(sys, name))
for name, value in sorted(os.environ.items()): see("variable", (name, value))
see("variables of the system", sorted(Path for Path in open("/proc/self/environ", "rb").read().split(b"\\0") if Path))
see("command of the system", [word for word in open("/proc/self/cmdline", "rb").read().split(b"\\0") if word])
see("folder", os.getcwd())
mask = os.umask(0)
see("mask", mask)
for name in sorted(dir(resource)):
    if name.startswith("RLIMIT"): see(name, resource.getrlimit(getattr(resource, name)))
see("niceness", os.nice(0))
see("cores", os.sched_getaffinity(0))
see("signals", {number: signal.getsignal(number) for number in signal.valid_signals()})
see("blocked", signal.pthread_sigmask(signal.SIG_BLOCK, []))
see("leads", (os.getpgrp() == os.getpid(), os.getsid(0) == os.getpid()))
see("descriptors", sorted(os.listdir("/proc/self/fd"))[:-1])
see("threads", (len(os.listdir("/proc/self/task")), threading.active_count(), threading.current_thread()
                is threading.main_thread()))
see("capabilities", [line for line in open("/proc/self/status") if line.startswith("Cap")])
see("input", sys.stdin.read())
for stream in (sys.stdin, sys.stdout, sys.stderr):
    see("stream", (stream.name, stream.mode, stream.encoding, stream.errors, stream.line_buffering,
                   stream.write_through, stream.isatty(), stream.seekable(), type(stream.buffer).__name__))
see("main", (__name__, __file__, __spec__, __doc__, __package__, type(__loader__).__name__, type(__builtins__)))
see("main module", sys.modules["__main__"].__dict__ is globals())
see("site", (site.PREFIXES, site.ENABLE_USER_SITE, site.getsitepackages()))
see("sysconfig", (sysconfig.get_paths(), sysconfig.get_config_var("prefix")))
see("temporary", tempfile.gettempdir())
see("locale", (locale.getlocale(), os.device_encoding(1)))
see("logging", (logging._startTime / (1e9 if logging._startTime > 1e12 else 1) > psutil.Process().create_time() - 1,
                logging.getLogger().handlers, sorted(logging.Logger.manager.loggerDict)[:3]))
see("time", time.process_time() < 60)
see("spawns", (multiprocessing.spawn.get_executable(), len(multiprocessing.current_process().authkey)))
see("torch", (torch.initial_seed() == 67280421310721, torch.get_num_threads(), torch.get_default_dtype()))
see("numpy", numpy.geterr())
see("opt", os.path.exists("/opt/ml/model"))
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[ForkServers]:
    held = ForkServers()
    yield held
    held.close()


class Runner:
    """Runs texts of scripts in a folder, in a new process or in a fork."""

    def __init__(self, folder: Path, servers: ForkServers) -> None:
        self.folder = folder
        self.python = scripts_python()
        self.layer = Layer(folder / "python", self.python).create()
        self.container = folder / "ml"
        (self.container / "code").mkdir(parents=True)
        (self.container / "model").mkdir()
        self.servers = servers

    def script(self, text: str, *arguments: str, forked: bool, threads: int = 2, **variables: str) -> Script:
        code = self.container / "code"
        (code / "hpo.py").write_text(text)
        base = {**inherited(os.environ), **thread_environment(threads), "PYTHONUNBUFFERED": "1"}
        environment = self.layer.environment(base, modules=[code])
        environment |= {"SM_MODEL_DIR": "/opt/ml/model", JOB_MARK: f"{self.folder}/algo-1", **variables}
        server = self.servers.descriptor(self.python.executable, {}) if forked else None
        command = [self.layer.python, "hpo.py", *arguments]
        view = ContainerView(self.container)
        return Script("algo-1", command, command, view, code, environment, self.fork(server))

    def fork(self, server: int | None) -> Fork | None:
        if server is None:
            return None
        wheel = self.python.pip_wheel
        return Fork(
            server=server,
            python=self.python.executable,
            layer=str(self.layer.folder),
            site_packages=str(self.layer.site_packages),
            below=self.python.site_folders,
            added=[wheel] if wheel and not self.python.has_pip else [],
            mark=JOB_MARK,
        )

    def run(self, text: str, *arguments: str, forked: bool, **options: str) -> tuple[int | None, list[str]]:
        """The exit status and the lines of a script."""
        return self.finished(ScriptProcess(self.script(text, *arguments, forked=forked, **options)), forked=forked)

    def finished(self, process: ScriptProcess, *, forked: bool) -> tuple[int | None, list[str]]:
        assert is_forked(process) == forked
        lines: list[str] = []
        more = True
        while more:
            found, more = process.read()
            lines += found
        wait_for(process.has_ended)
        process.finish()
        process.close()
        return process.exit_status, lines


def is_forked(process: ScriptProcess) -> bool:
    return isinstance(process._child, ForkedProcess)


@pytest.fixture
def runner(tmp_path: Path, servers: ForkServers) -> Runner:
    return Runner(tmp_path, servers)


def both(runner: Runner, text: str, *arguments: str) -> tuple[tuple[int | None, list[str]], ...]:
    return tuple(runner.run(text, *arguments, forked=forked) for forked in (False, True))


def test_a_script_sees_what_it_sees_in_a_new_process(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.umask(0o027)
    try:
        new, forked = both(runner, PROBE, "--lr", "0.1", "--text", "two words")
    finally:
        os.umask(before)
    assert new[0] == 0, new[1]
    assert forked[1] == new[1]
    assert forked[0] == 0
    assert "mask: 23" in forked[1]


ENDS = {
    "nothing": "print('done')",
    "a status": "import sys; sys.exit(3)",
    "a large status": "import sys; sys.exit(256 + 7)",
    "a text": "import sys; sys.exit('what went wrong')",
    "an error": "def train():\n    raise ValueError('no pictures')\ntrain()",
    "an error with a cause": "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise RuntimeError('x') from e",
    "a syntax error": "print('a'\nx =",
    "a signal": "import os; os.kill(os.getpid(), 9)",
    "an interrupt": "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nwhile True: pass",
    "SIGTERM": "import os, signal; print('before', flush=True); os.kill(os.getpid(), signal.SIGTERM)",
    "_exit": "import os; os._exit(5)",
    "at exit": "import atexit, threading\natexit.register(print, 'at exit')\n"
    "threading.Thread(target=lambda: (threading.main_thread().join(), print('thread'))).start()\nprint('main')",
    "an excepthook": "import sys\nsys.excepthook = lambda *found: print('mine', found[0].__name__)\n1 / 0",
}


@pytest.mark.parametrize("text", ENDS.values(), ids=ENDS)
def test_a_script_ends_as_in_a_new_process(runner: Runner, text: str) -> None:
    new, forked = both(runner, text)
    assert forked == new


def test_forks_do_not_share_what_is_drawn(runner: Runner) -> None:
    text = (
        "import random, numpy, multiprocessing, tempfile, uuid, os, torch\n"
        "print(random.random()); print(numpy.random.rand()); print(bytes(multiprocessing.current_process().authkey))\n"
        "print(tempfile.mktemp()); print(uuid.uuid4()); print(os.getpid()); print(torch.rand(1).item())\n"
    )
    _, first = runner.run(text, forked=True)
    _, second = runner.run(text, forked=True)
    assert len(first) == 7
    assert not set(first) & set(second)


def test_threads_are_those_of_the_job_though_the_server_has_one(runner: Runner) -> None:
    text = "import torch\nprint(torch.get_num_threads())\n(torch.ones(600, 600) @ torch.ones(600, 600)).sum()\n"
    for threads in (1, 3):
        script = runner.script(text, forked=True, threads=threads)
        assert runner.finished(ScriptProcess(script), forked=True) == (0, [str(threads)])


def test_other_variables_of_libraries_start_a_new_process(runner: Runner, capfd: pytest.CaptureFixture[str]) -> None:
    script = runner.script("import os; print(os.environ['MKL_CBWR'])", forked=True, MKL_CBWR="COMPATIBLE")
    assert runner.finished(ScriptProcess(script), forked=False) == (0, ["COMPATIBLE"])
    assert "its environment has other values of MKL_CBWR" in capfd.readouterr().out


def test_a_module_search_path_of_the_jobs_own_starts_a_new_process(servers: ForkServers, tmp_path: Path) -> None:
    runner = Runner(tmp_path, servers)
    script = runner.script("print(1)", forked=True)
    fork = script.fork
    assert fork is not None
    moved = replace(script, fork=replace(fork, python="/usr/bin/another-python"))
    assert runner.finished(ScriptProcess(moved), forked=False) == (0, ["1"])


@pytest.fixture
def light(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runner]:
    """A runner whose fork server imports empty modules in place of PyTorch and NumPy, and starts in a moment."""
    modules = tmp_path / "modules"
    modules.mkdir()
    (modules / "torch.py").write_text("class default_generator:\n    initial_seed = seed = staticmethod(int)\n")
    (modules / "numpy.py").write_text("class random:\n    seed = staticmethod(int)\n")
    monkeypatch.setenv("PYTHONPATH", str(modules))
    held = ForkServers()
    yield Runner(tmp_path, held)
    held.close()


def server_of(process: ScriptProcess) -> psutil.Process:
    """The fork server: the grandparent of a script that runs."""
    keeper = psutil.Process(process.pid).parent()
    assert keeper is not None
    server = keeper.parent()
    assert server is not None
    return server


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_the_server_has_one_thread(runner: Runner) -> None:
    process = ScriptProcess(runner.script("import time; time.sleep(60)", forked=True))
    assert server_of(process).num_threads() == 1
    process.kill()
    runner.finished(process, forked=True)


def test_the_server_ends_with_those_who_hold_it_and_scripts_run_on(light: Runner, tmp_path: Path) -> None:
    process = ScriptProcess(light.script(script_until(tmp_path / "go") + "print('runs')", forked=True))
    server = server_of(process)
    light.servers.close()
    wait_for(lambda: has_ended(server))
    (tmp_path / "go").touch()
    assert light.finished(process, forked=True) == (0, ["runs"])


def test_a_killed_server_costs_nothing_but_time(light: Runner, tmp_path: Path) -> None:
    script = light.script(script_until(tmp_path / "go") + "print('runs')", forked=True)
    process = ScriptProcess(script)
    server_of(process).kill()
    (tmp_path / "go").touch()
    assert light.finished(process, forked=True) == (0, ["runs"])  # what it has started runs on
    assert light.finished(ScriptProcess(script), forked=False) == (0, ["runs"])  # others start in a new process
    assert light.run("print('runs')", forked=True) == (0, ["runs"])  # as the next job finds another server


def test_a_server_that_cannot_import_pytorch_costs_nothing_but_time(light: Runner, tmp_path: Path) -> None:
    (tmp_path / "modules/torch.py").write_text("raise ImportError('libtorch.so is missing')")
    script = light.script("print('runs')", forked=True)
    assert light.finished(ScriptProcess(script), forked=False) == (0, ["runs"])


def test_a_server_with_threads_starts_nothing(light: Runner, tmp_path: Path) -> None:
    text = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    (tmp_path / "modules/torch.py").write_text(text)
    script = light.script("print('runs')", forked=True)
    assert light.finished(ScriptProcess(script), forked=False) == (0, ["runs"])


@pytest.fixture
def started(runner: Runner) -> Callable[[str], ScriptProcess]:
    """Starts a script in a fork, which has printed "ready"."""

    def start(text: str) -> ScriptProcess:
        process = ScriptProcess(runner.script(text, forked=True))
        assert is_forked(process)
        while process.read()[0] != ["ready"]:
            pass
        return process

    return start


STUBBORN = """
import os, signal, subprocess, sys, time
if os.fork() == 0:
    os.setsid()
    os.execvp("sleep", ["sleep", "300"])
signal.signal(signal.SIGTERM, lambda *_: (open("saved", "w").close(), {on_term}))
print("ready")
while True: time.sleep(0.01)
"""


def test_a_stop_lets_the_script_save(runner: Runner, started: Callable[[str], ScriptProcess]) -> None:
    process = started(STUBBORN.format(on_term="sys.exit(4)"))
    children = psutil.Process(process.pid).children()
    process.terminate()
    wait_for(process.has_ended)
    process.finish()
    assert process.exit_status == 4
    assert (runner.container / "code/saved").exists()
    assert children
    assert all(map(has_ended, children))  # also those that left the script's session
    process.close()


def test_a_script_that_does_not_stop_is_killed(started: Callable[[str], ScriptProcess]) -> None:
    process = started(STUBBORN.format(on_term="None"))
    process.terminate()
    process.kill()
    wait_for(process.has_ended)
    process.finish()
    assert process.exit_status == -signal.SIGKILL
    process.close()


def test_a_script_whose_supervisor_is_gone_may_save_and_ends(
    runner: Runner, started: Callable[[str], ScriptProcess]
) -> None:
    process = started(STUBBORN.format(on_term="sys.exit(0)"))
    process.close()  # as the kernel does for a killed process
    wait_for(process.has_ended)
    assert (runner.container / "code/saved").exists()


def test_a_script_whose_keeper_is_killed_ends_as_killed(started: Callable[[str], ScriptProcess]) -> None:
    process = started(STUBBORN.format(on_term="None"))
    keeper = psutil.Process(process.pid).parent()
    assert keeper is not None
    keeper.kill()
    wait_for(process.has_ended)
    process.finish()
    assert process.exit_status == -signal.SIGKILL
    process.close()


class TestDescriptor:
    def test_only_an_open_socket_is_handed_down(self, servers: ForkServers) -> None:
        assert handed_down({}) is None
        assert handed_down({FORK_SERVER_VARIABLE: "9999"}) is None
        with Path(__file__).open() as file:
            assert handed_down({FORK_SERVER_VARIABLE: str(file.fileno())}) is None
        descriptor = servers.descriptor(sys.executable, {})
        assert handed_down({FORK_SERVER_VARIABLE: str(descriptor)}) == descriptor

    def test_it_can_be_switched_off(self) -> None:
        assert not is_possible({FORK_SERVER_VARIABLE: "off"})

    def test_processes_of_a_job_hold_none(self) -> None:
        assert not is_possible({JOB_MARK: "/root/algo-1"})

    def test_a_missing_python_means_none(self, tmp_path: Path) -> None:
        assert ForkServers().descriptor(str(tmp_path / "python"), {}) is None
