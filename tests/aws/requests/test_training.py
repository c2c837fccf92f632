"""The requests of training jobs, as BreedTrainer sends them."""

from __future__ import annotations

import pytest

from dogbreed_sdk import BreedDataset, BreedTrainer, Debugger, Session
from dogbreed_sdk._util.progress import no_progress
from tests.aws.account import RecordedSageMaker
from tests.aws.requests.golden import check_golden

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]


def test_features_and_training(account: Account, dogs: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session).train(dogs, name="a-training-job", progress=no_progress)
    features, training = aws.sent("CreateTrainingJob")
    check_golden("features", "CreateTrainingJob", features)
    check_golden("training", "CreateTrainingJob", training)


def test_managed_debugger(account: Account, dogs: BreedDataset) -> None:
    session, aws = account
    trainer = BreedTrainer(session, features="in-job", debugger=Debugger.managed())
    trainer.train(dogs, name="a-training-job", progress=no_progress)
    [request] = aws.sent("CreateTrainingJob")
    check_golden("training-managed-debugger", "CreateTrainingJob", request)
