"""The commands ``local up``, ``local env``, ``local run`` and ``local stop``: local SageMaker for other programs."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed_sdk._util import optional
from dogbreed_sdk.cli import options as read
from dogbreed_sdk.cli import programs
from dogbreed_sdk.cli.argument_types import one_of, port
from dogbreed_sdk.cli.command_line import command_line
from dogbreed_sdk.cli.output import Outcome, note, say
from dogbreed_sdk.errors import ConfigurationError

if TYPE_CHECKING:
    from dogbreed_sdk.local.client_environment import ClientEnvironment
    from dogbreed_sdk.local.running import RunningServer

_SHELLS = ("bash", "zsh", "fish")
_PURPOSE = "run local SageMaker"


# ------------------------------------------------------------------ up


def add_up(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed local up``."""
    command.add_argument("--host", default="127.0.0.1", help="loopback address to listen on (default: %(default)s)")
    command.add_argument(
        "--port",
        type=port,
        help="port to listen on; 0 picks a free one (default: the folder's last one, or 8765, or a free one)",
    )
    command.add_argument(
        "--python",
        metavar="PATH",
        help="Python that runs the scripts of jobs, such as one with smdebug (default: this program's)",
    )


def up(options: argparse.Namespace) -> Outcome:
    """Serves local SageMaker until Ctrl-C, SIGTERM or ``local stop``."""
    optional.require({"local": read.LOCAL_PACKAGES}, purpose=_PURPOSE)
    from dogbreed_sdk.local.running import serving  # noqa: PLC0415 - an optional dependency

    _choose_scripts_python(options.python)
    root = read.root(options)
    # Whenever the interruption comes, the server is closed properly.
    with (
        contextlib.suppress(KeyboardInterrupt),
        serving(root, host=options.host, port=options.port, command="up") as server,
    ):
        note(f"local SageMaker is listening at {server.url}; its folder is {root}; press Ctrl-C to end it")
        note("it runs the code of every job that it receives, from any user of this machine")
        note("to run a program for the SageMaker SDKs or boto3 against it, unchanged:")
        note(f"  {command_line(options, 'local', 'run')} notebook.ipynb")
        note("to let all programs in a shell use it:")
        note(f'  eval "$({command_line(options, "local", "env")})"')
        note("to end it from another terminal:")
        note(f"  {command_line(options, 'local', 'stop')}")
        if options.json:
            print(json.dumps({"endpoint_url": server.url, "root": str(root)}), flush=True)
        threading.Event().wait()
    note("stopped; jobs and endpoints keep running and are there when it starts again")
    return Outcome(None, say(), quiet=True)


def _choose_scripts_python(given: str | None) -> None:
    from dogbreed_sdk.local.python.scripts_python import PYTHON_VARIABLE  # noqa: PLC0415 - an optional dependency

    if given is not None:
        os.environ[PYTHON_VARIABLE] = programs.python_path(given)


# ------------------------------------------------------------------ env


