"""The documentation's pictures show what the code draws, are small, and are described to those who do not see them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

import take_pictures
from _pictures import state
from _pictures.recipes import RECIPES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "examples" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PICTURES = sorted(state.FOLDER.glob("*.png"))
SHOWN = [
    (page, alternative, target)
    for page in PAGES
    for alternative, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+\.png)\)", page.read_text(encoding="utf-8"))
]

# Like the generated tables, they belong to the project's text.
pytestmark = [pytest.mark.extras, pytest.mark.any_version]


def test_no_picture_is_stale() -> None:
    names = " ".join(take_pictures.stale())
    assert not names, (
        f"what draws these pictures has changed visibly since they were taken: {names}\n"
        f"Take them anew: python docs/take_pictures.py {names}\n"
        f"If they still show what the code draws, note that: python docs/take_pictures.py --keep {names}"
    )


def test_there_is_a_recipe_and_a_record_for_each_picture() -> None:
    names = [path.stem for path in PICTURES]
    assert names == sorted(RECIPES)
    assert names == sorted(state.recorded())


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_is_small_and_sharp(path: Path) -> None:
    assert path.stat().st_size <= take_pictures.LARGEST
    with Image.open(path) as image:
        assert image.width >= 640
        assert len(image.getcolors() or ()) > 16


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_a_picture_stands_on_a_page(path: Path) -> None:
    assert any((page.parent / target).resolve() == path for page, _, target in SHOWN)


@pytest.mark.parametrize(
    ("page", "alternative", "target"), SHOWN, ids=[f"{page.stem}-{Path(target).stem}" for page, _, target in SHOWN]
)
def test_what_a_page_shows_exists_and_is_described(page: Path, alternative: str, target: str) -> None:
    assert (page.parent / target).is_file()
    assert len(alternative) >= 40, "describe what the picture shows to those who do not see it"


class TestDigest:
    """What makes a picture stale, and what does not."""

    TITLE = 'def title():\n    """Of a page."""\n    return "<h1>Report</h1>"\n'
    HEADING = 'def heading() -> str:\n    """Of all pages."""\n    # A tag.\n    return "<h1>Report</h1>"\n'

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        (tmp_path / "page").mkdir()
        (tmp_path / "page" / "title.py").write_text(self.TITLE)
        (tmp_path / "page" / "style.css").write_text("h1 { color: teal }\n")
        return tmp_path

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("title.py", HEADING),
            ("style.css", "/* The title. */\nh1 {\n  color: teal\n}\n"),
            ("notes.txt", "not drawn"),
        ],
    )
    def test_names_comments_and_white_space_do_not_count(self, folder: Path, name: str, text: str) -> None:
        before = state.digest(["page"], folder)
        (folder / "page" / name).write_text(text)
        assert state.digest(["page"], folder) == before

    def test_a_text_that_moves_to_another_module_does_not_count(self, folder: Path) -> None:
        before = state.digest(["page"], folder)
        (folder / "page" / "title.py").rename(folder / "page" / "heading.py")
        assert state.digest(["page"], folder) == before

    @pytest.mark.parametrize(
        ("name", "text"),
        [("title.py", 'def title():\n    return "<h1>Debug report</h1>"\n'), ("style.css", "h1 { color: navy }\n")],
    )
    def test_a_word_or_a_color_counts(self, folder: Path, name: str, text: str) -> None:
        before = state.digest(["page"], folder)
        (folder / "page" / name).write_text(text)
        assert state.digest(["page"], folder) != before

    def test_of_one_function_only_its_own_texts_count(self, folder: Path) -> None:
        before = state.digest(["page/title.py:title"], folder)
        more = self.TITLE + 'def footer():\n    return "<footer>"\n'
        (folder / "page" / "title.py").write_text(more)
        assert state.digest(["page/title.py:title"], folder) == before
        assert state.digest(["page/title.py:footer"], folder) != before
        with pytest.raises(FileNotFoundError, match=r"title\.py has no function heading"):
            state.digest(["page/title.py:heading"], folder)

    def test_a_source_that_is_gone_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"page draws a picture and does not exist"):
            state.digest(["page"], tmp_path)


class TestTerminal:
    """What stands on a terminal's screen in the end."""

    @pytest.mark.parametrize(
        ("written", "shown"),
        [
            ("one\r\ntwo\r\n", "one\ntwo"),
            ("\x1b[?25l10%\r\x1b[2K20%\r\n\x1b[?25hdone\r\n", "20%\ndone"),
            ("a 1\r\nb 1\r\x1b[2K\x1b[1A\x1b[2Ka 2\r\nb 2\r\n", "a 2\nb 2"),
            ("\x1b[33mslow\x1b[0m\r\n", "\x1b[33mslow\x1b[0m"),
        ],
        ids=["lines", "a bar", "two bars", "colors"],
    )
    def test_screen(self, written: str, shown: str) -> None:
        from _pictures import terminal  # noqa: PLC0415 - needs a system with terminals

        assert terminal.screen(written) == shown
