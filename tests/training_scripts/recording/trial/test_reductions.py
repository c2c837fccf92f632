"""Numbers that stand for tensors: the same from torch and from NumPy, whatever the tensor holds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training_scripts.recording.recorder import torch_reductions
from training_scripts.recording.trial import reductions
from training_scripts.recording.trial.reductions import REDUCTIONS, SATURATION, reduce, reduce_numbers

TENSORS = {
    "normal": torch.randn(1000, generator=torch.Generator().manual_seed(0)),
    "far from zero": torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 1e-3 + 100,
    "one value": torch.full((7,), 0.1),
    "zeros": torch.zeros(5, 5),
    "some zeros": torch.tensor([0.0, 0.0, 1.0, -3.0]),
    "tiny": torch.full((100,), 1e-25),
    "huge": torch.tensor([1e30, -1e30, 3e30]),
    "nan": torch.tensor([1.0, float("nan"), 0.0]),
    "infinite": torch.tensor([1.0, float("inf"), 0.0, -2.0]),
    "single": torch.tensor(3.0),
    "half": torch.tensor([0.5, -1.5], dtype=torch.bfloat16),
    "double": torch.tensor([0.5, -1.5], dtype=torch.float64),
    "not contiguous": torch.arange(12.0).reshape(3, 4).T,
    "needs a gradient": torch.ones(3, requires_grad=True),
}


@pytest.mark.parametrize("name", list(TENSORS))
def test_torch_and_numpy_agree(name: str) -> None:
    tensor = TENSORS[name]
    exact = tensor.detach().double().numpy()
    for found in (torch_reductions.reduce_all(tensor), torch_reductions._on_device(tensor.detach().reshape(-1))):
        expected = [reduce(kind, exact) for kind in REDUCTIONS]
        np.testing.assert_allclose(np.asarray(found), expected, rtol=2e-5, atol=1e-12 if name == "normal" else 1e-30)


@pytest.mark.parametrize("kind", list(REDUCTIONS))
def test_the_reductions_of_a_number_are_those_of_a_tensor_of_one_element(kind: str) -> None:
    numbers = np.array([0.0, -1.5, 2.0, np.nan, np.inf, -np.inf])
    np.testing.assert_array_equal(
        reduce_numbers(kind, numbers), [reduce(kind, np.array([number])) for number in numbers]
    )


def test_an_empty_tensor_has_no_numbers() -> None:
    assert np.isnan(reduce("mean", np.empty((0, 3))))


def both(outputs: torch.Tensor) -> float:
    ours = float(torch_reductions.inactive_fraction(outputs))
    assert ours == reductions.inactive_fraction(outputs.numpy())
    return ours


def test_a_unit_is_inactive_where_it_hardly_ever_fires() -> None:
    outputs = torch.rand(200, 4) + 0.1
    outputs[:, 0] = 0  # never fires
    outputs[1:, 1] = 0  # once in two hundred passes
    outputs[2:, 2] = 0  # twice: one percent
    assert both(outputs) == 0.5
    assert reductions.inactive_fraction(outputs.numpy(), threshold_inactivity=50) == 0.75


def test_of_pictures_a_channel_is_a_unit() -> None:
    outputs = torch.zeros(2, 3, 4, 4)
    outputs[0, 1, 2, 2] = 1.0
    assert both(outputs) == pytest.approx(2 / 3)


def test_nan_is_activity_of_a_kind() -> None:
    assert both(torch.full((4, 2), float("nan"))) == 0.0


@pytest.mark.parametrize("kind", ["sigmoid", "tanh"])
def test_a_unit_is_saturated_where_its_inputs_are_beyond_the_limits(kind: str) -> None:
    low, high = SATURATION[kind]
    inputs = torch.zeros(100, 4)
    inputs[:2, 0] = high
    inputs[:2, 1] = low - 1
    inputs[:1, 2] = low - 1  # one percent is not more than one percent
    assert float(torch_reductions.saturated_fraction(inputs, low, high)) == 0.5
    assert reductions.saturated_fraction(inputs.numpy(), low, high) == 0.5


def test_the_update_ratio_is_relative_to_the_weights_and_finite_for_zeros() -> None:
    before, after = torch.tensor([3.0, 4.0]), torch.tensor([3.0, 4.5])
    assert float(torch_reductions.update_ratio(after, before)) == pytest.approx(0.1)
    assert float(torch_reductions.update_ratio(after, torch.zeros(2))) == pytest.approx(5.408e9, rel=1e-3)
