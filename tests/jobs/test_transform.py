"""Batch transform jobs: pictures of every kind in, predictions out, and a reason for each picture that has none."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk import (
    BreedDataset,
    ConfigurationError,
    DatasetError,
    JobError,
    JobFailedError,
    JobStoppedError,
    LabelError,
    LabelMap,
    ModelError,
    Prediction,
    Session,
    TransformJob,
    attach,
    transform,
)
from dogbreed_sdk._util.progress import JobProgress, no_progress
from dogbreed_sdk.jobs.batch_transform import TransformOptions
from dogbreed_sdk.jobs.listing import list_jobs
from dogbreed_sdk.jobs.transform_outputs import outputs_by_input
from tests.width_model import ANSWERED, REFUSED, SLEEPS, pack_model, picture

pytestmark = [pytest.mark.extras, pytest.mark.slow]


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Session.local(tmp_path_factory.mktemp("transform") / "root") as made:
        yield made


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return pack_model(tmp_path_factory.mktemp("model")).as_uri()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of four formats, one that the model refuses, one that is broken, and files that are no pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "inner").mkdir()
    picture(ANSWERED).save(folder / "rex.jpg")
    picture(6).save(folder / "inner/with space & ü.png")
    picture(7).save(folder / "inner/rex.webp")
    picture(8).save(folder / "no-suffix", format="GIF")
    picture(REFUSED).save(folder / "cat: a.jpg")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (folder / "labels.csv").write_text("rex.jpg,Pug")
    (folder / ".DS_Store").write_bytes(b"x")
    return folder


@pytest.fixture(scope="module")
def ended(session: Session, model: str, pictures: Path) -> tuple[TransformJob, list[JobProgress]]:
    """A job that has ended, since two of its pictures failed, and what was shown meanwhile."""
    steps: list[JobProgress] = []
    job = transform(model, pictures, session=session, name="mixed", tags={"team": "dogs"})
    with pytest.raises(JobFailedError) as caught:
        job.wait(progress=steps.append)
    assert "predictions(on_error='return') has 4 classified pictures" in str(caught.value)
    return job, steps


def test_every_picture_has_a_prediction_or_a_reason(ended: tuple[TransformJob, list[JobProgress]]) -> None:
    results = dict(ended[0].predictions(on_error="return"))
    assert list(results) == [
        "broken.jpg",
        "cat: a.jpg",
        "inner/rex.webp",
        "inner/with space & ü.png",
        "no-suffix",
        "rex.jpg",
    ]
    predictions = {name: result for name, result in results.items() if isinstance(result, Prediction)}
    expected = {"rex.jpg": 1, "inner/with space & ü.png": 6, "inner/rex.webp": 7, "no-suffix": 8}
    assert {name: result.probability for name, result in predictions.items()} == {
        name: pytest.approx(1 - 1 / (width + 9)) for name, width in expected.items()
    }
    refused, broken = results["cat: a.jpg"], results["broken.jpg"]
    assert str(refused) == "cat: a.jpg has no prediction: ClientError: 422: not a picture of a dog"
    assert isinstance(broken, ModelError)
    assert "cannot identify image" in str(broken)


def test_without_a_choice_the_first_failure_is_raised(ended: tuple[TransformJob, list[JobProgress]]) -> None:
    with pytest.raises(ModelError, match=r"broken\.jpg has no prediction"):
        list(ended[0].predictions())


def test_waiting_shows_how_many_pictures_are_done(ended: tuple[TransformJob, list[JobProgress]]) -> None:
    job, steps = ended
    assert steps[-1] == JobProgress("mixed", "Failed", "4 of 6 pictures", steps[-1].seconds, 1.0)
    assert job.status == "Failed"
    assert job.seconds > 0


def test_its_model_is_gone_and_its_log_is_kept(ended: tuple[TransformJob, list[JobProgress]]) -> None:
    job, _ = ended
    assert job.session.client("sagemaker").list_models()["Models"] == []
    assert any("ClientError: 422" in line for line in job.logs())
    arn = job.describe()["TransformJobArn"]
    tags = job.session.client("sagemaker").list_tags(ResourceArn=arn)["Tags"]
    assert {"Key": "team", "Value": "dogs"} in tags
    assert {"Key": "dogbreed:created-by", "Value": "dogbreed-sdk"} in tags


def test_it_is_listed_and_found_again(ended: tuple[TransformJob, list[JobProgress]]) -> None:
    [listed] = [job for job in list_jobs(ended[0].session) if job["name"] == "mixed"]
    assert (listed["kind"], listed["status"]) == ("transform", "Failed")
    assert isinstance(attach("mixed", session=ended[0].session), TransformJob)
    with pytest.raises(JobError, match="The transform job nothing does not exist"):
        _ = TransformJob("nothing", ended[0].session).status


def test_a_split_and_single_pictures_are_transformed_and_deleted(
    session: Session, model: str, shapes: BreedDataset, pictures: Path
) -> None:
    of_split = transform(model, shapes, session=session, split="test", name="of-split", max_concurrency=3)
    single = transform(model, [pictures / "rex.jpg", pictures / "inner/rex.webp"], session=session)
    assert [name for name, _ in of_split.wait(progress=no_progress).predictions()] == sorted(
        each.path.relative_to(shapes.root).as_posix() for each in shapes.pictures("test")
    )
    assert {name for name, _ in single.wait(progress=no_progress).predictions()} == {"rex.jpg", "inner/rex.webp"}
    assert single.name.startswith("dogbreed-transform-")
    for job, count in ((of_split, 24), (single, 4)):
        assert len(job.stored_sizes()) == count
        job.delete()
        assert job.stored_sizes() == []


def test_a_job_can_be_stopped(session: Session, model: str, tmp_path: Path) -> None:
    for number in range(30):
        picture(SLEEPS).save(tmp_path / f"{number}.png")
    job = transform(model, tmp_path, session=session, name="stopped", max_concurrency=1)
    with pytest.raises(JobError, match=r"is InProgress. Call wait\(\) first"):
        next(job.predictions())
    with pytest.raises(JobError, match="is InProgress; stop it"):
        job.delete()
    job.stop()
    with pytest.raises(JobStoppedError, match="was stopped"):
        job.wait(progress=no_progress)
    job.stop()
    results = list(job.predictions(on_error="return"))
    assert len(results) == 30
    assert "the job is Stopped" in str(results[-1][1])


@pytest.mark.parametrize(
    ("given", "options", "error", "message"),
    [
        ("empty", {}, ConfigurationError, "There are no pictures in"),
        ("missing", {}, DatasetError, "missing is not a file"),
        ([], {}, ConfigurationError, "There are no pictures in"),
        (["empty"], {"split": "test"}, ConfigurationError, "a list of pictures has none"),
        ("pictures", {"instance_type": "ml.m5.larg"}, ConfigurationError, "for a transform job; did you mean"),
        ("pictures", {"max_concurrency": 5, "max_payload_mb": 25}, ConfigurationError, "may be 100 at most"),
        ("pictures", {"image_uri": "mine", "framework_version": "2.5"}, ConfigurationError, "exclude each other"),
        ("pictures", {"max_payload_mb": 0}, ConfigurationError, "max_payload_mb must be"),
        ("pictures", {"name": "no spaces"}, ConfigurationError, "cannot name a transform job"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_stored(
    session: Session,
    model: str,
    tmp_path: Path,
    pictures: Path,
    given: Any,
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    (tmp_path / "empty").mkdir()
    chosen = pictures if given == "pictures" else tmp_path / given if isinstance(given, str) else given
    before = session.storage.sizes(session.base_uri)
    with pytest.raises(error, match=message):
        transform(model, chosen, session=session, **options)
    assert session.storage.sizes(session.base_uri) == before
    assert session.client("sagemaker").list_models()["Models"] == []


def test_a_refused_job_leaves_nothing(session: Session, model: str, pictures: Path) -> None:
    before = session.storage.sizes(session.base_uri)
    with pytest.raises(JobError, match="Could not start transform job mixed-2"):
        transform(model, pictures, session=session, name="mixed-2", output_uri="ftp://elsewhere")
    assert session.storage.sizes(session.base_uri) == before
    assert session.client("sagemaker").list_models()["Models"] == []


def test_plain_outputs_need_the_labels(
    session: Session, ended: tuple[TransformJob, list[JobProgress]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.storage, "read_bytes", lambda _: b"[[0.25, 0.75]]")
    plain = dict(ended[0].predictions(labels=LabelMap.from_list(["Boxer", "Pug"]), on_error="return"))
    assert plain["rex.jpg"].label == "Pug"  # type: ignore[union-attr]
    with pytest.raises(LabelError, match=r"without labels\. Pass labels=…"):
        list(ended[0].predictions(on_error="return"))


def test_everything_that_transforms_takes_the_same_arguments() -> None:
    parameters = inspect.signature(transform).parameters.keys() - {"model_uri", "pictures", "session"}
    assert set(TransformOptions.__annotations__) == parameters


def test_thousands_of_outputs_are_matched_in_no_time() -> None:
    inputs = [f"{number % 100}/{number}.jpg" for number in range(20_000)]
    found = outputs_by_input(inputs, {f"elsewhere/{number}.jpg.out" for number in range(1, 20_000)})
    assert found["0/0.jpg"] is None
    assert found["99/199.jpg"] == "elsewhere/199.jpg.out"
