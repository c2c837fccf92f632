"""How the project is checked: `nox -l` lists the sessions, `nox -s NAME` runs one, `nox` all that a change must pass.

What follows `--` goes to the tool: `nox -s tests -- tests/client -k retries`. Where nox is installed beside the
project, as `pip install -e '.[local,dev]'` does, a session that needs all of it runs there. Elsewhere (`uvx nox`), and
for other Pythons, it gets an environment under .nox, which `-R` reuses without installing anything.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import time
from pathlib import Path

import nox

nox.needs_version = ">=2025.10.16"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["lint", "types", "tests", "wheel", "lowest", "client"]

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
EVERYTHING = ("--editable", ".[local,dev]")
ROOT = Path(__file__).parent
# Which of the client's tests run on other Pythons, and at the lowest versions; the lists stand in tests/conftest.py.
_ON_PYTHONS = "not extras and not any_python"
_AT_LOWEST = "not extras and not any_version"
# pyenv's commands for versions that are not chosen only print an error; here are the interpreters themselves.
_PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser() / "versions"
os.environ["PATH"] = os.pathsep.join(
    [os.environ["PATH"], *(str(folder) for version in PYTHONS for folder in sorted(_PYENV.glob(f"{version}.*/bin")))]
)

# Material for MkDocs otherwise advertises its successor in every build.
_QUIET_SITE = {"NO_MKDOCS_2_WARNING": "1"}

HERE = all(importlib.util.find_spec(name) for name in ("mypy", "pytest", "ruff", "torch"))
IN_PLACE = False if HERE else None  # nox's words for: no environment of the session's own, one with nox's own Python


def _python(session: nox.Session) -> str:
    """The Python of an environment with the project, its extras and its tools."""
    if HERE:
        return sys.executable
    session.install(*EVERYTHING)
    return "python"


@nox.session(python=IN_PLACE)
def quick(session: nox.Session) -> None:
    """What takes seconds: lint, and the tests that are not marked slow; about a minute."""
    python = _python(session)
    session.run(python, "-m", "ruff", "check", ".")
    session.run(python, "-m", "pytest", "-m", "not slow", *session.posargs)


@nox.session(python=IN_PLACE)
def lint(session: nox.Session) -> None:
    """Style and format; `-- --fix` mends what can be mended."""
    python = _python(session)
    fix = "--fix" in session.posargs
    session.run(python, "-m", "ruff", "check", *(["--fix"] if fix else []), ".")
    session.run(python, "-m", "ruff", "format", *([] if fix else ["--check"]), ".")


@nox.session(python=IN_PLACE)
def types(session: nox.Session) -> None:
    """Static types."""
    session.run(_python(session), "-m", "mypy", *session.posargs)


@nox.session(python=IN_PLACE)
def tests(session: nox.Session) -> None:
    """The whole test suite: real servers and processes on loopback; about twenty minutes on two cores."""
    session.run(_python(session), "-m", "pytest", *session.posargs)


for _version in PYTHONS:

    @nox.session(name=f"tests-{_version}", python=_version, download_python="never")
    def tests_on(session: nox.Session) -> None:
        """The whole test suite on this Python, in an environment of its own."""
        session.install(*EVERYTHING)
        session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python=PYTHONS, download_python="never")
def client(session: nox.Session) -> None:
    """The client's tests with nothing installed but the client; on each Python that this machine has."""
    session.install("--editable", ".[test]")
    session.run("python", "-m", "pytest", "-m", _ON_PYTHONS, *(session.posargs or _client_modules()))


@nox.session(venv_backend="uv")
@nox.parametrize("part", ["client", "local"], ids=["client", "local"])
def lowest(session: nox.Session, part: str) -> None:
    """The lowest versions that pyproject.toml promises: the client alone; local SageMaker and the service."""
    oldest = ("--resolution", "lowest-direct")
    if part == "client":
        session.install(*oldest, "--editable", ".[test]")
        session.run("python", "-m", "pytest", "-m", _AT_LOWEST, *(session.posargs or _client_modules()))
        return
    if HERE:
        # torch and torchvision take gigabytes: the pair that is here serves as well. A marker that no Python meets
        # keeps the resolver from installing another.
        without = Path(session.create_tmp()) / "without-torch.txt"
        without.write_text("".join(f"{name} ; python_version < '3'\n" for name in ("torch", "torchvision")))
        session.install(*oldest, "--override", str(without), "--editable", ".[local,service,onnx,test]")
        session.run(sys.executable, ".ci/link-torch", f"{session.bin}/python", external=True)
    else:
        session.install(*oldest, "--editable", ".[local,service,onnx,test]")
    parts = session.posargs or ["tests/service", "tests/local"]
    session.run("python", "-m", "pytest", "-m", "not any_version", *parts)


