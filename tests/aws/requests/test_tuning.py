"""The requests of tuning jobs, as BreedTrainer sends them."""

from __future__ import annotations

import pytest

from dogbreed_sdk import BreedDataset, BreedTrainer, Session
from dogbreed_sdk._util.progress import no_progress
from tests.aws.account import RecordedSageMaker
from tests.aws.requests.golden import check_golden

pytestmark = pytest.mark.extras

Account = tuple[Session, RecordedSageMaker]


def test_the_default_search(account: Account, dogs: BreedDataset) -> None:
    session, aws = account
    BreedTrainer(session).tune(dogs, name="a-tuning-job", progress=no_progress)
    [request] = aws.sent("CreateHyperParameterTuningJob")
    check_golden("tuning", "CreateHyperParameterTuningJob", request)
