"""Unmodified sagemaker.core resources, from creation to deletion."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dogbreed_sdk.local import LocalBotoSession, LocalSageMaker

ROLE = "arn:aws:iam::000000000000:role/local"
TRAIN = """
import os, pathlib, sys
print(f"score={float(sys.argv[sys.argv.index('--level') + 1]):.4f} [in/brackets]", flush=True)
pathlib.Path(os.environ["SM_MODEL_DIR"], "code").mkdir()
pathlib.Path(os.environ["SM_MODEL_DIR"], "code", "inference.py").write_text('''
def model_fn(model_dir, context=None):
    return "!"

def input_fn(body, content_type):
    return body.decode() if isinstance(body, (bytes, bytearray)) else body

def predict_fn(data, model):
    return data.upper() + model

def output_fn(prediction, accept):
    return prediction, accept
''')
"""
METRICS = [{"Name": "score", "Regex": "score=([0-9.]+)"}]

pytestmark = [
    # Its own imports warn (pydantic, importlib.metadata); what they warn about is not ours to mend.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def resources() -> Any:
    return pytest.importorskip("sagemaker.core.resources")


@pytest.fixture(scope="module")
def shapes(resources: Any) -> Any:
    return importlib.import_module("sagemaker.core.shapes")


@pytest.fixture
def session(local: LocalSageMaker) -> Iterator[LocalBotoSession]:
    utils = importlib.import_module("sagemaker.core.utils.utils")
    # It keeps one client a process; each test has a server of its own.
    utils.SingletonMeta._instances.clear()
    yield local.boto3_session()
    utils.SingletonMeta._instances.clear()


@pytest.fixture
def common(shapes: Any, script: Callable[[str], dict[str, str]], tmp_path: Path) -> dict[str, Any]:
    """What training and tuning jobs have in common."""
    return {
        "hyperparameters": {**script(TRAIN), "level": "0.5"},
        "output": shapes.OutputDataConfig(s3_output_path=(tmp_path / "output").as_uri()),
        "resources": shapes.ResourceConfig(instance_type="ml.m5.large", instance_count=1, volume_size_in_gb=5),
        "stopping": shapes.StoppingCondition(max_runtime_in_seconds=100),
        "metrics": [shapes.MetricDefinition(name=m["Name"], regex=m["Regex"]) for m in METRICS],
    }


def create_training_job(resources: Any, shapes: Any, session: Any, common: dict[str, Any], name: str, **hp: str) -> Any:
    return resources.TrainingJob.create(
        training_job_name=name,
        role_arn=ROLE,
        hyper_parameters={**common["hyperparameters"], **hp},
        algorithm_specification=shapes.AlgorithmSpecification(
            training_image="local/image", training_input_mode="File", metric_definitions=common["metrics"]
        ),
        output_data_config=common["output"],
        resource_config=common["resources"],
        stopping_condition=common["stopping"],
        session=session,
        region="us-east-1",
    )


def test_a_training_job(
    resources: Any,
    shapes: Any,
    session: Any,
    common: Any,
    local: LocalSageMaker,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Its log reader makes a session of its own; the standard variables lead it here.
    monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDWATCH_LOGS", local.endpoint_url)
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "x")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    job = create_training_job(resources, shapes, session, common, "dogs")
    with caplog.at_level(logging.INFO, logger="sagemaker.core.resources"):
        job.wait(poll=1, timeout=60, logs=True)
    assert "score=0.5000 [in/brackets]" in caplog.text
    job.refresh()
    assert job.training_job_status == "Completed"
    assert job.secondary_status_transitions[-1].status_message
    assert job.final_metric_data_list[0].value == 0.5
    assert [found.training_job_name for found in resources.TrainingJob.get_all(session=session)] == ["dogs"]


def test_stopping_a_training_job(
    resources: Any, shapes: Any, session: Any, common: Any, script: Callable[[str], dict[str, str]]
) -> None:
    common["hyperparameters"] = script("import time; time.sleep(60)")
    job = create_training_job(resources, shapes, session, common, "dogs")
    job.stop()
    job.wait(poll=1, timeout=60)
    assert job.refresh().training_job_status == "Stopped"


def test_a_job_that_fails_says_why(
    resources: Any, shapes: Any, session: Any, common: Any, script: Callable[[str], dict[str, str]]
) -> None:
    exceptions = importlib.import_module("sagemaker.core.utils.exceptions")
    common["hyperparameters"] = script("raise KeyError('no such breed')")
    job = create_training_job(resources, shapes, session, common, "dogs")
    with pytest.raises(exceptions.FailedStatusError, match="no such breed"):
        job.wait(poll=1, timeout=60)


@pytest.fixture
def search(shapes: Any, common: Any) -> dict[str, Any]:
    """The arguments of HyperParameterTuningJob.create for a random search of two trials."""
    static = {name: value for name, value in common["hyperparameters"].items() if name != "level"}
    ranges = [shapes.ContinuousParameterRange(name="level", min_value="0", max_value="1")]
    return {
        "hyper_parameter_tuning_job_name": "search",
        "hyper_parameter_tuning_job_config": shapes.HyperParameterTuningJobConfig(
            strategy="Random",
            hyper_parameter_tuning_job_objective=shapes.HyperParameterTuningJobObjective(
                type="Maximize", metric_name="score"
            ),
            resource_limits=shapes.ResourceLimits(max_number_of_training_jobs=2, max_parallel_training_jobs=2),
            parameter_ranges=shapes.ParameterRanges(continuous_parameter_ranges=ranges),
        ),
        "training_job_definition": shapes.HyperParameterTrainingJobDefinition(
            algorithm_specification=shapes.HyperParameterAlgorithmSpecification(
                training_image="local/image", training_input_mode="File", metric_definitions=common["metrics"]
            ),
            static_hyper_parameters=static,
            role_arn=ROLE,
            output_data_config=common["output"],
            resource_config=common["resources"],
            stopping_condition=common["stopping"],
        ),
    }


def test_a_tuning_job(resources: Any, session: Any, search: dict[str, Any]) -> None:
    job = resources.HyperParameterTuningJob.create(**search, session=session, region="us-east-1")
    job.wait(poll=1, timeout=60)
    job.refresh()
    assert job.hyper_parameter_tuning_job_status == "Completed", job.failure_reason
    best = job.best_training_job
    level = float(best.tuned_hyper_parameters["level"])
    assert best.final_hyper_parameter_tuning_job_objective_metric.value == pytest.approx(level, abs=1e-3)
    assert len(list(job.get_all_training_jobs(session=session))) == 2
    assert len(list(resources.HyperParameterTuningJob.get_all(session=session))) == 1


@pytest.fixture
def there(session: Any) -> dict[str, Any]:
    return {"session": session, "region": "us-east-1"}


@pytest.fixture
def model(resources: Any, shapes: Any, common: Any, there: dict[str, Any]) -> Any:
    """The model of a training job."""
    job = create_training_job(resources, shapes, there["session"], common, "dogs")
    job.wait(poll=1, timeout=60)
    container = shapes.ContainerDefinition(
        image="local/image",
        model_data_url=job.refresh().model_artifacts.s3_model_artifacts,
        environment={"SAGEMAKER_PROGRAM": "inference.py"},
    )
    return resources.Model.create(model_name="dogs", primary_container=container, execution_role_arn=ROLE, **there)


@pytest.fixture
def config(resources: Any, shapes: Any, model: Any, there: dict[str, Any]) -> Any:
    """An endpoint configuration with that model."""
    variant = shapes.ProductionVariant(
        variant_name="AllTraffic", model_name=model, initial_instance_count=1, instance_type="ml.m5.large"
    )
    return resources.EndpointConfig.create(endpoint_config_name="dogs", production_variants=[variant], **there)


def test_a_model_an_endpoint_and_an_answer(resources: Any, model: Any, config: Any, there: dict[str, Any]) -> None:
    endpoint = resources.Endpoint.create(endpoint_name="dogs", endpoint_config_name=config, **there)
    endpoint.wait_for_status("InService", poll=1, timeout=60)
    answer = endpoint.invoke(body=b"wuff", content_type="text/plain", accept="text/plain", **there)
    assert answer.body.read() == b"WUFF!"
    assert answer.invoked_production_variant == "AllTraffic"
    assert [found.endpoint_name for found in resources.Endpoint.get_all(session=there["session"])] == ["dogs"]
    endpoint.delete()
    endpoint.wait_for_delete(poll=1, timeout=60)
    config.delete()
    model.delete()
    assert list(resources.Model.get_all(session=there["session"])) == []
    assert list(resources.EndpointConfig.get_all(session=there["session"])) == []