def _client_modules() -> list[str]:
    """The test modules that need no extra: one that does as a whole says so, and is not even imported."""
    names = ("_util", "aws", "cli", "client", "datasets", "docs", "endpoints", "jobs")
    folders = [ROOT / "tests" / name for name in names]
    modules = [*ROOT.glob("tests/test_*.py"), *(path for folder in folders for path in folder.rglob("test_*.py"))]
    mark = re.compile(r"^pytestmark = .*\bpytest\.mark\.extras\b", re.MULTILINE)
    return [str(path.relative_to(ROOT)) for path in sorted(modules) if not mark.search(path.read_text("utf-8"))]


@nox.session
def wheel(session: nox.Session) -> None:
    """Builds into dist/, and looks at the wheel as somebody who installs it would."""
    shutil.rmtree("dist", ignore_errors=True)
    session.install("build")
    session.run("python", "-m", "build", "--quiet")
    session.install(*map(str, ROOT.glob("dist/*.whl")))
    with session.chdir(session.create_tmp()):
        session.run("dogbreed", "--version")
        session.run("python", str(ROOT / ".ci/check_wheel.py"))


@nox.session(python=IN_PLACE)
def docs(session: nox.Session) -> None:
    """Builds the documentation's site into build/site; a stale table, a broken link or a forgotten page is an error."""
    python = _python(session)
    session.run(python, "docs/generate.py", "--check")
    session.run(python, "-m", "mkdocs", "build", "--strict", "--quiet", env=_QUIET_SITE)
    session.run(python, ".ci/check_site.py", "build/site")


@nox.session(python=IN_PLACE, default=False)
def examples(session: nox.Session) -> None:
    """The examples and notebooks, whole, with their times; or some: `nox -s examples -- adamw_search`."""
    python = _python(session)
    programs = [path for path in sorted(ROOT.glob("examples/*.py")) if '"--small"' in path.read_text("utf-8")]
    notebooks = sorted(ROOT.glob("examples/notebooks/*.ipynb"))
    chosen = [path for path in (*programs, *notebooks) if path.stem in session.posargs or not session.posargs]
    if not chosen:
        session.error(f"Name some of {', '.join(path.name for path in (*programs, *notebooks))}, without the suffix.")
    times = dict[str, float]()
    for path in chosen:
        folder = Path(session.create_tmp()) / path.stem
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [str(path)] if path.suffix == ".py" else ["-m", "dogbreed_sdk", "local", "run", path.name]
        shutil.copy(path, folder)
        start = time.monotonic()
        with session.chdir(folder):
            session.run(python, *command, env={"DOGBREED_ROOT": str(folder / "dogbreed")})
        times[path.name] = time.monotonic() - start
    session.log("\n".join(f"{name:30}{seconds:6.0f} s" for name, seconds in times.items()))


@nox.session(python=IN_PLACE)
def coverage(session: nox.Session) -> None:
    """Branches that the whole test suite runs, in the processes that it starts too; a page is written to htmlcov/."""
    python = _python(session)
    session.run(python, "-m", "coverage", "erase")
    # Jobs and models inherit no variable but what a program needs to run, so coverage's own would not reach them.
    session.run(python, "-m", "pytest", *session.posargs, env={"PYTHONPATH": str(ROOT / ".ci/coverage")})
    session.run(python, "-m", "coverage", "combine", "--quiet")
    session.run(python, "-m", "coverage", "html", "--quiet", "--fail-under", "0")
    gate = ["--fail-under", "0"] if session.posargs else []  # pyproject.toml's is the whole suite's
    session.run(python, "-m", "coverage", "report", *gate)


@nox.session(python=IN_PLACE, default=False)
def bench(session: nox.Session) -> None:
    """One benchmark, on an idle machine: `nox -s bench -- client_cost --calls 2000`."""
    programs = {path.stem: path for path in _programs() if not path.stem.startswith("fuzz_")}
    name, *options = session.posargs or [""]
    if name not in programs:
        session.error(f"Name one of {', '.join(programs)} after `--`; its --help says what it measures.")
    session.run(_python(session), str(programs[name]), *options)


@nox.session(python=IN_PLACE, default=False)
def fuzz(session: nox.Session) -> None:
    """Broken and hostile input, far more than the tests have, from another seed: `nox -s fuzz -- --seed 7`."""
    for path in _programs():
        if path.stem.startswith("fuzz_"):
            session.run(_python(session), str(path), *session.posargs)


def _programs() -> list[Path]:
    return [path for path in sorted(ROOT.glob("benchmarks/*.py")) if "\nif __name__ ==" in path.read_text("utf-8")]
