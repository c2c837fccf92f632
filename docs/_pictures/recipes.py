"""The pictures of the documentation: how each is made, and which files draw what it shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from _pictures.studio import Studio

# Of what all pages have in common. The sources of a picture are those parts of the page that it shows, and no more:
# a new section further down makes no picture stale.
_PAGES = ("dogbreed_sdk/pages/assets", "dogbreed_sdk/pages/document.py", "dogbreed_sdk/pages/drawings.py")
_VERDICT = "dogbreed_sdk/pages/verdict.py"
_REPORT = "dogbreed_sdk/debugging/html"


@dataclass(frozen=True)
class Recipe:
    """How a picture is made.

    Attributes:
        draw: Makes it.
        sources: Files and folders that draw what it shows, relative to the project: a change that can be seen in them
            makes the picture stale.
    """

    draw: Callable[[Studio], Image.Image]
    sources: tuple[str, ...]


def terminal_quickstart(studio: Studio) -> Image.Image:
    """The quickstart, up to the first answers of the model."""
    shown = studio.quickstart.split("\nThe model learned from drawings")[0]
    return studio.terminal("dogbreed quickstart", shown)


def _too_large(studio: Studio) -> str:
    """A job whose learning rate is far too large: its report has something to say."""
    return studio.job("large-steps", "--lr", "3")


def terminal_report(studio: Studio) -> Image.Image:
    """A report in the terminal."""
    name = _too_large(studio)
    return studio.terminal(f"dogbreed report {name}", studio.run("dogbreed", "report", name))


def report(studio: Studio) -> Image.Image:
    """Verdict and curves of a run that went wrong."""
    page = studio.file("dogbreed", "report", _too_large(studio))
    return studio.part(studio.open(page.as_uri()), "header", "#curves .chart:nth-child(2)")


def report_profile(studio: Studio) -> Image.Image:
    """Where the time of a run went."""
    page = studio.file("dogbreed", "report", _good(studio))
    return studio.part(studio.open(page.as_uri()), "#timeline h2", "#usage .chart:first-child")


def _good(studio: Studio) -> str:
    return studio.job("medium-steps", "--lr", "0.01")


def compare(studio: Studio) -> Image.Image:
    """Three runs that differ in the learning rate."""
    runs = (_good(studio), _too_large(studio), studio.job("small-steps", "--lr", "0.0003"))
    page = studio.file("dogbreed", "report", *runs)
    return studio.part(studio.open(page.as_uri()), "header", "#curves figure:first-of-type")


def mistakes(studio: Studio) -> Image.Image:
    """What a model got wrong, with the evidence for either class."""
    page = studio.file("dogbreed", "evaluate", _good(studio), str(studio.data))
    return studio.part(studio.open(page.as_uri()), "header", "#mistakes .card:nth-child(-n+4)")


def model_card(studio: Studio) -> Image.Image:
    """The card of a model: its numbers, use and limits, and data."""
    page = studio.file("dogbreed", "card", _good(studio), "--name", "Drawn dogs", "--data-license", "CC0 1.0")
    return studio.part(studio.open(page.as_uri()), "header", "#data")


def live(studio: Studio) -> Image.Image:
    """The report of a job that is running."""
    common = ("--model", "efficientnet_lite0", "--epochs", "400", "--batch-size", "16", "--lr", "0.0003")
    studio.run("dogbreed", "train", str(studio.data), "--name", "still-running", *common, "--no-wait")
    try:
        with studio.serving("dogbreed", "report", "still-running", "--watch") as address:
            page = studio.open(address)
            page.wait(lambda: "epoch 1" in page.value("document.querySelector('#verdict')?.textContent ?? ''"))
            return studio.part(page, "header", "#curves .chart:nth-child(2)")
    finally:
        studio.run("dogbreed", "stop", "still-running")


def service(studio: Studio) -> Image.Image:
    """The service's page with answers."""
    breeds = ("Border_collie", "Beagle")
    dogs = [next((studio.data / "test").glob(f"*{breed}/*.jpg")) for breed in breeds]
    with studio.serving("dogbreed", "serve", _good(studio), "--port", "0") as address:
        page = studio.open(address, width=800)
        for count, dog in enumerate(dogs, 1):
            page.drop("body", dog)
            answered = "document.querySelectorAll('#cards > .card[data-state=answered]').length"
            page.wait(lambda answered=answered, count=count: page.value(answered) == count)
        return studio.part(page, "header", "main")


