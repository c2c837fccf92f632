"""`dogbreed local up`, `env`, `run` and `stop`, as people call them: from shells, for notebooks and scripts."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from dogbreed_sdk.cli import main
from dogbreed_sdk.local.running import find, serving
from tests.waiting import wait_for

pytestmark = pytest.mark.extras

COMMAND = [sys.executable, "-m", "dogbreed_sdk.cli"]
NOTEBOOK = str(Path(__file__).parents[1] / "conformance/programs/dog_breeds_v2.ipynb")
WHO = "import boto3; print(boto3.client('sts').get_caller_identity()['Account'])"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local-commands") / "root"


@pytest.fixture(scope="module")
def up(root: Path) -> Iterator[str]:
    """A server that is up for the root, in this process."""
    with serving(root, host="127.0.0.1", port=0, command="up") as server:
        yield server.url


@pytest.fixture
def dogbreed(capfd: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        status = main([str(one) for one in arguments])
        said = capfd.readouterr()
        return status, said.out, said.err

    return run


def test_without_a_server_env_and_stop_say_how_to_start_one(tmp_path: Path, dogbreed: Run) -> None:
    for command in ("env", "stop"):
        status, out, err = dogbreed("local", command, "--root", tmp_path)
        assert (status, out) == (2, "")
        assert f"No server of local SageMaker is up for {tmp_path}. Start one: " in err
        assert err.endswith(f"local up --root {tmp_path}\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_reads_the_lines(shell: str, up: str, root: Path, dogbreed: Run) -> None:
    status, lines, _ = dogbreed("local", "env", "--root", root, "--shell", shell)
    assert status == 0
    if shutil.which(shell) is None:
        assert f"AWS_ENDPOINT_URL{' ' if shell == 'fish' else '='}" in lines
        return
    environment = {"PATH": "/usr/bin:/bin", "AWS_PROFILE": "work"}
    script = f'{lines}\n{sys.executable} -c "{WHO}"; echo "$AWS_PROFILE" $AWS_ENDPOINT_URL'
    result = subprocess.run([shell, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (result.stdout, result.stderr) == (f"000000000000\n {up}\n", "")


def test_env_as_json(up: str, root: Path, dogbreed: Run) -> None:
    document = json.loads(dogbreed("local", "env", "--root", root, "--json")[1])
    assert document["endpoint_url"] == document["set"]["AWS_ENDPOINT_URL_SAGEMAKER"] == up
    assert "AWS_SESSION_TOKEN" in document["unset"]


def test_a_script_runs_with_its_own_arguments(up: str, root: Path, tmp_path: Path, dogbreed: Run) -> None:
    script = tmp_path / "train.py"
    script.write_text(f"import sys; print(sys.argv[1:]); {WHO}; sys.exit(3)")
    status, out, err = dogbreed("local", "run", "--root", root, script, "--epochs", "3", "--Root", "x", "--json")
    assert status == 3
    assert out.splitlines() == ["['--epochs', '3', '--Root', 'x', '--json']", "000000000000"]
    assert f"using local SageMaker at {up}" in err
    status, out, err = dogbreed("local", "run", "--root", root, "--json", script)
    assert json.loads(out) == {"program": str(script), "endpoint_url": up, "exit_code": 3}
    assert "000000000000" in err


def test_any_command_can_be_run(up: str, root: Path, dogbreed: Run) -> None:
    assert dogbreed("local", "run", "--root", root, "sh", "-c", "echo $AWS_ENDPOINT_URL")[:2] == (0, f"{up}\n")
    assert dogbreed("local", "run", "--root", root, "sh", "-c", "kill -TERM $$")[0] == 143


CLEANS_UP = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
try:
    print("ready", flush=True)
    time.sleep(60)
finally:
    time.sleep(0.5)
    print("cleaned up", flush=True)
"""


def test_a_program_that_cleans_up_after_ctrl_c_is_left_alone(up: str, root: Path, tmp_path: Path) -> None:
    script = tmp_path / "cleans_up.py"
    script.write_text(CLEANS_UP)
    command = [*COMMAND, "local", "run", "--root", str(root), str(script)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.communicate(timeout=120)[0] == "cleaned up\n"
        assert process.returncode == 130
    finally:
        process.kill()
        process.communicate()


def test_without_a_server_one_is_up_as_long_as_the_program(
    tmp_path: Path, dogbreed: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOGBREED_LOCAL_PYTHON", "")
    options = ("--root", tmp_path / "root", "--scripts-python", sys.executable)
    status, out, _ = dogbreed("local", "run", *options, "sh", "-c", "echo $AWS_ENDPOINT_URL_S3 $DOGBREED_LOCAL_PYTHON")
    assert (status, out.startswith("http://127.0.0.1:"), out.split()[1]) == (0, True, sys.executable)
    assert find(tmp_path / "root") is None


def test_scripts_have_the_python_of_the_server_that_is_up(up: str, root: Path, dogbreed: Run) -> None:
    status, _, err = dogbreed("local", "run", "--root", root, "--scripts-python", sys.executable, "sh", "-c", ":")
    assert status == 2
    assert f"one is up at {up}: pass --python to 'dogbreed local up' instead" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["none.ipynb"], "There is no file none.ipynb"),
        (["no-such-command"], "no-such-command is not a notebook, a Python script or a command"),
        (["--output", "none/out.ipynb", NOTEBOOK], "none/out.ipynb can't be written; pass the path of a file"),
        (["--in-place", "sh"], "--output and --in-place apply to notebooks only"),
        (["--python", "/none", __file__], "/none is not a Python interpreter"),
        (["--python", sys.executable, "sh"], "--python applies to notebooks and .py files"),
    ],
)
def test_what_cannot_be_run_is_named(arguments: list[str], says: str, tmp_path: Path, dogbreed: Run) -> None:
    status, out, err = dogbreed("local", "run", "--root", tmp_path, *arguments)
    assert (status, out) == (2, "")
    assert says in err
    assert list(tmp_path.iterdir()) == []


