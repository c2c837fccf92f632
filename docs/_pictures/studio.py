"""What the pictures are taken of: jobs on the drawn sample, run once by the real commands, and a browser."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property
from pathlib import Path

from PIL import Image

from _pictures import terminal
from tests.browser import Page

DENSITY = 2.0
"""Pixels per CSS pixel: pictures stay sharp on the screens that most readers have."""

WIDTH = 1100
"""Of the browser's window, in CSS pixels: the narrowest in which reports show two charts beside each other."""

MARGIN = 12
"""Above and below what is shown, in CSS pixels."""

_EXAMPLES = Path(__file__).parents[2] / "examples"
# A reader's home folder stands in outputs, not a temporary one.
_HOME = "/home/ada"
_ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+/?")


class Studio:
    """A home folder with what the commands make in it, and a browser; everything is made when it is first asked for.

    Args:
        home: An empty folder, which takes the place of the reader's home folder.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "DOGBREED_"))},
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "TERM": "xterm-256color",
        }
        self._closing = ExitStack()
        self._jobs: dict[str, str] = {}

    def __enter__(self) -> Studio:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def run(self, *command: str) -> str:
        """What a command shows in a terminal."""
        return terminal.run(command, folder=self.home, environment=self.environment).replace(str(self.home), _HOME)

    @cached_property
    def quickstart(self) -> str:
        """What `dogbreed quickstart` shows; its endpoint is deleted at the end."""
        shown = self.run("dogbreed", "quickstart")
        endpoint = re.search(r"^ +endpoint +([\w-]+)", shown, re.MULTILINE)
        assert endpoint, shown
        self._closing.callback(self.run, "dogbreed", "delete", endpoint[1])
        return shown

    @property
    def data(self) -> Path:
        """The data set that the quickstart has drawn."""
        assert self.quickstart
        (folder,) = (self.home / ".dogbreed" / "data").glob("sample-dogs-*/")
        return folder

    def job(self, name: str, *options: str) -> str:
        """A training job of this name on the drawn dogs; trained when it is first asked for."""
        if name not in self._jobs:
            common = ("--model", "efficientnet_lite0", "--epochs", "10", "--batch-size", "16")
            self._jobs[name] = self.run("dogbreed", "train", str(self.data), "--name", name, *common, *options)
        return name

    @cache  # noqa: B019 - a studio lives as long as the program
    def example(self, name: str) -> Path:
        """The folder with what an example has made, run whole, once for all pictures."""
        made = self.home / f"{name}-output"
        if not made.exists():
            self.run(sys.executable, str(_EXAMPLES / f"{name}.py"))
        return made

    def file(self, *command: str) -> Path:
        """The HTML file that a command writes."""
        path = self.home / "page.html"
        self.run(*command, "--html", path.name)
        return path

    @contextmanager
    def serving(self, *command: str) -> Iterator[str]:
        """Runs a command that serves a page; its address."""
        process = subprocess.Popen(
            command, cwd=self.home, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert process.stdout is not None
        try:
            lines = iter(process.stdout.readline, "")
            addresses = (match.group(0) for line in lines if (match := _ADDRESS.search(line)))
            yield next(addresses)
        finally:
            process.terminate()
            process.communicate()

    @cached_property
    def browser(self) -> Page:
        """A browser without a window."""
        return self._closing.enter_context(Page(self.home / ".browser"))

    def open(self, url: str, *, width: int = WIDTH) -> Page:
        """Shows a page in a window of this width, in CSS pixels."""
        self.browser.open(url, width=width, height=900, calm=True, density=DENSITY)
        return self.browser

    def part(self, page: Page, first: str, last: str) -> Image.Image:
        """The part of a page from the top of one element to the bottom of the last that matches a selector."""
        # A live page may have grown above what it shows: its header stays where the reader is.
        page.value("scrollTo({top: 0, behavior: 'instant'})")
        edge = "[...document.querySelectorAll({!r})].at(-1).getBoundingClientRect().{} + scrollY"
        upper, lower = page.value(edge.format(first, "top")), page.value(edge.format(last, "bottom"))
        return picture(page.pixels(0, max(0, upper - MARGIN), page.value("innerWidth"), lower - upper + 2 * MARGIN))

    def terminal(self, command: str, shown: str) -> Image.Image:
        """A terminal's window with a command and what it showed."""
        path = self.home / "terminal.html"
        path.write_text(terminal.page(command, shown), encoding="utf-8")
        box = self.open(path.as_uri()).box("main")
        return picture(self.browser.pixels(0, 0, box["width"], box["height"]))


def picture(png: bytes) -> Image.Image:
    """The picture in a PNG file's bytes."""
    with Image.open(io.BytesIO(png)) as image:
        return image.convert("RGB")
