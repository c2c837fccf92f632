"""Models, endpoint configurations and endpoints over the API, with a real model server behind."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.store import ENDPOINT
from tests.model_servers import server_of
from tests.waiting import script_until, wait_for

ARN = "arn:aws:sagemaker:us-east-1:000000000000"
SHOUT = """
def model_fn(model_dir, context=None):
    return "{word}"

def input_fn(body, content_type):
    return body.decode() if isinstance(body, (bytes, bytearray)) else body

def predict_fn(data, model):
    if data == "fail":
        raise ValueError("the model can't do that")
    return data.upper() + model

def output_fn(prediction, accept):
    return prediction, accept
"""

Deploy = Callable[..., None]


def archive(folder: Path, word: str, code: str = SHOUT) -> str:
    """A model archive whose code answers in capitals, with a word behind."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "inference.py").write_text(code.replace("{word}", word))
    path = folder / f"model{word}.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder / "inference.py", "code/inference.py")
    return path.as_uri()


def variant(model: str, **members: Any) -> dict[str, Any]:
    return {
        "VariantName": "Main",
        "ModelName": model,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
        **members,
    }


@pytest.fixture
def add_config(sagemaker: Any, tmp_path: Path) -> Callable[[str, str], None]:
    """Makes a model and an endpoint configuration of one name."""

    def add(name: str, word: str, code: str = SHOUT) -> None:
        url = archive(tmp_path / "models" / name, word, code)
        environment = {"SAGEMAKER_PROGRAM": "inference.py"}
        container = {"Image": "i", "ModelDataUrl": url, "Environment": environment}
        sagemaker.create_model(
            ModelName=name, PrimaryContainer=container, ExecutionRoleArn="arn:aws:iam::000000000000:role/r"
        )
        sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant(name)])

    return add


def status_reached(sagemaker: Any, name: str, *statuses: str) -> dict[str, Any]:
    def described() -> dict[str, Any]:
        answer: dict[str, Any] = sagemaker.describe_endpoint(EndpointName=name)
        return answer

    def reached() -> dict[str, Any] | None:
        answer = described()
        return answer if answer["EndpointStatus"] in statuses else None

    return wait_for(reached, state=described)


@pytest.fixture
def endpoint(sagemaker: Any, add_config: Deploy) -> Any:
    """An endpoint "shout" in service; it is deleted in the end."""
    add_config("first", "!")
    sagemaker.create_endpoint(EndpointName="shout", EndpointConfigName="first")
    yield status_reached(sagemaker, "shout", "InService", "Failed")
    delete_quietly(sagemaker, "shout")


def delete_quietly(sagemaker: Any, name: str) -> None:
    try:
        status_reached(sagemaker, name, "InService", "Failed")
        sagemaker.delete_endpoint(EndpointName=name)
    except ClientError as error:
        assert "Could not find endpoint" in str(error)


def ask(runtime: Any, body: str = "wuff") -> str:
    answer = runtime.invoke_endpoint(
        EndpointName="shout", Body=body.encode(), ContentType="text/plain", Accept="text/plain"
    )
    return answer["Body"].read().decode()


def test_an_endpoint_from_creation_to_deletion(
    sagemaker: Any, client: Any, endpoint: dict[str, Any], store: Store
) -> None:
    assert endpoint["EndpointStatus"] == "InService", endpoint.get("FailureReason")
    assert endpoint["EndpointArn"] == f"{ARN}:endpoint/shout"
    assert endpoint["EndpointConfigName"] == "first"
    (summary,) = endpoint["ProductionVariants"]
    assert (summary["VariantName"], summary["CurrentInstanceCount"], summary["CurrentWeight"]) == ("Main", 1, 1.0)
    assert [e["EndpointName"] for e in sagemaker.list_endpoints(StatusEquals="InService")["Endpoints"]] == ["shout"]
    runtime = client("sagemaker-runtime")
    assert ask(runtime) == "WUFF!"
    server = psutil.Process(server_of(store, "shout")["pid"])
    sagemaker.delete_endpoint(EndpointName="shout")
    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE
    with pytest.raises(ClientError, match=f'Could not find endpoint "{ARN}:endpoint/shout"'):
        sagemaker.describe_endpoint(EndpointName="shout")
    with pytest.raises(runtime.exceptions.ValidationError, match="Endpoint shout of account 000000000000 not found"):
        ask(runtime)


