"""Finding a job by its name: which kinds are looked for, in which order, and in which session."""

from __future__ import annotations

from pathlib import Path

import pytest

from dogbreed_sdk import AccessError, JobError, Session, TrainingJob, TransformJob, TuningJob, attach
from tests.aws.account import RecordedSageMaker, refusal
from tests.script_job import start_script

Account = tuple[Session, RecordedSageMaker]
Kind = type[TrainingJob] | type[TuningJob] | type[TransformJob]

OPERATIONS: dict[Kind, str] = {
    TrainingJob: "DescribeTrainingJob",
    TuningJob: "DescribeHyperParameterTuningJob",
    TransformJob: "DescribeTransformJob",
}
NOT_FOUND = refusal("ValidationException", "Requested resource not found.")


@pytest.mark.parametrize(
    ("existing", "found"),
    [
        ([TrainingJob], TrainingJob),
        ([TuningJob], TuningJob),
        ([TransformJob], TransformJob),
        ([TrainingJob, TuningJob, TransformJob], TrainingJob),
        ([TuningJob, TransformJob], TuningJob),
    ],
)
def test_the_first_of_a_training_a_tuning_and_a_transform_job_is_found(
    account: Account, existing: list[Kind], found: Kind
) -> None:
    session, aws = account
    aws.ended_tuning_jobs.add("dogs")
    aws.refusals |= {operation: NOT_FOUND for kind, operation in OPERATIONS.items() if kind not in existing}
    job = attach("dogs", session=session)
    assert type(job) is found
    assert (job.name, job.session) == ("dogs", session)


def test_the_error_for_an_unknown_name_says_what_was_looked_for_and_where(account: Account) -> None:
    session, aws = account
    aws.refusals |= dict.fromkeys(OPERATIONS.values(), NOT_FOUND)
    with pytest.raises(JobError) as caught:
        attach("nothing", session=session)
    assert str(caught.value) == (
        f"No training, tuning or transform job named nothing exists in {session!r}. 'dogbreed jobs' lists the jobs."
    )


def test_a_kind_that_may_not_be_read_does_not_count_as_missing(account: Account) -> None:
    session, aws = account
    aws.refusals["DescribeTrainingJob"] = refusal("AccessDeniedException", "not allowed")
    with pytest.raises(AccessError, match="Could not read training job dogs: not allowed"):
        attach("dogs", session=session)


@pytest.mark.extras
@pytest.mark.slow
def test_the_session_is_the_one_passed_or_else_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Session.local(tmp_path / "root") as session:
        started = start_script("print('done')", tmp_path, session)
        assert attach(started.name, session=session).session is session
        monkeypatch.setenv("DOGBREED_ROOT", str(tmp_path / "root"))
        with attach(started.name).session as default:
            assert default.root == session.root
        monkeypatch.setenv("DOGBREED_ROOT", str(tmp_path / "other"))
        with pytest.raises(JobError, match=f"No training.* named {started.name} exists in .*other"):
            attach(started.name)
        assert attach(started.name, session=session).name == started.name
        started.wait(progress=None)