def notebook(path: Path, *sources: str) -> Path:
    cells = [new_markdown_cell("# Dogs"), *(new_code_cell(source) for source in sources)]
    kernel = {"kernelspec": {"name": "conda_pytorch_p310", "language": "python", "display_name": "PyTorch"}}
    nbformat.write(new_notebook(cells=cells, metadata=kernel), path)
    return path


@pytest.mark.slow
def test_a_notebook_that_can_not_be_written_is_a_failure(up: str, root: Path, tmp_path: Path, dogbreed: Run) -> None:
    path = notebook(tmp_path / "dogs.ipynb", "import os; os.mkdir('out.ipynb')")
    output = tmp_path / "out.ipynb"
    status, _, err = dogbreed("local", "run", "--root", root, "--python", sys.executable, "--output", output, path)
    assert status == 1
    assert f"error: {output} was not written: Is a directory" in err


@pytest.mark.slow
def test_a_notebook_is_executed_and_written(up: str, root: Path, tmp_path: Path, dogbreed: Run) -> None:
    path = notebook(tmp_path / "dogs.ipynb", f"import os\n{WHO}", "!which python", "'cwd', os.getcwd()")
    before = path.read_bytes()
    status, out, err = dogbreed("local", "run", "--root", root, "--python", sys.executable, path)
    python = shutil.which("python", path=str(Path(sys.executable).parent))
    assert (status, out.split()) == (0, ["000000000000", python, "('cwd',", f"'{tmp_path}')"])
    begun = [line for line in err.splitlines() if line.startswith("[") and " took " not in line]
    assert begun == ["[1/3] import os", "[2/3] !which python", "[3/3] 'cwd', os.getcwd()"]
    executed = nbformat.read(tmp_path / "dogs.executed.ipynb", as_version=4)
    assert executed.cells[1].outputs[0].text == "000000000000\n"
    assert executed.cells[3].outputs[0].data["text/plain"].split() == ["('cwd',", f"'{tmp_path}')"]
    assert path.read_bytes() == before


@pytest.mark.slow
def test_a_cell_that_fails_is_shown_and_the_rest_is_not_run(up: str, root: Path, tmp_path: Path, dogbreed: Run) -> None:
    path = notebook(tmp_path / "dogs.ipynb", "breed = 'pug'", "# second\nbreed.bark()", "print('never')")
    status, out, err = dogbreed("local", "run", "--root", root, "--python", sys.executable, "--in-place", path)
    assert (status, out) == (1, "")
    assert "error: cell 2/3 failed" in err
    assert "breed.bark()" in err
    assert "AttributeError: 'str' object has no attribute 'bark'" in err
    assert "\x1b" not in err
    assert nbformat.read(path, as_version=4).cells[2].outputs[0].ename == "AttributeError"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_notebook_is_written_and_its_kernel_ended(
    up: str, root: Path, tmp_path: Path, number: signal.Signals, expected: int
) -> None:
    sleeping = "import os, time; print(os.getpid(), flush=True); time.sleep(100)"
    path = notebook(tmp_path / "dogs.ipynb", sleeping, "print('never')")
    command = [*COMMAND, "local", "run", "--root", str(root), "--python", sys.executable, str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        kernel = int(process.stdout.readline())
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, out) == (expected, "")
    assert "Traceback" not in err
    assert err.endswith(f"wrote {tmp_path / 'dogs.executed.ipynb'}\ninterrupted\n")
    wait_for(lambda: not psutil.pid_exists(kernel))
    assert nbformat.read(tmp_path / "dogs.executed.ipynb", as_version=4).cells[1].outputs[0].text == f"{kernel}\n"


def test_a_python_without_a_kernel_is_named_with_the_remedy(up: str, root: Path, tmp_path: Path, dogbreed: Run) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    python.chmod(0o755)
    path = notebook(tmp_path / "dogs.ipynb", "1")
    assert "Options go before the notebook." in dogbreed("local", "run", "--root", root, path, "--in-place")[2]
    status, _, err = dogbreed("local", "run", "--root", root, "--python", python, path)
    assert status == 2
    assert f"Install the kernel: {python} -m pip install ipykernel" in err
    notebook_of_r = json.loads(path.read_text())
    notebook_of_r["metadata"]["kernelspec"]["language"] = "R"
    path.write_text(json.dumps(notebook_of_r))
    assert "is a notebook for R" in dogbreed("local", "run", "--root", root, path)[2]


def test_up_says_how_to_use_it_and_stop_ends_it(tmp_path: Path, dogbreed: Run) -> None:
    arguments = ["local", "up", "--root", str(tmp_path / "root"), "--port", "0", "--json"]
    process = subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["endpoint_url"]
        status, _, err = dogbreed("local", "up", "--root", tmp_path / "root")
        assert status == 2
        assert f"A server is already up for {tmp_path / 'root'}, at {url}" in err
        status, out, _ = dogbreed("local", "stop", "--root", tmp_path / "root")
        assert (status, out.startswith(f"stopped the server at {url}")) == (0, True)
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0
        for command in ("local run --root", "local env --root", "local stop --root"):
            assert command in said
        assert said.endswith("stopped; jobs and endpoints keep running and are there when it starts again\n")
    finally:
        process.kill()
        process.communicate()
