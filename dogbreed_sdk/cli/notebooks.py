"""Executes a notebook in the kernel of a chosen Python: progress per cell, output as it comes, errors with source."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TextIO

from dogbreed_sdk._util import optional
from dogbreed_sdk.cli.output import note
from dogbreed_sdk.errors import ConfigurationError
from training_scripts._util.atomic import write_atomically

with optional.needed(extra="notebooks", purpose="execute notebooks"):
    import nbformat
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, DeadKernelError

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST_LINE = 70
_START_SECONDS = 300  # on a busy machine


def execute(path: Path, output: Path, python: str, environment: Mapping[str, str], *, quiet_output: bool) -> int:
    """Execute a notebook and write it with its outputs, also if a cell fails.

    Args:
        path: The notebook; its folder is the working directory.
        output: Where the executed notebook goes.
        python: The interpreter for its kernel, which needs ipykernel.
        environment: The kernel's environment.
        quiet_output: Whether the cells' output goes to standard error.

    Returns:
        The exit status: 0, or 1 if a cell failed or the notebook could not be written.

    Raises:
        ConfigurationError: The file is not a notebook for Python, or the interpreter lacks ipykernel.
    """
    notebook = _read(path)
    _check_kernel(python, environment)
    client = _Client(notebook, python, path.resolve().parent, sys.stderr if quiet_output else sys.stdout)
    note(f"executing {path} with {python}")
    status = 0
    try:
        client.run(environment)
    except CellExecutionError as error:
        client.report(error)
        status = 1
    except DeadKernelError:
        note(f"cell {client.place}: the kernel died; a crash in native code, or the machine ran out of memory")
        status = 1
    finally:
        is_written = _write(notebook, output)
    return status if is_written else 1


def _write(notebook: Any, output: Path) -> bool:
    try:
        write_atomically(output, nbformat.writes(notebook), durable=False)  # type: ignore[no-untyped-call]
    except OSError as error:
        note(f"error: {output} was not written: {error.strerror}")
        return False
    note(f"wrote {output}")
    return True


def _read(path: Path) -> Any:
    try:
        notebook = nbformat.reads(path.read_text("utf-8"), as_version=4)  # type: ignore[no-untyped-call]
    except (ValueError, nbformat.reader.NotJSONError, nbformat.ValidationError) as error:
        raise ConfigurationError(f"{path} is not a Jupyter notebook: {str(error)[:200]}") from None
    language = notebook.metadata.get("kernelspec", {}).get("language", "python")
    if language.lower() != "python":
        raise ConfigurationError(f"{path} is a notebook for {language}; only notebooks for Python can be executed.")
    return notebook


def _check_kernel(python: str, environment: Mapping[str, str]) -> None:
    command = [python, "-c", "import ipykernel"]
    result = subprocess.run(command, env=dict(environment), capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["unknown error"])[-1]
        raise ConfigurationError(
            f"{python} can't run notebooks ({reason}). Install the kernel: {python} -m pip install ipykernel; or "
            "choose another Python with --python."
        )


class _Kernel(AsyncKernelManager):
    """Starts one kernel, whatever a notebook names: that of a chosen Python."""

    python = sys.executable

    @property
    def kernel_spec(self) -> KernelSpec:
        """How the kernel is started."""
        # Its warnings (of unencrypted loopback connections, for instance) would stand among the cells' output.
        quiet = "--IPKernelApp.log_level=ERROR"
        argv = [self.python, "-m", "ipykernel_launcher", "-f", "{connection_file}", quiet]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")


class _Client(NotebookClient):
    """Executes the cells, and shows what happens."""

    def __init__(self, notebook: Any, python: str, folder: Path, shown: TextIO) -> None:
        super().__init__(
            notebook,
            kernel_manager_class=type("_ChosenKernel", (_Kernel,), {"python": python}),
            timeout=None,
            startup_timeout=_START_SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            on_cell_start=self._begin,
            on_cell_executed=self._end,
        )
        cells = [index for index, cell in enumerate(notebook.cells) if cell.cell_type == "code" and cell.source.strip()]
        self._numbers = {index: number for number, index in enumerate(cells, start=1)}
        self._shown = shown
        self._since = 0.0
        self._index = 0
        self._started = threading.Event()
        self._task: asyncio.Task[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, environment: Mapping[str, str]) -> None:
        """Execute all cells; ends the kernel, whatever happens.

        In a separate thread, since nbclient would replace the handlers of signals.
        """
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(asyncio.run, self._execute(environment))
            try:
                future.result()
            except KeyboardInterrupt:
                self._started.wait()
                assert self._loop is not None
                assert self._task is not None
                self.shutdown_kernel = "immediate"
                self._loop.call_soon_threadsafe(self._task.cancel)
                wait([future])
                raise

    async def _execute(self, environment: Mapping[str, str]) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        self._started.set()
        await self.async_execute(env=dict(environment))

    @property
    def place(self) -> str:
        """The current cell among all, such as 3/12."""
        return f"{self._numbers.get(self._index, 0)}/{len(self._numbers)}"

    def report(self, error: CellExecutionError) -> None:
        """Print the source of the cell that failed, and the traceback."""
        note(f"error: cell {self.place} failed", *_COLORS.sub("", str(error)).rstrip().splitlines())

    def _begin(self, cell: Any, cell_index: int) -> None:
        if cell_index in self._numbers:
            self._index, self._since = cell_index, time.monotonic()
            first = next((line for line in cell.source.splitlines() if line.strip()), "").strip()
            note(f"[{self.place}] {first if len(first) <= _LONGEST_LINE else first[: _LONGEST_LINE - 1] + '…'}")

    def _end(self, cell: Any, cell_index: int, execute_reply: Any) -> None:  # noqa: ARG002 - nbclient passes these names
        seconds = time.monotonic() - self._since
        if seconds >= 1:
            note(f"[{self.place}] took {seconds:.1f} s")

    def output(self, outs: Any, msg: Any, display_id: Any, cell_index: int) -> Any:
        """Keep an output, and show text at once: a cell may take an hour."""
        content = msg["content"]
        if msg["msg_type"] == "stream":
            print(content["text"], end="", file=self._shown, flush=True)
        elif msg["msg_type"] in ("execute_result", "display_data") and "text/plain" in content["data"]:
            print(content["data"]["text/plain"], file=self._shown, flush=True)
        return super().output(outs, msg, display_id, cell_index)
