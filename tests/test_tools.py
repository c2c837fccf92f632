"""The files around the code say what is true: sessions, workflows, hooks, templates, the citation, the version."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from pre_commit.clientlib import load_config  # type: ignore[import-untyped]

import dogbreed_sdk
from tests.conftest import ANY_PYTHON, ANY_VERSION, LONGEST, SLOW
from tests.test_dependencies import project

pytestmark = pytest.mark.extras

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = [path for path in sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) if path.stem != "config"]
HOOKS = ROOT / ".pre-commit-config.yaml"
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def read(path: Path) -> dict[Any, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def sessions() -> set[str]:
    """The names that `nox -s` takes."""
    done = subprocess.run(
        [sys.executable, "-m", "nox", "--list", "--noxfile", str(ROOT / "noxfile.py")],
        check=True,
        capture_output=True,
        text=True,
    )
    listed = set(re.findall(r"^[*-] (\S+)", done.stdout, re.MULTILINE))
    return listed | {re.sub(r"-3\.\d+$|\(.*", "", name) for name in listed}


def expanded(job: dict[str, Any], command: str) -> Iterator[str]:
    """The command with each value of its job's matrix."""
    variable = re.search(r"\$\{\{ matrix\.(\w+) \}\}", command)
    if variable is None:
        yield command
        return
    for value in job["strategy"]["matrix"][variable[1]]:
        yield from expanded(job, command.replace(variable[0], str(value)))


def sessions_called(workflow: dict[Any, Any]) -> set[str]:
    return {
        name
        for job in workflow["jobs"].values()
        for step in job.get("steps", ())
        for command in expanded(job, step.get("run", ""))
        for names in re.findall(r"^nox -s (.+)$", command, re.MULTILINE)
        for name in names.split()
    }


def test_what_a_submission_must_pass_are_sessions(sessions: set[str]) -> None:
    called = re.findall(r"/nox .*-s ([\w. -]+)", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    names = {name for names in called for name in names.split()}
    assert {"lint", "types", "wheel", "lowest"} <= names <= sessions


def test_contributing_names_every_session_and_fits_on_a_screen(sessions: set[str]) -> None:
    called = set(re.findall(r"nox -s ([\w.-]+)", CONTRIBUTING))
    assert called <= sessions
    for name in {re.sub(r"-3\.\d+$|\(.*", "", name) for name in sessions} - called:
        assert re.search(rf"`{name}[` ]", CONTRIBUTING), f"CONTRIBUTING.md does not name {name}"
    assert len(CONTRIBUTING.splitlines()) <= 50


def test_the_map_of_the_code_has_every_package() -> None:
    cells = [line.split("|")[1] for line in CONTRIBUTING.splitlines() if line.startswith("| `")]
    packages = [
        path.parent.name
        for name in ("dogbreed_sdk", "training_scripts")
        for path in ROOT.glob(f"{name}/[a-z]*/__init__.py")
    ]
    assert sorted(re.findall(r"`(\w+)/`", " ".join(cells))) == sorted(packages)
    for module in re.findall(r"`(\w+)`", " ".join(cells)):
        assert (ROOT / f"dogbreed_sdk/{module}.py").is_file()


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_run_sessions_that_exist_with_few_rights_and_an_end(path: Path, sessions: set[str]) -> None:
    workflow = read(path)
    assert sessions_called(workflow)
    assert sessions_called(workflow) <= sessions
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
            continue
        assert job["timeout-minutes"] <= 60, name
        rights = job.get("permissions", {})
        assert rights.keys() <= {"id-token", "contents"}, name
        for step in job["steps"]:
            assert re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", step.get("uses", "actions/checkout@v6")), step
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"] == {"persist-credentials": "contents" in rights}


def test_continuous_integration_has_every_python_and_every_check() -> None:
    called = sessions_called(read(GITHUB / "workflows/ci.yml"))
    supported = {line.rsplit(" ", 1)[1] for line in project()["classifiers"] if "Python :: 3" in line}
    assert called >= {f"tests-{version}" for version in supported}
    assert called >= {"lint", "types", "docs", "wheel", "lowest", "coverage"}


def test_only_the_jobs_that_publish_have_more_than_a_readers_rights() -> None:
    jobs = {name: job for path in WORKFLOWS for name, job in read(path)["jobs"].items() if "permissions" in job}
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "publish": {"id-token": "write"},
        "site": {"contents": "write"},
    }
    publish = jobs["publish"]
    assert publish["environment"]
    assert any(step.get("uses") == "pypa/gh-action-pypi-publish@release/v1" for step in publish["steps"])


