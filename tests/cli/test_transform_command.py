"""`dogbreed transform`, and the commands that look at its jobs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import Session, TrainingJob, TransformJob
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.cli.program import main
from tests.width_model import ANSWERED, REFUSED, pack_model, picture

pytestmark = [pytest.mark.extras, pytest.mark.slow]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cli-transform") / "root"
    with Session.local(folder) as session:
        session.client("sagemaker")  # makes the folder
        yield folder


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training job that exists as far as its model is concerned."""
    uri = pack_model(tmp_path).as_uri()
    monkeypatch.setattr(TrainingJob, "describe", lambda _: {})
    monkeypatch.setattr(TrainingJob, "model_uri", property(lambda _: uri))


def document(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> Any:
    assert main([*map(str, words), "--json"]) == status
    return json.loads(capsys.readouterr().out)


def test_pictures_are_classified_and_the_job_can_be_looked_at(
    root: Path, trained: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    picture(ANSWERED).save(tmp_path / "new/rex.png")
    picture(REFUSED).save(tmp_path / "new/tree.png")
    where = ("--root", root)
    made = document(
        capsys, "transform", "dogs", tmp_path / "new", "--name", "batch", "--top-k", 1, "--tag", "a=b", *where, status=1
    )
    assert (made["name"], made["status"], made["failed"]) == ("batch", "Failed", 1)
    assert made["output_uri"].endswith("/transform/batch/output")
    [rex, tree] = made["predictions"]
    assert (rex["picture"], rex["label"], len(rex["scores"])) == ("rex.png", "Pug", 1)
    assert tree == {
        "picture": "tree.png",
        "error": "tree.png has no prediction: ClientError: 422: not a picture of a dog",
    }
    monkeypatch.undo()
    assert [job["kind"] for job in document(capsys, "jobs", *where)] == ["transform"]
    assert any("422" in line for line in document(capsys, "logs", "batch", *where)["lines"])
    assert document(capsys, "transform", "batch", "--top-k", 1, *where, status=1) == made
    assert main(["transform", "batch", "--split", "test", "--root", str(root)]) == 2
    assert "--split is for a new transform job" in capsys.readouterr().err
    assert document(capsys, "stop", "batch", *where) == {"name": "batch", "status": "Failed"}
    assert main(["stop", "batch", "--root", str(root)]) == 0
    assert capsys.readouterr().out == "batch has ended (Failed): there is nothing to stop\n"
    deleted = document(capsys, "delete", "batch", "--yes", *where)
    assert (deleted["deleted"], deleted["was"], deleted["files"]) == ("batch", "Failed", 3)


def test_a_job_need_not_be_waited_for(
    root: Path, trained: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture(ANSWERED).save(tmp_path / "rex.png")
    assert main(["transform", "dogs", str(tmp_path / "rex.png"), "--no-wait", "--root", str(root)]) == 0
    said = capsys.readouterr().out
    assert "is running; to follow it: " in said
    name = said.split()[0]
    assert f"logs -f {name} --root" in said
    assert f"transform {name} --root" in said
    assert f"/transform/{name}/output" in said
    with Session.local(root) as session:
        assert [name for name, _ in TransformJob(name, session).wait(progress=no_progress).predictions()] == ["rex.png"]
