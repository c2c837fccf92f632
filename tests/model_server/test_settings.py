"""Options go before SageMaker's variables, and those before defaults."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dogbreed_sdk._util.cores import available_cores
from dogbreed_sdk.errors import ConfigurationError
from dogbreed_sdk.model_server.settings import Settings, read_settings

CORES = {"DOGBREED_LOCAL_CORES": "8"}


def settings(*arguments: str, **environ: str) -> Settings:
    return read_settings(arguments, {**CORES, **environ})


def test_a_container_needs_no_option() -> None:
    plain = settings("serve")
    assert (plain.model_dir, plain.port, plain.workers, plain.threads) == (Path("/opt/ml/model"), 8080, 1, 8)
    assert (plain.code, plain.program, plain.backend) == (Path("/opt/ml/model/code"), "inference.py", "auto")
    assert plain.host == "127.0.0.1"


def test_variables_count_and_options_count_more() -> None:
    variables = {
        "SAGEMAKER_BASE_DIR": "/base",
        "SAGEMAKER_BIND_TO_PORT": "9000",
        "SAGEMAKER_MODEL_SERVER_WORKERS": "2",
        "DOGBREED_BACKEND": "onnx",
        "OMP_NUM_THREADS": "3",
    }
    told = settings(**variables)
    assert (told.model_dir, told.port, told.workers) == (Path("/base/model"), 9000, 2)
    assert (told.backend, told.threads) == ("onnx", 3)
    options = ["--model-dir", "/own", "--port", "0", "--workers", "4", "--backend", "torch", "--threads", "1"]
    chosen = settings(*options, **variables)
    assert (chosen.model_dir, chosen.port, chosen.workers) == (Path("/own"), 0, 4)
    assert (chosen.backend, chosen.threads) == ("torch", 1)


@pytest.mark.parametrize(("megabytes", "limit"), [(None, 25 << 20), ("6", 25 << 20), ("100", 100 << 20), ("0", None)])
def test_a_batch_transform_job_may_allow_larger_requests(megabytes: str | None, limit: int | None) -> None:
    told = settings(**({} if megabytes is None else {"SAGEMAKER_MAX_PAYLOAD_IN_MB": megabytes}))
    assert told.request_bytes == (sys.maxsize if limit is None else limit)


def test_torchserves_variables_count_as_in_awss_containers() -> None:
    told = settings(
        SAGEMAKER_TS_MIN_WORKERS="2", SAGEMAKER_TS_RESPONSE_TIMEOUT="90", SAGEMAKER_MODEL_SERVER_TIMEOUT="9"
    )
    assert (told.workers, told.timeout_seconds) == (2, 90)
    with pytest.raises(ConfigurationError, match="SAGEMAKER_TS_RESPONSE_TIMEOUT must be a whole number"):
        settings(SAGEMAKER_TS_RESPONSE_TIMEOUT="soon")


def test_an_authors_messages_are_logged_from_information_on() -> None:
    assert (settings().log_level, settings("--sdk-code").log_level) == (20, 30)
    assert settings(SAGEMAKER_CONTAINER_LOG_LEVEL="40").log_level == 40


def test_workers_share_the_cores() -> None:
    assert settings("--workers", "3").threads == 2
    assert settings("--workers", "20").threads == 1


@pytest.mark.parametrize(("cores", "gpu", "workers"), [(2, False, 1), (8, False, 2), (96, False, 8), (96, True, 1)])
def test_auto_is_one_worker_for_four_cores_or_one_with_a_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cores: int, gpu: bool, workers: int
) -> None:
    device = tmp_path / "nvidiactl"
    if gpu:
        device.touch()
    monkeypatch.setattr("dogbreed_sdk.model_server.settings._NVIDIA_DEVICE", device)
    told = settings(SAGEMAKER_MODEL_SERVER_WORKERS="auto", DOGBREED_LOCAL_CORES=str(cores))
    assert (told.workers, told.threads) == (workers, cores // workers)


@pytest.mark.parametrize("submitted", ["s3://bucket/sourcedir.tar.gz", "/opt/ml/model/code", "", "code"])
def test_code_lies_beside_the_model_unless_the_submit_directory_is_a_folder_that_is_there(submitted: str) -> None:
    told = settings("--model-dir", "/nowhere/model", SAGEMAKER_SUBMIT_DIRECTORY=submitted)
    assert told.code == Path("/nowhere/model/code")


def test_a_worker_is_told_what_its_parent_knows(tmp_path: Path) -> None:
    parent = settings("--model-dir", str(tmp_path), "--workers", "2", "--backend", "onnx", "--sdk-code")
    worker = settings(*parent.worker_arguments(connections=5, parent_socket=6), SAGEMAKER_MODEL_SERVER_WORKERS="2")
    assert (worker.workers, worker.connections, worker.parent_socket) == (1, 5, 6)
    assert (worker.model_dir, worker.code) == (tmp_path, None)
    assert (worker.threads, worker.backend) == (4, "onnx")


def test_a_worker_finds_a_folder_that_its_parent_was_told_from_where_it_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    parent = settings("--model-dir", "model", "--log", "log.jsonl", "--workers", "2")
    monkeypatch.chdir("/")
    worker = settings(*parent.worker_arguments(connections=5, parent_socket=6))
    assert (worker.model_dir, worker.log) == (tmp_path / "model", tmp_path / "log.jsonl")


@pytest.mark.parametrize(
    ("option", "value"),
    [("--port", "x"), ("--port", "70000"), ("--workers", "-1"), ("--workers", "²"), ("--threads", "0")],
)
def test_numbers_out_of_bounds_are_refused(option: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"must be a whole number .*, not '{value}'"):
        settings(f"{option}={value}")


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("SAGEMAKER_MODEL_SERVER_WORKERS", "0", "workers (SAGEMAKER_MODEL_SERVER_WORKERS) must be a whole number"),
        ("SAGEMAKER_BIND_TO_PORT", "65536", "port (SAGEMAKER_BIND_TO_PORT) must be a whole number from 0 to 65535"),
        ("SAGEMAKER_MODEL_SERVER_TIMEOUT", "soon", "SAGEMAKER_MODEL_SERVER_TIMEOUT must be a whole number"),
        ("DOGBREED_BACKEND", "tensorflow", "DOGBREED_BACKEND must be one of auto, torch, onnx, not 'tensorflow'"),
    ],
)
def test_a_variable_that_makes_no_sense_is_named(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        settings(**{variable: value})
    assert message in str(caught.value)


def test_cores_that_are_no_number_are_counted() -> None:
    assert available_cores({"DOGBREED_LOCAL_CORES": "²"}) == available_cores({})
