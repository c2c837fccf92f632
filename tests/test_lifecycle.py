"""The whole life of a model on local SageMaker, through the library, with real jobs and a real endpoint."""

from __future__ import annotations

import datetime
import io
import json
import random
import shutil
import sys
import tarfile
import threading
import traceback
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dogbreed_sdk import (
    Asynchronous,
    BreedClassifier,
    BreedDataset,
    BreedTrainer,
    DataCapture,
    Deployment,
    EndpointError,
    EndpointNotFoundError,
    JobFailedError,
    JobStoppedError,
    LabelMap,
    Prediction,
    Serverless,
    Session,
    TrainingJob,
    TuningJob,
    UnsupportedImageError,
    attach,
    deploy,
    evaluate,
)
from dogbreed_sdk.endpoints.captured import CapturedRequest
from tests.conftest import Workshop, draw_shape
from tests.waiting import wait_for

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def deployment(workshop: Workshop) -> Deployment:
    with workshop.job.deploy(data_capture=DataCapture(), progress=None) as made:
        yield made


def test_a_search_reports_every_trial_and_picks_the_best_objective(workshop: Workshop) -> None:
    trials = workshop.tuning.trials()
    assert [trial.status for trial in trials] == ["Completed"] * 3
    assert all(set(trial.hyperparameters) == {"lr", "weight-decay", "batch-size"} for trial in trials)
    assert all(trial.seconds is not None and trial.seconds > 0 for trial in trials)
    best = workshop.tuning.best
    assert best.objective == min(trial.objective for trial in trials if trial.objective is not None)
    assert best.hyperparameters["epochs"] in (6, "6")


def test_the_pictures_went_through_the_backbone_once(workshop: Workshop) -> None:
    client = workshop.session.client("sagemaker")
    found = client.list_training_jobs(NameContains="shapes-features")["TrainingJobSummaries"]
    assert len(found) == 1
    channels = workshop.job.describe()["InputDataConfig"]
    assert [channel["ChannelName"] for channel in channels] == ["features"]


def test_a_training_run_tells_its_metrics_by_epoch_and_at_its_end(workshop: Workshop) -> None:
    epochs = workshop.job.metrics()
    assert [epoch.epoch for epoch in epochs] == [1, 2, 3, 4, 5, 6]
    assert all({"train:loss", "train:accuracy", "valid:loss", "valid:accuracy"} <= set(e.values) for e in epochs)
    final = workshop.job.final_metrics
    assert final["valid:loss"] == pytest.approx(min(epoch.values["valid:loss"] for epoch in epochs), abs=1e-4)
    assert final["test:accuracy"] >= 0.9


def test_waiting_shows_each_job_with_its_state_and_how_far_it_is(workshop: Workshop) -> None:
    shown = [step for step in workshop.steps if step.job == workshop.job.name]
    assert shown[-1].status == "Completed"
    assert any(step.fraction and "valid:loss" in step.message for step in shown)
    trials = {trial.name for trial in workshop.tuning.trials()}
    assert trials <= {step.job for step in workshop.steps}


def test_the_artifact_is_a_bundle(workshop: Workshop, tmp_path: Path) -> None:
    path = workshop.job.download_model(tmp_path)
    with tarfile.open(path) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
        member = next(entry for entry in archive.getmembers() if entry.name.removeprefix("./") == "model.json")
        description = json.load(archive.extractfile(member) or io.BytesIO())
    assert {"model.pth", "model.json", "code/inference.py"} <= names
    assert tuple(description["classes"]) == workshop.dataset.classes


def test_an_endpoint_answers_with_labels_and_probabilities(workshop: Workshop, deployment: Deployment) -> None:
    classifier = deployment.classifier()
    for picture in workshop.dataset.pictures("test"):
        prediction = classifier.classify(picture.path, top_k=3)
        assert prediction.class_folder == workshop.dataset.classes[prediction.index]
        assert sum(score.probability for score in prediction.scores) == pytest.approx(1.0, abs=1e-6)
        assert prediction.model_id
        assert prediction.request_id
    result = evaluate(classifier, workshop.dataset)
    assert result.accuracy == pytest.approx(workshop.job.final_metrics["test:accuracy"])