def test_hooks_run_the_ruff_of_the_environment(tmp_path: Path) -> None:
    hooks = [
        hook
        for repository in load_config(str(HOOKS))["repos"]
        if repository["repo"] == "local"
        for hook in repository["hooks"]
    ]
    assert {hook["id"] for hook in hooks} == {"ruff-check", "ruff-format"}
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    untidy = tmp_path / "untidy.py"
    untidy.write_text('"""A module."""\nimport sys\nprint ( "x" )\n')
    for hook in hooks:
        subprocess.run([*shlex.split(hook["entry"]), untidy.name], cwd=tmp_path, check=True)
    assert untidy.read_text() == '"""A module."""\n\nprint("x")\n'


def test_hooks_of_others_are_pinned() -> None:
    others = [repository for repository in load_config(str(HOOKS))["repos"] if repository["repo"] != "local"]
    assert others
    assert all(re.fullmatch(r"v\d+\.\d+\.\d+", repository["rev"]) for repository in others)


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.name)
def test_issue_forms_are_forms(path: Path) -> None:
    form = read(path)
    assert form["name"]
    assert form["description"]
    fields = [field for field in form["body"] if field["type"] != "markdown"]
    assert {field["type"] for field in fields} <= {"textarea", "input", "dropdown", "checkboxes"}
    assert all(field["attributes"]["label"] for field in fields)
    assert len({field["id"] for field in fields}) == len(fields) > 0
    for field in fields:
        if field["type"] in {"dropdown", "checkboxes"}:
            assert field["attributes"]["options"]


def test_updates_are_asked_for_what_is_there() -> None:
    ecosystems = {update["package-ecosystem"]: update for update in read(GITHUB / "dependabot.yml")["updates"]}
    assert set(ecosystems) == {"github-actions", "pip"}
    assert all(update["directory"] == "/" and update["schedule"]["interval"] for update in ecosystems.values())


def test_the_citation_says_what_the_project_says() -> None:
    citation = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= set(citation)
    assert citation["license"] == project()["license"]
    assert citation["title"].startswith(project()["name"])
    assert "version" not in citation, "the version stands in dogbreed_sdk/_version.py alone"


def test_the_version_stands_once() -> None:
    assert "version" not in project()
    assert project()["dynamic"] == ["version"]
    source = (ROOT / "dogbreed_sdk/_version.py").read_text(encoding="utf-8")
    assert re.findall(r'^__version__ = "(.+)"$', source, re.MULTILINE) == [dogbreed_sdk.__version__]


@pytest.mark.parametrize("name", ["CODE_OF_CONDUCT", "CONTRIBUTING", "SECURITY", ".github/PULL_REQUEST_TEMPLATE"])
def test_links_lead_somewhere(name: str) -> None:
    text = (ROOT / f"{name}.md").read_text(encoding="utf-8")
    for target in re.findall(r"\]\(((?!http)[^)#]+)", text):
        assert (ROOT / target).exists()


def test_what_is_slow_is_there() -> None:
    named = {*SLOW, *ANY_VERSION, *ANY_PYTHON, *LONGEST}
    assert sorted(path for path in named if not (ROOT / "tests" / path.partition("::")[0]).exists()) == []


@pytest.mark.parametrize(
    ("html", "loaded"),
    [
        ('<script src="https://unpkg.com/mermaid"></script>', "loads https://unpkg.com/mermaid"),
        ('<link rel="stylesheet" href="//fonts.example.com/a.css">', "loads //fonts.example.com/a.css"),
        ('<pre class="mermaid">a --> b</pre>', "loads the renderer of a mermaid diagram"),
        ('<link rel="canonical" href="https://example.com/"><a href="https://example.com/">there</a>', ""),
    ],
)
def test_a_site_that_loads_from_elsewhere_is_refused(html: str, loaded: str, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(f"<!doctype html>{html}", encoding="utf-8")
    command = [sys.executable, str(ROOT / ".ci/check_site.py"), str(tmp_path)]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == int(bool(loaded))
    assert checked.stdout.startswith(f"index.html {loaded}" if loaded else "1 page(s) load nothing")


def test_files_that_the_wheel_must_have_are_where_its_check_looks() -> None:
    """The check runs last; a file that moved would only be missed there."""
    files = re.findall(r'^    "(\S+\.py)",$', (ROOT / ".ci" / "check_wheel.py").read_text("utf-8"), re.MULTILINE)
    assert len(files) >= 6
    assert [file for file in files if not (ROOT / "dogbreed_sdk" / file).is_file()] == []