def test_an_update_switches_to_the_new_model(
    sagemaker: Any, client: Any, endpoint: Any, add_config: Deploy, tmp_path: Path
) -> None:
    runtime = client("sagemaker-runtime")
    assert ask(runtime) == "WUFF!"
    add_config("second", "?", script_until(tmp_path / "go") + SHOUT)
    sagemaker.update_endpoint(EndpointName="shout", EndpointConfigName="second")
    assert ask(runtime) == "WUFF!"  # no gap
    for call in (
        lambda: sagemaker.update_endpoint(EndpointName="shout", EndpointConfigName="first"),
        lambda: sagemaker.delete_endpoint(EndpointName="shout"),
    ):
        with pytest.raises(ClientError, match=f'Cannot update in-progress endpoint "{ARN}:endpoint/shout"'):
            call()
    (tmp_path / "go").touch()
    assert status_reached(sagemaker, "shout", "InService")["EndpointConfigName"] == "second"
    assert ask(runtime) == "WUFF?"


def test_an_update_that_fails_leaves_the_old_model(
    sagemaker: Any, client: Any, endpoint: Any, add_config: Deploy
) -> None:
    add_config("broken", "?", "raise RuntimeError('no such weights')")
    sagemaker.update_endpoint(EndpointName="shout", EndpointConfigName="broken")
    answer = status_reached(sagemaker, "shout", "InService")
    assert "no such weights" in answer["FailureReason"]
    assert answer["EndpointConfigName"] == "first"
    assert ask(client("sagemaker-runtime")) == "WUFF!"


def test_a_model_that_does_not_load_fails_the_endpoint(sagemaker: Any, add_config: Deploy) -> None:
    add_config("broken", "?", "raise RuntimeError('no such weights')")
    sagemaker.create_endpoint(EndpointName="shout", EndpointConfigName="broken")
    answer = status_reached(sagemaker, "shout", "InService", "Failed")
    assert answer["EndpointStatus"] == "Failed"
    assert "no such weights" in answer["FailureReason"]
    with pytest.raises(ClientError, match="in status Failed"):
        sagemaker.update_endpoint(EndpointName="shout", EndpointConfigName="broken")
    sagemaker.delete_endpoint(EndpointName="shout")


def test_an_endpoint_outlives_what_it_was_made_from(sagemaker: Any, client: Any, endpoint: Any, store: Store) -> None:
    sagemaker.delete_endpoint_config(EndpointConfigName="first")
    sagemaker.delete_model(ModelName="first")
    runtime = client("sagemaker-runtime")
    assert ask(runtime) == "WUFF!"
    server = psutil.Process(server_of(store, "shout")["pid"])
    server.kill()
    psutil.wait_procs([server], timeout=60)
    assert ask(runtime) == "WUFF!"  # as it does the day after


def test_the_models_own_errors_come_through(client: Any, endpoint: Any) -> None:
    runtime = client("sagemaker-runtime")
    with pytest.raises(runtime.exceptions.ModelError) as caught:
        ask(runtime, "fail")
    answer = caught.value.response
    assert answer["OriginalStatusCode"] == 500
    assert "the model can't do that" in answer["OriginalMessage"]
    assert answer["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/shout")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 424
    logs, group = client("logs"), "/aws/sagemaker/Endpoints/shout"
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert stream["logStreamName"].startswith("Main/")


