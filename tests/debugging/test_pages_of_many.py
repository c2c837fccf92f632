"""The pages of a comparison and of a search in a real browser: they read, mark, sort, and change their axis."""

from __future__ import annotations

from pathlib import Path

import pytest

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.comparison.comparison import Comparison
from tests import axe
from tests.browser import Page
from tests.debugging import made_up
from tests.jobs import searches

pytestmark = pytest.mark.extras

MARKED = "[...document.querySelectorAll('{}.chosen')].length"
FIRST = "document.querySelector('tbody tr').dataset.mark"


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> str:
    trials = [made_up.trial(epochs=epochs, steps=steps, seed=steps) for epochs, steps in ((6, 25), (4, 40), (8, 10))]
    for number, trial in enumerate(trials):
        trial.run.update(hyperparameters={"lr": 10.0**-number, "batch-size": 32})
    names = ["slow", "long-epochs", "short-epochs"]
    found = Comparison([DebugReport(name, trial=trial) for name, trial in zip(names, trials, strict=True)])
    return found.to_html(tmp_path_factory.mktemp("comparison")).as_uri()


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> str:
    return searches.report(30).to_html(tmp_path_factory.mktemp("search")).as_uri()


@pytest.mark.parametrize("name", ["comparison", "search"])
@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_it_is_accessible_complains_of_nothing_and_fits(
    browser: Page, request: pytest.FixtureRequest, name: str, width: int, dark: bool
) -> None:
    url = request.getfixturevalue(name)
    browser.open(url, width=width, dark=dark)
    assert axe.violations(browser) == []
    assert browser.complaints == []
    assert set(browser.requests) <= {url, "about:blank"}
    assert browser.value("document.documentElement.scrollWidth") == width


class TestComparison:
    def test_a_click_on_a_run_marks_its_row_and_its_curves_in_all_charts(self, browser: Page, comparison: str) -> None:
        browser.open(comparison)
        browser.click('[data-pick="slow"]')
        browser.wait(lambda: browser.value(MARKED.format("tr")) == 1)
        # Validation, training and the name, in each of two charts.
        assert browser.value(MARKED.format("g")) == 6
        browser.key("Escape")
        assert browser.value(MARKED.format("g")) == 0

    def test_the_keyboard_marks_too(self, browser: Page, comparison: str) -> None:
        browser.open(comparison)
        browser.value("document.querySelector('[data-pick=slow]').focus()")
        browser.key("Enter")
        assert browser.value("document.querySelector('[data-pick=slow]').getAttribute('aria-pressed')") == "true"

    def test_the_axis_can_be_epochs_samples_or_steps(self, browser: Page, comparison: str) -> None:
        browser.open(comparison)
        ends = {}
        for axis in ("epoch", "samples", "step"):
            browser.value(
                f"(() => {{ const e = document.getElementById('axis'); e.value = '{axis}';"
                "e.dispatchEvent(new Event('change')); })()"
            )
            ends[axis] = browser.value(
                "[...document.querySelectorAll('[data-runs=loss] .tick.middle')].at(-1).textContent.replace(',', '')"
            )
        assert float(ends["epoch"]) == 8
        # The longest run has 160 steps of 32 samples.
        assert float(ends["samples"]) == 5000
        assert 140 <= float(ends["step"]) <= 160

    def test_validation_and_training_can_be_hidden(self, browser: Page, comparison: str) -> None:
        browser.open(comparison)
        count = "document.querySelectorAll('[data-runs=loss] .run.{}').length"
        assert browser.value(count.format("training")) == 3
        browser.click('[data-split="training"]')
        assert browser.value(count.format("training")) == 0
        assert browser.value(count.format("validation")) == 3


def test_where_not_all_names_fit_a_marked_run_is_named(browser: Page, tmp_path: Path) -> None:
    trials = [made_up.trial(epochs=2, layers=0, seed=seed) for seed in range(20)]
    found = Comparison([DebugReport(f"run-{seed}", trial=trial) for seed, trial in enumerate(trials)])
    browser.open(found.to_html(tmp_path).as_uri())
    worst = found.runs[-1].name
    named = "[...document.querySelectorAll('[data-runs=accuracy] .name')].map((each) => each.textContent)"
    assert worst not in browser.value(named)
    assert found.runs[0].name in browser.value(named)
    browser.click(f'[data-pick="{worst}"]')
    assert worst in browser.value(named)


class TestSearch:
    def test_a_click_on_a_trial_marks_it_in_all_charts(self, browser: Page, search: str) -> None:
        browser.open(search)
        first = browser.value(FIRST)
        browser.click(f'[data-pick="{first}"]')
        # Over time, the parallel axes, and three hyperparameters.
        browser.wait(lambda: browser.value(MARKED.format("g")) == 5)
        assert browser.value(MARKED.format("tr")) == 1

    def test_a_heading_sorts_both_ways_and_rows_without_a_value_stay_last(self, browser: Page, search: str) -> None:
        browser.open(search)
        best = browser.value(FIRST)
        browser.click("thead th:nth-child(2) button")
        assert browser.value(FIRST) == best
        assert browser.value("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
        browser.click("thead th:nth-child(2) button")
        assert browser.value("document.querySelector('tbody tr:last-child').dataset.mark") == best

    def test_arrow_keys_read_trials_and_enter_marks_one(self, browser: Page, search: str) -> None:
        browser.open(search)
        browser.value("document.querySelector('[data-points=progress] .plot').focus()")
        browser.key("ArrowRight")
        browser.key("ArrowRight")
        spoken = browser.value("document.querySelector('[data-points=progress] [aria-live]').textContent")
        assert "valid:accuracy" in spoken
        browser.key("Enter")
        assert browser.value(MARKED.format("tr")) == 1