def test_every_form_of_one_picture_gets_one_answer(workshop: Workshop, deployment: Deployment) -> None:
    classifier = deployment.classifier()
    path = workshop.dataset.pictures("test")[0].path
    data = path.read_bytes()
    with Image.open(path) as image:
        image.load()
        forms = [path, str(path), data, io.BytesIO(data), image]
        answers = [classifier.classify(form) for form in forms]
    assert len({answer.class_folder for answer in answers}) == 1
    assert all(answer.probability == pytest.approx(answers[0].probability, abs=1e-5) for answer in answers)


@pytest.mark.parametrize(
    "kind",
    [{"asynchronous": Asynchronous()}, {"serverless": Serverless(2048)}],
    ids=["asynchronous", "serverless"],
)
def test_every_kind_of_endpoint_gives_the_same_predictions(
    workshop: Workshop, deployment: Deployment, kind: dict[str, Any]
) -> None:
    pictures = [picture.path for picture in workshop.dataset.pictures("test")][::4]
    expected = list(deployment.classifier().classify_many(pictures))
    with workshop.job.deploy(progress=None, **kind) as other:
        found = list(other.classifier().classify_many(pictures))
    assert [each.label for each in found] == [each.label for each in expected]
    assert [each.probability for each in found] == pytest.approx([each.probability for each in expected], abs=1e-4)


def test_a_batch_transform_job_has_the_predictions_of_the_endpoint(
    workshop: Workshop, deployment: Deployment, tmp_path: Path
) -> None:
    pictures = {f"{each.class_folder}-{each.path.name}": each.path for each in workshop.dataset.pictures("test")}
    for name, path in pictures.items():
        shutil.copy(path, tmp_path / name)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    job = workshop.job.transform(tmp_path)
    with pytest.raises(JobFailedError, match=rf"1 of {len(pictures) + 1} objects failed"):
        job.wait(progress=None)
    results = dict(job.predictions(on_error="return", top_k=3))
    assert "broken.jpg has no prediction: ClientError: 4" in str(results.pop("broken.jpg"))
    assert results.keys() == pictures.keys()
    classifier = deployment.classifier()
    for name, result in results.items():
        expected = classifier.classify(pictures[name], top_k=3)
        assert isinstance(result, Prediction)
        assert (result.class_folder, result.model_id) == (expected.class_folder, expected.model_id)
        # The sums of a batch may be in another order.
        assert result.probability == pytest.approx(expected.probability, abs=1e-4)
    job.delete()


def test_old_clients_get_one_plain_score_a_class(workshop: Workshop, deployment: Deployment) -> None:
    picture = workshop.dataset.pictures("test")[0]
    answer = workshop.session.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=deployment.endpoint_name, ContentType="image/jpeg", Body=picture.path.read_bytes()
    )
    assert answer["ContentType"].startswith("application/json")
    [scores] = json.loads(answer["Body"].read())
    assert len(scores) == 3
    assert scores.index(max(scores)) == deployment.classifier().classify(picture.path).index


def test_given_labels_rename_the_answer(workshop: Workshop, deployment: Deployment) -> None:
    labels = LabelMap.from_list(["disc", "square", "stripes"])
    picture = workshop.dataset.pictures("test")[0]
    classifier = BreedClassifier(deployment.endpoint_name, session=workshop.session, labels=labels)
    assert classifier.classify(picture.path).label == labels.label(classifier.classify(picture.path).index)


def test_what_the_endpoint_was_asked_can_be_read(workshop: Workshop, deployment: Deployment) -> None:
    drawn = io.BytesIO()
    draw_shape("001.Red_disc", random.Random(99)).save(drawn, "PNG")  # no other test asks for it
    picture = drawn.getvalue()
    classifier = deployment.classifier()
    expected = classifier.classify(picture)

    def found() -> list[CapturedRequest]:
        return [each for each in deployment.captured() if each.picture == picture]

    def seen() -> tuple[list[CapturedRequest], list[str], list[str]]:
        """What was captured, the files, and what the server's threads do."""
        folder = deployment._describe()["DataCaptureConfig"]["DestinationS3Uri"]
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        stacks = [
            f"{names.get(number)}: {''.join(traceback.format_stack(frame)[-3:])}"
            for number, frame in sys._current_frames().items()
        ]
        return list(deployment.captured()), [file.name for file in workshop.session.storage.files(folder)], stacks

    (request,) = wait_for(found, state=seen)
    assert request.prediction(classifier.labels()).scores == expected.scores
    assert request.variant == "AllTraffic"
    second = datetime.timedelta(seconds=1)
    since = [
        list(deployment.captured(since=request.time + late * second, until=request.time + 9 * second))
        for late in (0, 1)
    ]
    assert [request in requests for requests in since] == [True, False]


