"""A report shows what computing the features cost: of the job that did it, and of those that train on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.feature_pass import feature_pass_cost
from dogbreed_sdk.debugging.sources.layout import Recording, find
from tests.debugging import made_up
from training_scripts.recording.profiler.profiler import Profiler

FACTS: dict[str, Any] = {
    "job": "dogs-features-1",
    "backbone": "efficientnet_lite0",
    "total": 2000,
    "computed_earlier": 0,
    "pictures": 2000,
    "views": 4000,
    "seconds": 100.0,
    "forward": 60.0,
    "waiting": 40.0,
    "decoding": 75.0,
    "workers": 2,
    "cores": 4,
    "device": "cpu",
    "operators": [
        {"name": "aten::mkldnn_convolution", "calls": 147, "cpu_seconds": 3.0, "gpu_seconds": 0.0},
        {"name": "aten::clamp", "calls": 99, "cpu_seconds": 1.0, "gpu_seconds": 0.0},
    ],
    "operators_note": "",
}


def trained_on_features(**run: Any) -> DebugReport:
    trial = made_up.trial()
    trial.run |= {"inputs": "features", **run}
    return DebugReport("a run", trial=trial)


def test_a_training_jobs_report_shows_what_its_features_cost(tmp_path: Path) -> None:
    report = trained_on_features(feature_pass=FACTS)
    said = " ".join(report.to_text().split())
    for sentence in (
        "2,000 pictures (4,000 views) through efficientnet_lite0 in 1 min 40 s, 20 pictures/s (job",
        "(job dogs-features-1, cpu, 4 cores).",
        "network 1 min (60%), waiting for decoded pictures 40 s (40%); decoding took 1 min 15 s in 2 threads",
        "Most expensive operators: aten::mkldnn_convolution 75%, aten::clamp 25%.",
        "Decoding is the bottleneck: raise workers",
    ):
        assert sentence in said
    document = json.loads(json.dumps(report.to_dict(), allow_nan=False))["feature_pass"]
    assert (document["job"], document["pictures_per_second"]) == ("dogs-features-1", 20.0)
    assert document["operators"][0]["name"] == "aten::mkldnn_convolution"
    page = report.to_html(tmp_path / "report.html").read_text()
    assert "aten::<wbr>mkldnn_<wbr>convolution" in page
    assert "2,000 pictures (4,000 views)" in page
    assert report.notes == []


@pytest.mark.parametrize("broken", [None, {}, {"seconds": "long", "pictures": 3}, {**FACTS, "pictures": 0}, [1]])
def test_a_pass_of_which_nothing_is_known_costs_a_sentence(broken: Any) -> None:
    report = trained_on_features(feature_pass=broken)
    assert report.feature_pass is None
    assert report.to_dict()["feature_pass"] is None
    assert "the cost is unknown, because the feature pass was not recorded" in " ".join(report.to_text().split())


def test_a_network_that_waits_little_is_not_advised() -> None:
    cost = feature_pass_cost({**FACTS, "waiting": 20.0})
    assert cost is not None
    assert cost.advice == ""


def test_the_engine_is_named_and_its_operators_are_not_torchs(tmp_path: Path) -> None:
    facts = {"device": "cpu", "engine": "onnxruntime", "precision": "fp32"}
    cost = feature_pass_cost({**FACTS, **facts})
    assert cost is not None
    assert "(job dogs-features-1, ONNX Runtime, fp32, cpu, 4 cores)." in next(cost.lines())
    profiler = Profiler(tmp_path, interval_ms=100, operators="on", report=pytest.fail)
    profiler.pass_begins(1, facts)
    profiler.pass_batch_begins()
    profiler.pass_batch_ends(10.0, 10.25, 11.0)
    recorded = profiler.pass_ends()
    profiler.run_ends()
    assert recorded["operators"] == []
    assert "it ran in ONNX Runtime, and torch's profiler sees only torch" in recorded["operators_note"]


@pytest.fixture
def features_folder(tmp_path: Path) -> Path:
    """What a feature job leaves in its checkpoint folder, without the features."""
    profiler = Profiler(tmp_path / "profiler-output", interval_ms=100, operators="off", report=pytest.fail)
    profiler.start()
    profiler.pass_begins(2, {"device": "cpu", "backbone": "efficientnet_lite0", "workers": 2})
    for begin in (10.0, 11.0):
        profiler.pass_batch_begins()
        profiler.pass_batch_ends(begin, begin + 0.25, begin + 1.0)
    profiler.pass_ends()
    profiler.run_ends()
    (tmp_path / "feature_pass.json").write_text(json.dumps(FACTS))
    return tmp_path


def test_a_feature_jobs_own_report_is_about_the_pass(features_folder: Path) -> None:
    report = DebugReport.load(features_folder)
    assert report.feature_pass == feature_pass_cost(FACTS)
    assert report.headline().startswith("The features were computed: 2,000 pictures (4,000 views) through")
    assert report.profile is not None
    assert report.profile.phases["FeaturePass:Wait"].seconds.tolist() == pytest.approx([0.25, 0.25])
    assert report.profile.phases["FeaturePass:Forward"].seconds.tolist() == pytest.approx([0.75, 0.75])
    assert report.problems == []
    assert "All is well" not in report.to_text()


def test_features_whose_pass_was_not_profiled_still_say_what_it_cost(features_folder: Path, tmp_path: Path) -> None:
    alone = tmp_path / "alone"
    alone.mkdir()
    (features_folder / "feature_pass.json").rename(alone / "feature_pass.json")
    report = DebugReport("features", recording=Recording("features", find(alone)))
    assert report.feature_pass == feature_pass_cost(FACTS)
    assert "The features were computed" in report.to_text()


def test_threads_on_every_core_are_not_told_to_be_more() -> None:
    cost = feature_pass_cost({**FACTS, "workers": 4})
    assert cost is not None
    assert cost.advice.startswith("Decoding is the bottleneck, on every core: choose an instance with more cores")
