"""The choice of an engine: exact or not at all, explained in one line, and kept until the pass is finished."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from training_scripts.models.engines import exporting, selection
from training_scripts.models.engines.engine import Engine, EngineChoice, EngineError, deviation
from training_scripts.models.engines.onnxruntime_engine import OnnxRuntimeEngine
from training_scripts.models.engines.openvino_engine import OpenVinoEngine
from training_scripts.models.engines.splitting import PieceRunner

SIDE = 32
ONNX = EngineChoice("onnxruntime", "fp32")
TORCH = EngineChoice("torch", "fp32")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers).eval().requires_grad_(requires_grad=False)


@pytest.fixture
def timings(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """CPU seconds that each engine is taken to need, by its description; one second if it is not there."""
    seconds: dict[str, float] = {}
    monkeypatch.setattr(selection._Trials, "_seconds", lambda _, engine: seconds.get(str(engine.choice), 1.0))
    return seconds


def choose(network: nn.Module, *, precision: str = "fp32", views: int = 10_000) -> tuple[EngineChoice, str]:
    """The choice, and the line that says it."""
    lines: list[str] = []
    engine = selection.fastest(network, side=SIDE, precision=precision, views=views, report=lines.append)  # type: ignore[arg-type]
    assert engine.run(torch.rand(3, 3, SIDE, SIDE)).shape == (3, 8)
    (line,) = lines
    assert line.startswith(f"engine: {engine.choice} (")
    return engine.choice, line


def test_torch_runs_a_pass_whose_operators_are_profiled(network: nn.Module) -> None:
    lines: list[str] = []
    assert selection.in_torch(network, precision="fp32", report=lines.append).choice == TORCH
    assert lines == ["engine: torch, fp32 (profile-operators is on)"]


def test_the_first_one_that_is_faster_than_torch_is_used(network: nn.Module, timings: dict[str, float]) -> None:
    pytest.importorskip("onnxruntime")
    timings["ONNX Runtime, fp32"] = 0.68
    choice, line = choose(network)
    assert choice == ONNX
    assert "(0.68 of torch's time, largest deviation " in line


def test_openvino_takes_its_place_where_it_is_missing(
    network: nn.Module, timings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    timings["OpenVINO, fp32"] = 0.7
    assert choose(network)[0] == EngineChoice("openvino", "fp32")


def test_without_either_torch_computes_and_the_log_says_why(
    network: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, package, None)
    choice, line = choose(network)
    assert choice == TORCH
    assert line == "engine: torch, fp32 (ONNX Runtime is not installed; OpenVINO is not installed)"


def test_a_slower_engine_is_not_used(network: nn.Module, timings: dict[str, float]) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    timings |= {"ONNX Runtime, fp32": 0.97, "OpenVINO, fp32": 1.3}
    choice, line = choose(network)
    assert choice == TORCH
    assert "ONNX Runtime, fp32 takes 0.97 of torch's time; OpenVINO, fp32 takes 1.30 of torch's time" in line


def test_an_engine_that_computes_something_else_is_not_used(
    network: nn.Module, timings: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, "openvino", None)
    timings["ONNX Runtime, fp32"] = 0.1
    honest = OnnxRuntimeEngine.run
    monkeypatch.setattr(OnnxRuntimeEngine, "run", lambda engine, batch: honest(engine, batch) * 1.0001)
    choice, line = choose(network)
    assert choice == TORCH
    assert "ONNX Runtime: its results deviate from torch's by 1.0e-04, more than 1e-05" in line
    assert deviation(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")


def test_a_network_that_cannot_be_exported_runs_in_torch(timings: dict[str, float]) -> None:
    pytest.importorskip("onnx")

    class Odd(nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(pixels).abs().flatten(1)[:, :8]

    choice, line = choose(Odd().eval())
    assert choice == TORCH
    assert "this network cannot be exported to ONNX" in line


def test_a_short_pass_is_not_worth_a_trial(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "_Trials", None)
    choice, line = choose(network, views=selection.FEWEST_VIEWS - 1)
    assert (choice, line) == (TORCH, "engine: torch, fp32 (a short pass)")


class TestBfloat16:
    @pytest.fixture(autouse=True)
    def instructions(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cpu = tmp_path / "cpuinfo"
        self.cpu.write_text("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n")
        monkeypatch.setattr(selection, "_CPU_INFO", self.cpu)

    def test_openvino_is_preferred(self, network: nn.Module, timings: dict[str, float]) -> None:
        pytest.importorskip("openvino")
        timings |= {"OpenVINO, bf16": 0.5, "torch, bf16": 0.4}
        assert choose(network, precision="bf16", views=1)[0] == EngineChoice("openvino", "bf16")

    @pytest.mark.parametrize(
        ("seconds", "expected"), [((0.7, 0.8), EngineChoice("torch", "bf16")), ((0.9, 0.8), ONNX), ((1.2, 1.1), TORCH)]
    )
    def test_without_it_the_fastest_of_torch_and_onnx_runtime(
        self,
        network: nn.Module,
        timings: dict[str, float],
        monkeypatch: pytest.MonkeyPatch,
        seconds: tuple[float, float],
        expected: EngineChoice,
    ) -> None:
        pytest.importorskip("onnxruntime")
        monkeypatch.setitem(sys.modules, "openvino", None)
        timings |= dict(zip(("torch, bf16", "ONNX Runtime, fp32"), seconds, strict=True))
        assert choose(network, precision="bf16")[0] == expected

    def test_a_processor_without_it_computes_exactly_and_says_so(self, network: nn.Module) -> None:
        self.cpu.write_text("flags\t\t: fpu avx512f\n")
        choice, line = choose(network, precision="bf16", views=1)
        assert choice == TORCH
        assert "this CPU has no instructions for bf16" in line
        self.cpu.unlink()  # as on macOS
        assert not selection.has_bf16()


class TestKept:
    """A resumed pass, and the other processes of a job, use the engine that has begun."""

    def test_it_is_used_whatever_is_faster_now(self, network: nn.Module) -> None:
        pytest.importorskip("onnxruntime")
        lines: list[str] = []
        assert selection.chosen(ONNX, network, side=SIDE, report=lines.append).choice == ONNX
        assert not lines

    def test_one_that_is_missing_here_is_replaced_by_torch(
        self, network: nn.Module, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        lines: list[str] = []
        assert selection.chosen(ONNX, network, side=SIDE, report=lines.append).choice == TORCH
        assert "although this pass began with ONNX Runtime, fp32 (the package onnxruntime cannot" in lines[0]


@pytest.mark.parametrize(("package", "engine"), [("onnxruntime", OnnxRuntimeEngine), ("openvino", OpenVinoEngine)])
def test_a_missing_or_refusing_library_is_an_error_in_words(
    package: str, engine: type[Engine], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip(package)
    with pytest.raises(EngineError, match="refuses this network"):
        engine(b"no network")  # type: ignore[call-arg]
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(EngineError, match=rf"{package} cannot be imported .* pip install 'dogbreed-sdk\["):
        engine(b"")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("title", "engine"), [("ONNX Runtime", OnnxRuntimeEngine), ("OpenVINO", OpenVinoEngine)], ids=["onnx", "openvino"]
)
def test_a_library_that_fails_while_it_computes_is_an_error_in_words(
    title: str, engine: type[Engine], network: nn.Module
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")
    opened = engine(exporting.export(network, side=SIDE))  # type: ignore[call-arg]
    with pytest.raises(EngineError, match=f"{title} cannot run this network"):
        opened.run(torch.rand(1, 3, SIDE + 1, SIDE))


@pytest.mark.parametrize("pictures", [1, 2, 5, 9])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pieces_are_joined_in_order(pictures: int, threads: int) -> None:
    sizes: list[int] = []

    def compute(pixels: object) -> object:
        sizes.append(len(pixels))  # type: ignore[arg-type]
        return pixels[:, :, 0, 0] * 2  # type: ignore[index]

    batch = torch.arange(pictures * 12.0).reshape(pictures, 3, 2, 2)
    assert (PieceRunner(compute, threads)(batch) == (batch[:, :, 0, 0] * 2).numpy()).all()  # type: ignore[arg-type]
    assert max(sizes) <= 4
    assert len(sizes) >= min(threads, pictures)