def test_a_broken_picture_is_refused_before_any_call(deployment: Deployment) -> None:
    with pytest.raises(UnsupportedImageError):
        deployment.classifier().classify(b"no picture")


def test_a_missing_endpoint_is_named(session: Session, shapes: BreedDataset) -> None:
    with pytest.raises(EndpointNotFoundError, match="no-such-endpoint"):
        BreedClassifier("no-such-endpoint", session=session).classify(shapes.pictures("test")[0].path)


def test_leaving_the_block_deletes_endpoint_configuration_and_model(workshop: Workshop) -> None:
    client = workshop.session.client("sagemaker")
    with workshop.job.deploy(progress=None) as made:
        name = made.endpoint_name
        assert made.status == "InService"
    assert name not in str(client.list_endpoints()["Endpoints"])
    assert name not in str(client.list_endpoint_configs()["EndpointConfigs"])
    assert name not in str(client.list_models()["Models"])
    made.delete()  # a second time is no error


def test_an_endpoint_whose_model_cannot_be_loaded_fails_with_the_reason_and_leaves_nothing(
    workshop: Workshop, tmp_path: Path
) -> None:
    archive = tmp_path / "model.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        content = b"def model_fn(model_dir):\n    raise RuntimeError('weights of another model')\n"
        entry = tarfile.TarInfo("code/inference.py")
        entry.size = len(content)
        file.addfile(entry, io.BytesIO(content))
    with pytest.raises(EndpointError, match="weights of another model"):
        deploy(archive.as_uri(), session=workshop.session, endpoint_name="broken", progress=None)
    assert "broken" not in str(workshop.session.client("sagemaker").list_endpoints()["Endpoints"])


def test_jobs_are_found_again_by_their_names_from_another_session(workshop: Workshop) -> None:
    with Session.local(workshop.root) as other:
        training = attach(workshop.job.name, session=other)
        tuning = attach(workshop.tuning.name, session=other)
        assert isinstance(training, TrainingJob)
        assert isinstance(tuning, TuningJob)
        assert training.final_metrics == workshop.job.final_metrics


def test_the_same_seed_gives_the_same_model(workshop: Workshop) -> None:
    def model_id(job: TrainingJob) -> str:
        with job.deploy(progress=None) as made:
            return str(made.classifier().classify(workshop.dataset.pictures("test")[0].path).model_id)

    again = workshop.trainer.train(workshop.dataset, workshop.tuning.best.hyperparameters).wait(progress=None)
    assert model_id(again) == model_id(workshop.job)


def test_pictures_that_cannot_be_trained_on_fail_the_job_with_cause_and_fix(session: Session, tmp_path: Path) -> None:
    for split in ("train", "valid"):
        for name in ("a", "b"):
            folder = tmp_path / "data" / split / name
            folder.mkdir(parents=True)
            for number in range(4):
                (folder / f"{number}.jpg").write_bytes(b"this is no picture")
    with pytest.raises(JobFailedError) as caught:
        BreedTrainer(session).train(tmp_path / "data", progress=None)
    assert "cannot be read" in str(caught.value) or "corrupt" in str(caught.value)


def test_a_job_can_be_stopped_and_keeps_its_model_so_far(workshop: Workshop) -> None:
    job = workshop.trainer.train(workshop.dataset, {"epochs": 100_000, "lr": 1e-5})
    for line in job.logs(follow=True):
        if line.startswith("epoch 2/"):
            break
    job.stop()
    with pytest.raises(JobStoppedError):
        job.wait(progress=None)
    assert workshop.session.storage.exists(job.model_uri)