def _plot(example: str, file: str) -> Recipe:
    """A plot that an example makes."""

    def draw(studio: Studio) -> Image.Image:
        with Image.open(studio.example(example) / f"{file}.png") as plot:
            return plot.convert("RGB")

    return Recipe(draw, ("dogbreed_sdk/debugging/plots.py", "dogbreed_sdk/jobs/tuning_report/plots.py"))


def densenet161_head_operators(studio: Studio) -> Image.Image:
    """What the backbone spends its time on, and what helps."""
    page = studio.open((studio.example("densenet161_head") / "report.html").as_uri())
    return studio.part(page, "#features h2", "#features ul")


def your_own_dataset_pictures(studio: Studio) -> Image.Image:
    """The first test picture of each class, with its name."""
    folders = sorted((studio.example("your_own_dataset") / "pictures" / "test").iterdir())
    sheet = Image.new("RGB", (5 * 140, 2 * 150), "white")
    for number, folder in enumerate(folders):
        left, top = 140 * (number % 5) + 6, 150 * (number // 5) + 2
        with Image.open(min(folder.iterdir())) as picture:
            sheet.paste(picture.resize((128, 128), Image.Resampling.NEAREST), (left, top))
        ImageDraw.Draw(sheet).text((left + 64, top + 138), folder.name, "black", anchor="mm", font_size=13)
    return sheet


RECIPES: dict[str, Recipe] = {
    "terminal_quickstart": Recipe(terminal_quickstart, ("dogbreed_sdk/cli/quickstart.py",)),
    "terminal_report": Recipe(terminal_report, ("dogbreed_sdk/debugging/summary.py",)),
    "report": Recipe(report, (*_PAGES, _VERDICT, f"{_REPORT}/document.py", f"{_REPORT}/curves.py")),
    "report_profile": Recipe(report_profile, (*_PAGES, f"{_REPORT}/machine.py")),
    "compare": Recipe(compare, (*_PAGES, _VERDICT, "dogbreed_sdk/debugging/comparison/page.py")),
    "mistakes": Recipe(mistakes, (*_PAGES, "dogbreed_sdk/endpoints/evaluation/page")),
    "model_card": Recipe(model_card, (*_PAGES, "dogbreed_sdk/model_cards")),
    "live": Recipe(live, (*_PAGES, _VERDICT, f"{_REPORT}/document.py", f"{_REPORT}/curves.py")),
    "densenet161_head_losses": _plot("densenet161_head", "densenet161_head_losses"),
    "densenet161_head_operators": Recipe(
        densenet161_head_operators,
        (*_PAGES, f"{_REPORT}/feature_pass.py", "dogbreed_sdk/debugging/operators.py"),
    ),
    "resnet50_search_losses": _plot("resnet50_search", "resnet50_search_losses"),
    "resnet50_search_fluctuations": _plot("resnet50_search", "resnet50_search_fluctuations"),
    "resnet50_search_steps": _plot("resnet50_search", "resnet50_search_steps"),
    "bytes_and_urls_before": _plot("bytes_and_urls", "bytes_and_urls_before"),
    "bytes_and_urls_after": _plot("bytes_and_urls", "bytes_and_urls_after"),
    "your_own_dataset_losses": _plot("your_own_dataset", "your_own_dataset_losses"),
    "your_own_dataset_pictures": Recipe(your_own_dataset_pictures, ("examples/your_own_dataset.py",)),
    "adamw_search_trials": _plot("adamw_search", "adamw_search_trials"),
    "adamw_search_gradient": _plot("adamw_search", "adamw_search_gradient_Network_head.0.weight"),
    "service": Recipe(service, ("dogbreed_sdk/service/page/assets",)),
}
"""By the name of the picture's file without its suffix."""