def test_an_endpoint_is_deleted_once(sagemaker: Any, endpoint: Any, store: Store) -> None:
    change = {"status": "Deleting"}
    store.update(ENDPOINT, "shout", lambda state: state.update(change))
    with pytest.raises(ClientError, match=f'ValidationException.*"{ARN}:endpoint/shout" is being deleted'):
        sagemaker.delete_endpoint(EndpointName="shout")
    store.update(ENDPOINT, "shout", lambda state: state.update(status="InService"))
    with ThreadPoolExecutor(4) as pool:
        deletions = [pool.submit(sagemaker.delete_endpoint, EndpointName="shout") for _ in range(4)]
    errors = [str(deletion.exception()) for deletion in deletions if deletion.exception()]
    assert len(errors) == 3
    assert all("is being deleted" in error or "Could not find endpoint" in error for error in errors), errors


def test_names_are_used_once(sagemaker: Any, add_config: Deploy, endpoint: Any) -> None:
    with pytest.raises(ClientError, match=f'Cannot create already existing model "{ARN}:model/first"'):
        sagemaker.create_model(ModelName="first", PrimaryContainer={"Image": "i"})
    with pytest.raises(ClientError, match=f'already existing endpoint configuration "{ARN}:endpoint-config/first"'):
        sagemaker.create_endpoint_config(EndpointConfigName="first", ProductionVariants=[variant("first")])
    with pytest.raises(ClientError, match=f'Cannot create already existing endpoint "{ARN}:endpoint/shout"'):
        sagemaker.create_endpoint(EndpointName="shout", EndpointConfigName="first")


@pytest.mark.parametrize(
    ("call", "members", "complaint"),
    [
        ("describe_model", {"ModelName": "m"}, f'Could not find model "{ARN}:model/m"'),
        ("delete_model", {"ModelName": "m"}, "Could not find model"),
        ("describe_endpoint_config", {"EndpointConfigName": "c"}, f'endpoint configuration "{ARN}:endpoint-config/c"'),
        ("delete_endpoint_config", {"EndpointConfigName": "c"}, "Could not find endpoint configuration"),
        ("describe_endpoint", {"EndpointName": "e"}, f'Could not find endpoint "{ARN}:endpoint/e"'),
        ("delete_endpoint", {"EndpointName": "e"}, "Could not find endpoint"),
        ("update_endpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, f'endpoint "{ARN}:endpoint/e"'),
        ("create_endpoint", {"EndpointName": "e", "EndpointConfigName": "c"}, "Could not find endpoint configuration"),
        ("create_endpoint_config", {"EndpointConfigName": "c", "ProductionVariants": [variant("m")]}, "find model"),
        ("create_endpoint_config", {"EndpointConfigName": "c", "ProductionVariants": [variant("m"), variant("m")]},
         "'Main' is used more than once"),
        ("create_model", {"ModelName": "m"}, "either PrimaryContainer or Containers"),
        ("create_model", {"ModelName": "m", "PrimaryContainer": {}}, "needs an Image"),
        ("create_model", {"ModelName": "m", "PrimaryContainer": {"Image": "i", "ModelDataUrl": "file:///no/model.tar.gz"}},
         "Could not find model data at file:///no/model.tar.gz"),
        ("list_tags", {"ResourceArn": f"{ARN}:model/m"}, "Could not find resource"),
    ],
)  # fmt: skip
def test_what_aws_would_refuse_is_refused(
    empty_sagemaker: Any, call: str, members: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ClientError, match=complaint) as caught:
        getattr(empty_sagemaker, call)(**members)
    assert caught.value.response["Error"]["Code"] == "ValidationException"


def test_tags_are_added_replaced_and_taken_away(sagemaker: Any) -> None:
    tags = [{"Key": "team", "Value": "dogs"}]
    arn = sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "i"}, Tags=tags)["ModelArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "cats"}, {"Key": "cost", "Value": ""}])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [
        {"Key": "cost", "Value": ""},
        {"Key": "team", "Value": "cats"},
    ]
    sagemaker.delete_tags(ResourceArn=arn, TagKeys=["team", "missing"])
    assert sagemaker.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "cost", "Value": ""}]
    with pytest.raises(ClientError, match="may have 50"):
        sagemaker.add_tags(ResourceArn=arn, Tags=[{"Key": str(number), "Value": ""} for number in range(50)])
