"""The page: whole, escaped, small, without a network; and in a real browser it reads, zooms and prints."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import math
import re
import time
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.html.curves import _lead
from dogbreed_sdk.debugging.html.details import details
from dogbreed_sdk.debugging.html.document import MAX_BYTES, document
from dogbreed_sdk.debugging.html.machine import usage_section
from dogbreed_sdk.debugging.html.sections import rules_section
from dogbreed_sdk.debugging.sources.layout import Parts, Recording
from dogbreed_sdk.pages.series import broken_stretches, chart, line, thinned
from tests import axe
from tests.browser import Page
from tests.debugging import made_up
from training_scripts.recording.profile.profile import CPU, Profile
from training_scripts.recording.profile.summary import statistics
from training_scripts.recording.trial.trial import EVAL, TRAIN, MemoryTrial
from training_scripts.rules.findings import ISSUES_FOUND, Finding, RuleResult

SECTIONS = [
    "verdict",
    "curves",
    "insights",
    "rules",
    "tensors",
    "timeline",
    "usage",
    "steps",
    "operators",
    "features",
    "run",
]
SECTIONS += ["problems", "not-evaluated"]
EVIL = "</script><img src=x onerror=alert(1)>\"'<b>&"


class Parsed(HTMLParser):
    """A page's elements, in order, with the text of each section; unbalanced elements are an error."""

    VOID = frozenset({"meta", "link", "br", "input", "wbr"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.raw: dict[str, list[str]] = {"script": [], "style": []}
        self._open: list[str] = []
        self._section = ""
        self.feed(page)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        if tag == "section":
            self._section = str(dict(attributes)["id"])
        if tag in self.raw:
            self.raw[tag].append("")
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in self.raw:
            self.raw[self._open[-1]][-1] += data
        else:
            self.texts[self._section] = self.texts.get(self._section, "") + data

    @property
    def charts(self) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(self.raw["script"][0])
        return content


def parsed(report: DebugReport) -> Parsed:
    return Parsed(document(report).decode())


def rich() -> DebugReport:
    return DebugReport("made-up-job", trial=made_up.trial(), profile=made_up.profile())


@pytest.fixture(scope="module")
def page() -> Parsed:
    return parsed(rich())


class TestContent:
    def test_every_section_is_there_for_every_source(self, page: Parsed) -> None:
        for each in (
            page,
            parsed(DebugReport("nothing", trial=MemoryTrial())),
            parsed(DebugReport("no", profile=Profile())),
        ):
            ids = [attributes["id"] for tag, attributes in each.elements if tag == "section"]
            assert ids == SECTIONS

    def test_a_section_without_data_says_why(self) -> None:
        texts = parsed(DebugReport("nothing", trial=MemoryTrial(), profile=None)).texts
        for name in ("curves", "tensors", "timeline", "usage", "steps", "operators", "features", "run"):
            assert len(texts[name].strip()) > 40, name

    def test_the_navigation_names_the_sections_with_content_only(self, page: Parsed) -> None:
        def links(each: Parsed) -> list[str]:
            hrefs = [attributes.get("href") or "" for tag, attributes in each.elements if tag == "a"]
            return [href.removeprefix("#") for href in hrefs if href.startswith("#") and href != "#content"]

        nothing = DebugReport("nothing", trial=MemoryTrial())
        assert links(parsed(nothing)) == ["not-evaluated"]
        assert links(page) == [name for name in SECTIONS if name not in ("verdict", "features", "problems")]

    def test_the_verdict_comes_first_with_what_to_do(self, page: Parsed) -> None:
        text = page.texts["verdict"]
        assert "VanishingGradient" in text
        assert "What to do:" in text
        assert "Lowest validation loss" in text

    def test_curves_have_raw_smooth_and_validation_with_marks(self, page: Parsed) -> None:
        loss = page.charts["loss"]
        assert [series["name"] for series in loss["series"]] == [
            "train, each step",
            "train, smoothed",
            "validation, by epoch",
        ]
        kinds = {mark["kind"] for mark in loss["marks"]}
        assert {"epoch", "best", "finding"} <= kinds
        assert page.charts["accuracy"]["link"] == loss["link"]

    def test_counts_of_rules_read_as_they_stand(self) -> None:
        statuses = ("NoIssuesFound", "NoIssuesFound", "NotEvaluated")
        results = [RuleResult(f"Rule{number}", status, "") for number, status in enumerate(statuses)]
        assert "2 without issues, 1 not evaluated. Open a rule" in str(rules_section(results, {}))

    def test_the_lead_says_where_validation_was_best(self) -> None:
        curve = replace(rich().curves["loss"], numbers=np.array([1, 2, 3]), valid=np.array([0.5, 0.25, 0.5]), best=1)
        assert _lead(curve).endswith("validation was best in epoch 2 (0.25, 0.5 at the end).")
        last = replace(curve, valid=np.array([0.5, 0.3, 0.25]), best=2)
        assert _lead(last).endswith("validation was best in epoch 3, the last one (0.25).")

    def test_every_rule_shows_all_its_parameters(self, page: Parsed) -> None:
        report = rich()
        text = page.texts["rules"] + page.texts["not-evaluated"]
        for result in report.rules:
            assert result.name in text
            if result.status != "NotEvaluated":
                assert all(name in text for name in result.parameters)

    def test_tensor_statistics_by_quantity_with_a_chart_each(self, page: Parsed) -> None:
        charts = [name for name in page.charts if name.startswith("tensors:")]
        assert {"tensors:gradient", "tensors:update", "tensors:weight", "tensors:inactive"} <= set(charts)
        options = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
        assert [f"tensors:{option}" for option in options] == charts
        shown = [series["name"] for series in page.charts["tensors:gradient"]["series"] if not series["off"]]
        assert "gradient/Sequential_5.weight" in shown

    def test_the_machine(self, page: Parsed) -> None:
        assert {"use:algo-1", "rate:algo-1", "heat:algo-1:CPU", "steps"} <= set(page.charts)
        assert "GPU memory" in page.texts["usage"]
        assert "p99" in page.texts["usage"]
        assert "Finalization" in page.texts["timeline"]
        assert "3 outliers" in page.texts["steps"]
        assert "aten::addmm" in page.texts["operators"]
        assert len(page.charts["heat:algo-1:CPU"]["rows"]) == 8

    def test_values_that_are_no_numbers_are_marked(self) -> None:
        trial = MemoryTrial()
        for step in range(20):
            trial.add_step(step, TRAIN, global_step=step)
            trial.add(made_up.LOSS, step, TRAIN, math.nan if step >= 15 else 1.0 + step, collection="losses")
        loss = parsed(DebugReport("job", trial=trial)).charts["loss"]
        assert [(mark["x"], mark["to"]) for mark in loss["marks"] if mark["kind"] == "broken"] == [(15, 19)]
        assert loss["series"][0]["y"][15:] == [None] * 5

    @pytest.mark.parametrize("last", [0.01, 0.001])
    def test_a_learning_rate_that_never_changes_is_a_sentence(self, last: float) -> None:
        trial = made_up.trial(epochs=1)
        trial.add_numbers("learning_rate", range(3), [0.01, 0.01, last], TRAIN, collection="scalars")
        page = parsed(DebugReport("job", trial=trial))
        constant = last == 0.01
        assert ("The learning rate was 0.01 at every step." in page.texts["curves"]) == constant
        assert ("learning rate" in page.charts) == (not constant)

    def test_the_run_began_on_a_date(self) -> None:
        trial = made_up.trial(epochs=1)
        trial.run |= {"started": 1_750_000_000.25, "ended": 1_750_000_060.5, "epochs": None}
        text = parsed(DebugReport("job", trial=trial)).texts["run"]
        assert "2025-06-15 15:06:40 UTC" in text
        assert "2025-06-15 15:07:40 UTC" in text
        assert "not set" not in text

    def test_a_job_that_a_rule_ended_or_that_failed_says_so(self) -> None:
        report = DebugReport("job", trial=made_up.trial(epochs=1))
        report.__dict__["stored"] = {"stopped": {"rule": "ExplodingTensor", "epoch": 2, "reason": "The loss is NaN."}}
        assert (
            "A rule ended the job after epoch 2: ExplodingTensor. The loss is NaN." in parsed(report).texts["verdict"]
        )

    def test_what_sagemakers_own_rules_said_is_there_too(self) -> None:
        answers = [{"RuleConfigurationName": "Overfit", "RuleEvaluationStatus": "IssuesFound", "StatusDetails": "why"}]
        job = {"TrainingJobStatus": "Completed", "DebugRuleEvaluationStatuses": answers}
        report = DebugReport("job", trial=made_up.trial(epochs=1), recording=Recording("job", Parts(), job=job))
        assert "Results of SageMaker Debugger's own rules:RuleStatusDetailsOverfitIssuesFoundwhy" in "".join(
            parsed(report).texts["rules"].split("\n")
        )


class TestSafety:
    def test_whatever_comes_from_a_recording_is_escaped(self) -> None:
        trial = made_up.trial(epochs=2, steps=12)
        for kind in ("abs_mean", "std"):
            trial.add_reduction(f"gradient/{EVIL}", kind, 0, TRAIN, 1e-12, collection="gradients")
        trial.run[EVIL] = {EVIL: [EVIL]}
        trial.run["hyperparameters"] = {EVIL: EVIL}
        trial.problems.append(EVIL)
        finding = Finding(EVIL, tensor=f"gradient/{EVIL}", steps=(1,), numbers={EVIL: 1.0})
        made = made_up.profile()
        brought = RuleResult(EVIL, ISSUES_FOUND, EVIL, EVIL, {EVIL: EVIL}, (finding,), "profiling", {EVIL: {EVIL: 1}})
        profile = Profile(**{**vars(made), "results": (brought,), "system": {EVIL: made.system["algo-1"]}})
        report = DebugReport(EVIL, trial=trial, profile=profile)
        page = parsed(report)
        tags = {tag for tag, _ in page.elements}
        assert not tags & {"img", "b>", "iframe", "object", "embed", "form", "a onerror"}
        assert len(page.raw["script"]) == 2
        assert not [1 for _, attributes in page.elements for name in attributes if name.startswith("on")]
        assert EVIL in page.texts["problems"]
        assert "<img" not in report._repr_html_()

    def test_half_characters_do_not_spoil_the_page(self) -> None:
        trial = made_up.trial(epochs=1)
        trial.problems.append("a name \ud800 from disk")
        assert document(DebugReport("job \udcff", trial=trial)).decode()

    def test_the_pages_own_policy_allows_just_its_own_script_and_style(self, page: Parsed) -> None:
        policy = next(a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
        assert policy is not None
        assert policy.startswith("default-src 'none';")
        for content in (page.raw["script"][1], page.raw["style"][0]):
            assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in policy
        assert not [1 for tag, attributes in page.elements if tag != "html" and "style" in attributes]

    def test_nothing_is_asked_of_a_network(self, page: Parsed) -> None:
        for tag, attributes in page.elements:
            assert "src" not in attributes, tag
            assert (attributes.get("href") or "#").startswith("#"), tag


class TestSize:
    def test_a_long_wide_run_stays_below_two_megabytes(self) -> None:
        trial = MemoryTrial(ended=True)
        noise = np.random.default_rng(0)
        values = 2 + noise.standard_normal(100_000)
        for step in range(0, 100_000, 100):
            trial.add_step(step, TRAIN, global_step=step)
        trial.add_numbers(made_up.LOSS, range(100_000), values.tolist(), TRAIN, collection="losses")
        for layer in range(150):
            name = f"backbone.blocks.{layer}.some.rather.long.name.of.a.layer.weight"
            for step in range(0, 10_000, 100):
                for kind in ("abs_mean", "std", "l2", "update_ratio"):
                    trial.add_reduction(name, kind, step, TRAIN, float(noise.random()), collection="weights")
        brought = [
            RuleResult(f"Rule{n}", ISSUES_FOUND, "m" * 9000, "a" * 9000, {f"p{i}": "v" * 999 for i in range(99)})
            for n in range(60)
        ]
        profile = made_up.profile(seconds=20_000, cores=96, steps=20_000)
        report = DebugReport("job", trial=trial, profile=Profile(**{**vars(profile), "results": tuple(brought)}))
        begun = time.process_time()
        assert len(document(report)) < MAX_BYTES
        assert time.process_time() - begun < 60

    def test_thinning_keeps_ends_and_peaks(self) -> None:
        values = np.sin(np.arange(10_000) / 500)
        values[[777, 5_000]] = (9.0, -9.0)
        x, y = thinned(np.arange(10_000), values, 200)
        assert len(x) <= 202
        assert (x[0], x[-1], y.max(), y.min()) == (0, 9_999, 9.0, -9.0)
        assert (np.diff(x) > 0).all()

    def test_short_series_are_left_as_they_are(self) -> None:
        assert thinned([1, 2], [3, np.nan], 10)[0].tolist() == [1, 2]
        assert broken_stretches([1, 2, 3, 4], [np.nan, 1, np.inf, np.nan]) == [(1.0, 1.0, 1), (3.0, 4.0, 2)]

    def test_values_over_many_powers_of_ten_begin_on_a_log_scale(self) -> None:
        wide = line("wide", [0, 1, 2], [1e-9, 1e-3, 1.0], look=0, points=9)
        narrow = line("narrow", [0, 1, 2], [1.0, 2.0, 3.0], look=0, points=9)
        assert chart([wide], x="x", y="y")["log"]
        assert not chart([narrow], x="x", y="y")["log"]


def test_details_are_drawn_for_what_they_are() -> None:
    drawn = details(
        {
            "algo-1": {"gpu0": {"p25": 0.0, "p50": 7.0, "p75": 72.0, "p95": 87.0, "upper": 91.0, "lower": 0.0}},
            "dataloading_time": {"probs": [1, 2], "binedges": [0.0, 0.5, 1.0]},
            "bottlenecks": {f"16810124{n:02}.0003": {"GPUs": 1} for n in range(60)},
            "last_timestamp": 1681013280000000,
            "pin_memory": False,
        }
    )
    assert drawn is not None
    assert ["boxplot" in drawn, "histogram" in drawn, "60 times" in drawn] == [True] * 3
    assert "timestamp" not in drawn
    assert details({}) is None


class TestNotebook:
    def test_a_cell_holds_verdict_curve_and_what_to_do_in_little_space(self) -> None:
        cell = rich()._repr_html_()
        Parsed(cell)
        assert len(cell) < 60_000
        assert "<svg" in cell
        assert "VanishingGradient" in cell
        assert "<script" not in cell

    def test_a_run_without_curves_has_a_cell_too(self) -> None:
        trial = MemoryTrial()
        trial.add_step(0, TRAIN, global_step=0)
        trial.add(made_up.LOSS, 0, TRAIN, math.nan, collection="losses")
        assert "<svg" not in DebugReport("job", trial=trial)._repr_html_()


def test_the_median_use_of_several_nodes_is_a_range() -> None:
    usage = [statistics(CPU, "algo-1", np.full(4, value)) for value in (40.0, 70.0)]
    for entries, said in ((usage, "Median use: CPU 40 to 70%."), (usage[:1], "Median use: CPU 40%.")):
        assert said in str(usage_section(Profile(usage=tuple(entries)), {}, points=10))


@pytest.mark.parametrize(
    "source",
    ["smdebug-trials/healthy", "smdebug-trials/vanishing", "smdebug-trials/healthy_reductions", "aws-profiler-report"],
)
def test_real_recordings_of_every_kind(fixtures_folder: Path, tmp_path: Path, source: str) -> None:
    written = DebugReport.load(fixtures_folder / source).to_html(tmp_path)
    assert written == tmp_path / "report.html"
    page = Parsed(written.read_text(encoding="utf-8"))
    if source.startswith("aws"):
        assert "100 MB/s" in page.texts["usage"]
        assert "aten::cudnn_convolution" in page.texts["operators"]
        assert "3 min 45 s" in page.texts["timeline"]
        assert [a for tag, a in page.elements if tag == "svg" and a.get("class") == "boxplot"]
    else:
        assert "loss" in page.charts


# ---------------------------------------------------------------- in a real browser


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return rich().to_html(tmp_path_factory.mktemp("page") / "report.html").as_uri()


PLOT = '[data-chart="loss"] .plot'


class TestInABrowser:
    @pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
    def test_it_violates_no_rule_of_accessibility(self, browser: Page, url: str, width: int, dark: bool) -> None:
        browser.open(url, width=width, dark=dark)
        assert axe.violations(browser) == []

    def test_the_numbers_of_its_charts_can_be_saved(self, browser: Page, url: str, tmp_path: Path) -> None:
        browser.open(url)
        browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
        browser.click("[data-download=csv]")
        browser.wait(lambda: list(tmp_path.glob("*.csv")))
        [path] = tmp_path.glob("*.csv")
        rows = list(csv.reader(path.read_text("utf-8").splitlines()))
        assert rows[0] == ["chart", "curve", "x", "y"]
        assert {row[0] for row in rows[1:]} >= {"loss", "accuracy"}
        first = next(row for row in rows if row[1] == "train, each step")
        assert float(first[3]) == pytest.approx(rich().curves["loss"].train.values[0], rel=1e-5)

    @pytest.mark.parametrize("width", [1280, 390])
    def test_it_loads_without_complaint_network_or_sideways_scrolling(
        self, browser: Page, url: str, width: int
    ) -> None:
        browser.complaints.clear()
        browser.requests.clear()
        browser.open(url, width=width)
        browser.value("new Promise(done => setTimeout(done, 100))")
        assert browser.complaints == []
        assert set(browser.requests) <= {url, "about:blank"}
        assert browser.value("document.documentElement.scrollWidth") == width
        assert browser.value("document.querySelectorAll('.chart svg path.curve').length") > 10

    def test_the_whole_navigation_is_in_sight(self, browser: Page, url: str) -> None:
        browser.open(url, width=1280)
        ends = browser.value("[...document.querySelectorAll('nav a')].map(e => e.getBoundingClientRect().right)")
        assert 0 < max(ends) < 1280
        # Many sections need a second row: none is cut off.
        browser.value("(() => { const nav = document.querySelector('nav'); nav.innerHTML += nav.innerHTML; })()")
        assert browser.value(
            "(e => [e.scrollWidth - e.clientWidth, e.clientHeight > 60])(document.querySelector('nav'))"
        ) == [
            0,
            True,
        ]

    def test_buttons_have_the_pages_colors(self, browser: Page, url: str) -> None:
        browser.open(url, dark=True)
        colors = "(e => [getComputedStyle(e).color, getComputedStyle(e).backgroundColor])(document.querySelector('{}'))"
        assert browser.value(colors.format("[data-download=json]")) == ["rgb(232, 230, 225)", "rgb(27, 30, 35)"]

    def test_the_pointer_reads_values(self, browser: Page, url: str) -> None:
        browser.open(url)
        assert browser.value(f"document.querySelector('{PLOT} .readout').hidden")
        box = browser.box(PLOT)
        browser.mouse("mouseMoved", box["x"] + box["width"] * 0.6, box["y"] + 100)
        text = browser.value(f"document.querySelector('{PLOT} .readout').textContent")
        assert re.search(r"step \d+.*train, smoothed: 0\.\d+", text), text

    def test_dragging_zooms_both_linked_charts_and_a_button_resets(self, browser: Page, url: str) -> None:
        browser.open(url)
        ticks = (
            "[...document.querySelectorAll('[data-chart=\"{}\"] .tick.middle')].map(each => each.textContent).join()"
        )
        before = [browser.value(ticks.format(name)) for name in ("loss", "accuracy")]
        box = browser.box(PLOT)
        left, y = box["x"] + box["width"] * 0.5, box["y"] + 120
        browser.mouse("mousePressed", left, y, button="left", clickCount=1)
        for step in range(1, 6):
            browser.mouse("mouseMoved", left + 20 * step, y, button="left", buttons=1)
        browser.mouse("mouseReleased", left + 100, y, button="left", clickCount=1)
        after = [browser.value(ticks.format(name)) for name in ("loss", "accuracy")]
        assert after[0] == after[1] != before[0]
        browser.value("document.querySelector('[data-chart=\"loss\"] .tools button:last-child').click()")
        assert [browser.value(ticks.format(name)) for name in ("loss", "accuracy")] == before

    def test_the_wheel_zooms_only_where_it_is_meant_to(self, browser: Page, url: str) -> None:
        browser.open(url)
        box = browser.box(PLOT)
        reset = "document.querySelector('[data-chart=\"loss\"] .tools button:last-child').hidden"
        turned = "new WheelEvent('wheel', {deltaY: -120, cancelable: true, bubbles: true})"
        assert browser.value(f"document.querySelector('{PLOT}').dispatchEvent({turned})"), "the page must scroll on"
        assert browser.value(reset)
        x, y = box["x"] + box["width"] / 2, box["y"] + 100
        browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120, modifiers=2)  # with Ctrl
        browser.wait(lambda: not browser.value(reset))

    def test_the_keyboard_reads_zooms_and_resets(self, browser: Page, url: str) -> None:
        browser.open(url)
        browser.value(f"document.querySelector('{PLOT}').focus()")
        browser.key("End")
        spoken = "document.querySelector('[data-chart=\"loss\"] [aria-live]').textContent"
        assert browser.value(spoken).startswith("step 299; ")
        browser.key("ArrowLeft")
        assert browser.value(spoken).startswith("step 298; ")
        reset = "document.querySelector('[data-chart=\"loss\"] .tools button:last-child').hidden"
        browser.key("+")
        assert not browser.value(reset)
        browser.key("0")
        assert browser.value(reset)

    def test_a_statistic_is_chosen_and_a_layers_curve_ticked(self, browser: Page, url: str) -> None:
        browser.open(url)
        visible = (
            "[...document.querySelectorAll('.quantity')].filter(e => e.offsetHeight).map(e => e.dataset.option).join()"
        )
        assert browser.value(visible) == "gradient"
        choose = "const s = document.querySelector('select'); s.value = 'weight'; s.dispatchEvent(new Event('change'))"
        browser.value(f"(() => {{ {choose} }})()")
        assert browser.value(visible) == "weight"
        curves = "document.querySelectorAll('[data-option=\"weight\"] path.curve').length"
        before = browser.value(curves)
        browser.value("document.querySelector('[data-option=\"weight\"] input:not(:checked)').click()")
        assert browser.value(curves) == before + 1

    def test_paper_shows_what_was_found_and_every_statistic_and_nothing_on_top_of_another(
        self, browser: Page, url: str, tmp_path: Path
    ) -> None:
        browser.open(url)
        browser.value("document.querySelector('details.found').open = false")
        browser.value("window.dispatchEvent(new Event('beforeprint'))")
        assert browser.value("[...document.querySelectorAll('details.found')].every(each => each.open)")
        assert browser.value("document.querySelectorAll('details:not(.found):not([open])').length") > 5
        browser.call("Emulation.setEmulatedMedia", media="print")
        assert browser.value("[...document.querySelectorAll('.quantity')].every(each => each.offsetHeight > 0)")
        assert not browser.value("document.querySelector('.top').offsetHeight")
        below = "each.getBoundingClientRect().top >= each.previousElementSibling.getBoundingClientRect().bottom"
        sentences = "[...document.querySelectorAll('section .lead, .body > .parameters')]"
        assert browser.value(f"{sentences}.length") > 5
        assert browser.value(f"{sentences}.filter(each => !({below})).map(each => each.textContent)") == []
        browser.call("Emulation.setEmulatedMedia", media="")
        browser.value("window.dispatchEvent(new Event('afterprint'))")
        browser.pdf(tmp_path / "report.pdf")
        assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")

    def test_labels_of_an_axis_are_whole(self, browser: Page, tmp_path: Path) -> None:
        made = made_up.profile()
        fast = replace(made.system["algo-1"]["Network"], values=made.system["algo-1"]["Network"].values + 4e8)
        profile = replace(made, system={"algo-1": {**made.system["algo-1"], "Network": fast}})
        browser.open(DebugReport("job", profile=profile).to_html(tmp_path / "one.html").as_uri())
        labels = "[...document.querySelectorAll('[data-chart=\"rate:algo-1\"] .tick.end')]"
        assert browser.value(f"Math.max(...{labels}.map(each => each.textContent.length))") >= len("400 MB/s")
        assert browser.value(f"Math.min(...{labels}.map(each => each.getBBox().x))") >= 0

    def test_marks_that_lie_close_share_a_flag_with_their_number(self, browser: Page, tmp_path: Path) -> None:
        found = [RuleResult(f"Rule{n}", ISSUES_FOUND, "m", findings=(Finding("m", steps=(n,)),)) for n in range(5)]
        report = DebugReport("job", trial=made_up.trial())
        report.__dict__["rules"] = found
        browser.open(report.to_html(tmp_path / "one.html").as_uri())
        assert browser.value("document.querySelectorAll('[data-chart=\"loss\"] .flag.finding').length") == 1
        assert (
            browser.value("[...document.querySelectorAll('[data-chart=\"loss\"] .tick')].pop().textContent")
            == "\u00d75"
        )
        assert browser.value("document.querySelectorAll('[data-chart=\"loss\"] .marks .finding').length") == 5

    def test_a_lone_insight_takes_the_whole_width(self, browser: Page, tmp_path: Path) -> None:
        report = rich()
        report.__dict__["_insights"] = report.insights()[:1]
        browser.open(report.to_html(tmp_path / "one.html").as_uri())
        assert browser.box(".card")["width"] == browser.box(".cards")["width"] > 800

    def test_a_run_of_nothing_is_no_trouble(self, browser: Page, tmp_path: Path) -> None:
        trial = MemoryTrial()
        trial.add_step(0, TRAIN, global_step=0)
        trial.add_step(0, EVAL, global_step=1)
        for mode in (TRAIN, EVAL):
            trial.add(made_up.LOSS, 0, mode, math.inf, collection="losses")
        browser.complaints.clear()
        browser.open(DebugReport("job", trial=trial).to_html(tmp_path / "one.html").as_uri())
        assert browser.complaints == []
