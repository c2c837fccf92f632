"""The most expensive operators: ranked by the device that computed, with advice for what they are."""

from __future__ import annotations

import pytest

from dogbreed_sdk import DebugReport
from dogbreed_sdk.debugging.feature_pass import feature_pass_cost
from dogbreed_sdk.debugging.operators import costliest
from training_scripts.recording.profile.profile import Operator, Profile

DENSENET = (
    Operator("aten::mkldnn_convolution", 1200, 6.0),
    Operator("aten::native_batch_norm", 800, 2.5),
    Operator("aten::cat", 400, 1.0),
    Operator("aten::clamp_min_", 800, 0.5),
)


def test_the_three_of_a_densenet_have_their_shares_and_advice() -> None:
    found = costliest(DENSENET)
    assert [(one.kind, one.share) for one in found] == [
        ("convolution", 0.6),
        ("normalization", 0.25),
        ("concatenation", 0.1),
    ]
    assert str(found[0]) == "aten::mkldnn_convolution (convolution): 60% of the time"
    assert "stored features" in found[0].advice
    assert "ResNet" in found[2].advice


def test_a_gpus_time_decides_where_there_is_any() -> None:
    launched = (Operator("aten::cudnn_convolution", 9, 5.0, 1.0), Operator("aten::copy_", 9, 1.0, 3.0))
    assert [(one.kind, one.share, one.seconds) for one in costliest(launched)] == [
        ("copy", 0.75, 3.0),
        ("convolution", 0.25, 1.0),
    ]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("aten::addmm", "matrix product"),
        ("aten::add_", "addition"),
        ("aten::hardtanh_", "activation"),
        ("aten::cudnn_batch_norm", "normalization"),
        ("aten::max_pool2d_with_indices", "pooling"),
        ("Optimizer.step#AdamW.step", "optimizer"),
        ("aten::_to_copy", "copy"),
        ("custom::mystery", ""),
    ],
)
def test_operators_are_recognized_by_their_names(name: str, kind: str) -> None:
    (found,) = costliest([Operator(name, 1, 1.0)])
    assert (found.kind, bool(found.advice)) == (kind, bool(kind))


def test_a_report_has_those_of_the_pass_before_those_of_the_head() -> None:
    head = Profile(operators=(Operator("aten::mm", 3, 0.1),))
    report = DebugReport("a run", profile=head)
    assert [one.name for one in report.costliest_operators()] == ["aten::mm"]
    rows = [{"name": one.name, "calls": one.calls, "cpu_seconds": one.cpu_seconds} for one in DENSENET]
    cost = feature_pass_cost({"pictures": 10, "seconds": 20.0, "operators": rows})
    report.__dict__["feature_pass"] = cost
    assert [one.name for one in report.costliest_operators(2)] == [
        "aten::mkldnn_convolution",
        "aten::native_batch_norm",
    ]
    assert cost is not None
    assert cost.to_dict()["costliest_operators"][1]["share"] == 0.25


def test_without_a_profile_there_are_none() -> None:
    assert DebugReport("a run", profile=Profile()).costliest_operators() == []
