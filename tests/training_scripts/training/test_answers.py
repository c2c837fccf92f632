"""Answers: four numbers per picture, and logits that are computed in blocks whenever they are asked for."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from training_scripts.training import answers
from training_scripts.training.answers import Answers, AnswersSoFar, Evaluation, joined

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(23, 5, generator=GENERATOR)
TARGETS = torch.randint(5, (23,), generator=GENERATOR)


def test_batches_give_the_answers_of_the_whole_split() -> None:
    collected = AnswersSoFar(40)
    for logits, targets in zip(LOGITS.split(7), TARGETS.split(7), strict=True):
        collected.add(logits, targets)
    found = collected.answers()
    assert len(found) == 23
    assert torch.equal(found.targets, TARGETS)
    assert torch.equal(found.predictions, LOGITS.argmax(1))
    assert torch.allclose(found.losses, functional.cross_entropy(LOGITS, TARGETS, reduction="none"))
    assert torch.allclose(found.probabilities, LOGITS.softmax(1).amax(1))
    assert found.loss == pytest.approx(float(functional.cross_entropy(LOGITS, TARGETS)), rel=1e-6)
    assert found.accuracy == float((LOGITS.argmax(1) == TARGETS).double().mean())


def test_parts_are_joined_in_their_order() -> None:
    parts = [Answers.of_logits(LOGITS[:9], TARGETS[:9]), Answers.of_logits(LOGITS[9:], TARGETS[9:])]
    assert torch.equal(Answers.joined(parts).losses, Answers.of_logits(LOGITS, TARGETS).losses)


@pytest.mark.parametrize(("kept_bytes", "again"), [(0, 23), (2 * 4 * 5 * 4, 15), (1 << 20, 0)])
def test_logits_come_in_small_blocks_and_those_kept_are_computed_once(
    kept_bytes: int, again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "_BLOCK", 4 * 5)
    computed: list[int] = []

    def head(features: torch.Tensor) -> torch.Tensor:
        computed.append(len(features))
        return 2 * features

    evaluation = Evaluation(
        Answers.of_logits(2 * LOGITS, TARGETS), lambda: [(LOGITS, TARGETS)], head, classes=LOGITS.shape[1]
    )
    passes = evaluation.logits(kept_bytes=kept_bytes)
    for _ in range(2):
        logits, targets = joined(passes)
        assert torch.equal(logits, 2 * LOGITS)
        assert torch.equal(targets, TARGETS)
    assert max(computed) == 4
    assert sum(computed) == 23 + again