def add_env(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed local env``."""
    command.add_argument(
        "--shell",
        type=one_of(_SHELLS),
        choices=_SHELLS,
        help="shell that reads the lines (default: fish if $SHELL is fish, otherwise bash)",
    )


def env(options: argparse.Namespace) -> Outcome:
    """Prints the lines with which a shell, and what it starts, uses the server that is up."""
    optional.require({"local": read.LOCAL_PACKAGES}, purpose=_PURPOSE)
    server = _server(options)
    changes = _environment(server)
    shell = options.shell or ("fish" if Path(os.environ.get("SHELL", "")).name == "fish" else "bash")
    if sys.stdout.isatty() and not options.json:
        note(f'to apply these lines: eval "$({command_line(options, "local", "env")})"')
    document = {"endpoint_url": server.url, "set": dict(changes.variables), "unset": list(changes.unset)}
    return Outcome(document, lambda: print("\n".join(_lines(changes, shell))))


def _server(options: argparse.Namespace) -> RunningServer:
    """The server that is up.

    Raises:
        ConfigurationError: None is up.
    """
    from dogbreed_sdk.local.running import find  # noqa: PLC0415 - an optional dependency

    root = read.root(options)
    server = find(root)
    if server is None:
        raise ConfigurationError(
            f"No server of local SageMaker is up for {root}. Start one: {command_line(options, 'local', 'up')}"
        )
    return server


def _environment(server: RunningServer) -> ClientEnvironment:
    from dogbreed_sdk.local.client_environment import client_environment  # noqa: PLC0415 - an optional dependency

    return client_environment(server.url, server.root, os.environ)


def _lines(changes: ClientEnvironment, shell: str) -> Iterator[str]:
    if shell == "fish":
        yield from (f"set -e {name};" for name in changes.unset)
        yield from (f"set -gx {name} {_fish_quoted(value)};" for name, value in changes.variables.items())
    else:
        yield f"unset {' '.join(changes.unset)}"
        yield from (f"export {name}={shlex.quote(value)}" for name, value in changes.variables.items())


def _fish_quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


# ------------------------------------------------------------------ run


def add_run(command: argparse.ArgumentParser) -> None:
    """The arguments of ``dogbreed local run``; they stand before the program, the program's behind it."""
    command.add_argument("program", metavar="PROGRAM", help="a notebook (.ipynb), a Python script, or any command")
    command.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="its arguments; options of this command go before PROGRAM",
    )
    command.add_argument(
        "--python",
        metavar="PATH",
        help="Python that runs the notebook or script (default: the active virtual environment's, or this program's)",
    )
    command.add_argument(
        "--scripts-python", metavar="PATH", help="Python that runs the scripts of jobs; needs a separate server"
    )
    output = command.add_mutually_exclusive_group()
    output.add_argument(
        "--output", type=Path, metavar="FILE", help="where the executed notebook goes (default: NAME.executed.ipynb)"
    )
    output.add_argument("--in-place", action="store_true", help="overwrite the notebook with the executed one")


def run(options: argparse.Namespace) -> Outcome:
    """Runs one program against the server that is up, or against one that is up as long as the program."""
    optional.require({"local": read.LOCAL_PACKAGES}, purpose=_PURPOSE)
    program = programs.Program.of(
        options.program, options.arguments, python=options.python, output=options.output, in_place=options.in_place
    )
    with _some_server(options) as server:
        changes = _environment(server)
        status, document = program.run(changes.applied(os.environ), quiet_output=options.json)
    document = {**document, "endpoint_url": server.url, "exit_code": status}
    return Outcome(document, lambda: None, exit_code=status)  # the program has printed its result


@contextlib.contextmanager
def _some_server(options: argparse.Namespace) -> Iterator[RunningServer]:
    """The server that is up, or one of our own that ends with the last program that uses it."""
    from dogbreed_sdk.local.running import ServerIsUpError, serving, using, wait_for_users  # noqa: PLC0415 - an optional dependency

    root = read.root(options)
    with contextlib.ExitStack() as stack:
        server, own = stack.enter_context(using(root)), None
        if server is None:
            _choose_scripts_python(options.scripts_python)
            try:
                own = stack.enter_context(serving(root, host="127.0.0.1", port=None, command="run"))
            except ServerIsUpError:  # another program has started one meanwhile
                server = stack.enter_context(using(root))
                if server is None:
                    raise
        if server is not None:
            if options.scripts_python is not None:
                raise ConfigurationError(
                    f"--scripts-python is for a server that this command starts, but one is up at {server.url}: pass "
                    "--python to 'dogbreed local up' instead."
                )
            note(f"using local SageMaker at {server.url}; its folder is {root}")
            yield server
        elif own is not None:
            note(f"local SageMaker is up at {own.url} as long as the program runs; its folder is {root}")
            yield own
            wait_for_users(root, lambda: note("waiting: another 'dogbreed local run' still uses the server"))


# ------------------------------------------------------------------ stop


def stop(options: argparse.Namespace) -> Outcome:
    """Ends the server that is up; jobs and endpoints continue."""
    optional.require({"local": read.LOCAL_PACKAGES}, purpose=_PURPOSE)
    from dogbreed_sdk.local import running  # noqa: PLC0415 - an optional dependency

    server = _server(options)
    running.stop(server)
    document: Mapping[str, object] = {"stopped": server.url, "pid": server.pid}
    what = "the program that it was up for has ended too" if server.command == "run" else "jobs and endpoints continue"
    return Outcome(document, say(f"stopped the server at {server.url} (process {server.pid}); {what}"))
