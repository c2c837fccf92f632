"""Paths that people type and read."""

from pathlib import Path

import pytest

from dogbreed_sdk import BreedDataset
from dogbreed_sdk._util.paths import full_path, shown_path
from dogbreed_sdk.cli.program import main
from dogbreed_sdk.testing import picture


@pytest.fixture
def flowers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of classes without splits, below the current folder."""
    for name in ("rose", "tulip"):
        (tmp_path / "flowers" / name).mkdir(parents=True)
        (tmp_path / "flowers" / name / "1.jpg").write_bytes(picture())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "flowers"


def test_a_path_is_absolute_and_without_dots(flowers: Path) -> None:
    assert full_path("flowers") == flowers
    assert full_path(f"../{flowers.parent.name}/flowers") == flowers.resolve()


def test_a_link_stays_as_it_was_typed(flowers: Path) -> None:
    (link := flowers.with_name("link")).symlink_to(flowers / "rose")
    assert full_path("link") == link
    assert full_path("link/../tulip") == (flowers / "tulip").resolve()  # where the system looks, too


def test_a_path_is_shown_relative_to_the_current_folder(flowers: Path) -> None:
    assert [shown_path(path) for path in (flowers, flowers.parent, Path("/nowhere"))] == ["flowers", ".", "/nowhere"]


def test_a_path_is_shown_where_the_current_folder_was_deleted(flowers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (gone := flowers / "gone").mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert shown_path(flowers) == str(flowers)


def test_a_hint_names_a_folder_without_dots(flowers: Path) -> None:
    [error] = BreedDataset.from_folder(f"../{flowers.parent.name}/flowers").check().errors
    assert error.message == f"{flowers.resolve()} has no folder named train, valid or test."
    assert f"dogbreed data split {flowers.resolve()} DEST" in error.remedy


def test_a_check_names_a_folder_as_it_was_typed(flowers: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["data", "check", "flowers"])
    assert capsys.readouterr().out.startswith("flowers: 2 classes; pictures: unsplit 2\n")
