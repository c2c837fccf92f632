"""Sessions and classifiers go to other processes as where they lead: into process pools, and through task queues."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import boto3
import pytest

from dogbreed_sdk import AsyncBreedClassifier, BreedClassifier, LabelMap, Prediction, Session
from dogbreed_sdk.client.transports import bundle as bundle_transport
from dogbreed_sdk.errors import ConfigurationError, EndpointNotFoundError
from dogbreed_sdk.model_server import start
from dogbreed_sdk.testing import picture
from tests.model_server.model_process import write_model
from tests.training_scripts.conftest import write_bundle

pytestmark = pytest.mark.extras

PICTURES = [picture(number) for number in range(2)]
ANSWERING = """
import json
def model_fn(model_dir): return 0
def input_fn(body, content_type): return body
def predict_fn(data, model): return model
def output_fn(prediction, accept):
    score = {"index": 0, "class_folder": "Pug", "label": "Pug", "logit": 0.0, "probability": 1.0}
    answer = {"model_id": "light", "classes": 1, "predictions": [{"scores": [score]}]}
    return json.dumps(answer), "application/vnd.dogbreed+json"
"""


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPoolExecutor]:
    """One process of a pool that shares nothing with this one but where it finds modules."""
    sys.path.insert(0, str(Path(__file__).parents[1]))  # a dependency brings a package of tests, too
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as processes:
        yield processes
    sys.path.remove(str(Path(__file__).parents[1]))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("pickled"))


@pytest.fixture(scope="module")
def in_process(bundle: Path) -> Iterator[BreedClassifier]:
    with BreedClassifier.from_bundle(bundle, max_attempts=1) as classifier:
        yield classifier


def loaded_models() -> int:
    """How many bundles a process of the pool has loaded."""
    return bundle_transport._load_version.cache_info().misses


def asked_async(classifier: AsyncBreedClassifier, content: bytes) -> Prediction:
    async def ask() -> Prediction:
        async with classifier:
            return await classifier.classify(content)

    return asyncio.run(ask())


def names_of_endpoints(session: Session) -> list[str]:
    with session:
        return [one["EndpointName"] for one in session.client("sagemaker").list_endpoints()["Endpoints"]]


def test_a_bundle_is_loaded_once_in_a_process_of_a_pool(pool: ProcessPoolExecutor, in_process: BreedClassifier) -> None:
    here = [prediction.scores for prediction in in_process.classify_many(PICTURES)]
    there = [prediction.scores for prediction in pool.map(in_process.classify, PICTURES)]
    for one, other in zip(here, there, strict=True):
        assert [score.label for score in one] == [score.label for score in other]
        assert [s.probability for s in one] == pytest.approx([s.probability for s in other], abs=1e-6)
    assert pool.submit(loaded_models).result() == 1


def test_unpickling_one_of_a_bundle_loads_nothing(in_process: BreedClassifier, bundle: Path, tmp_path: Path) -> None:
    missed = loaded_models()
    again = pickle.loads(pickle.dumps(in_process))
    assert (again.model_id, list(again.labels())) == (in_process.model_id, list(in_process.labels()))
    assert again.endpoint_name == f"bundle {bundle}"
    assert loaded_models() == missed
    again._transport._path = tmp_path / "gone"
    with pytest.raises(ConfigurationError, match=r"Cannot read the bundle .*gone: No such file"):
        again.classify(PICTURES[0])


def test_a_server_is_asked_from_another_process(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    with start(write_model(tmp_path / "model", ANSWERING), code="bundle") as server:
        classifier = BreedClassifier.from_server(server.url, deadline=20.0, labels=["Pug"])
        assert [prediction.label for prediction in pool.map(classifier.classify, PICTURES)] == ["Pug"] * 2
        asynchronous = AsyncBreedClassifier.wrapping(classifier)
        assert pool.submit(asked_async, asynchronous, PICTURES[0]).result().label == "Pug"
    again = pickle.loads(pickle.dumps(classifier))
    assert again.options == classifier.options
    assert again.options.labels == LabelMap.from_list(["Pug"])


def test_an_endpoint_of_local_sagemaker_is_asked_there_too(pool: ProcessPoolExecutor, tmp_path: Path) -> None:
    with Session.local(tmp_path / "root") as session:
        assert pool.submit(names_of_endpoints, session).result() == []
        classifier = BreedClassifier("dogs", session=session)
        with pytest.raises(EndpointNotFoundError, match="dogs"):
            pool.submit(classifier.classify, PICTURES[0]).result()
        assert session.client("sagemaker").list_endpoints()["Endpoints"] == [], "its own server runs on"


def test_a_session_for_aws_goes_as_names_and_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAKNOWNTONOBODYELSE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret-known-to-nobody-else")
    session = Session.aws(region="eu-west-1", role="trainer", bucket="dogs", prefix="p")
    assert session.client("sagemaker").meta.region_name == "eu-west-1"
    classifier = BreedClassifier("dogs", session=session, wait_ready=3.0)
    pickled = pickle.dumps(classifier)
    assert b"KNOWNTONOBODY" not in pickled
    assert b"known-to-nobody" not in pickled
    again = pickle.loads(pickled)
    assert (again.endpoint_name, again.options, again.session.region) == ("dogs", classifier.options, "eu-west-1")
    assert (again.session._role, again.session.base_uri) == ("trainer", "s3://dogs/p")
    assert pickle.loads(pickled).session is again.session, "its clients are made once in a process"
    profile = Session.aws(profile="work")
    assert pickle.loads(pickle.dumps(profile))._profile == "work"


def test_a_session_that_only_looks_makes_no_folder_elsewhere_either(tmp_path: Path) -> None:
    looking, beginning = Session.existing(tmp_path / "root"), Session.local(tmp_path / "root")
    again = pickle.loads(pickle.dumps(looking))
    with pytest.raises(ConfigurationError, match="does not exist, so there is no local SageMaker"):
        again.client("sagemaker")
    assert not (tmp_path / "root").exists()
    assert pickle.loads(pickle.dumps(beginning)) is not again


def test_a_session_with_foreign_credentials_says_what_to_do_instead() -> None:
    session = Session.aws(boto3_session=boto3.Session("AKIA", "secret", region_name="eu-west-1"))
    with pytest.raises(ConfigurationError, match=r"cannot be pickled.*Session\.aws\(profile=…"):
        pickle.dumps(BreedClassifier("dogs", session=session))


def test_a_closed_classifier_stays_closed() -> None:
    classifier = BreedClassifier.from_server("http://127.0.0.1:1")
    classifier.close()
    with pytest.raises(ConfigurationError, match="was closed"):
        pickle.loads(pickle.dumps(classifier)).classify(PICTURES[0])
