"""Models of other authors: what their code finds in its container, and where their data comes from."""

from __future__ import annotations

import importlib.util
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest

from dogbreed_sdk.local import Store
from dogbreed_sdk.local.folders import EndpointFolder
from tests.local.conftest import ClientMaker
from tests.model_servers import server_of
from tests.waiting import wait_for

CODE = """
import json, logging
from lib.labels import LABELS
logging.getLogger(__name__).info("imported by %s", __name__)
def model_fn(model_dir):
    print("loading", model_dir)
    with open("/opt/ml/model/weights.json") as file:
        return json.load(file)
def predict_fn(data, model):
    return {"labels": LABELS, "weights": model, "code": __file__}
"""
FILES = {
    "weights.json": "[1, 2]",
    "code/inference.py": CODE,
    "code/lib/__init__.py": "",
    "code/lib/labels.py": "LABELS = ['beagle']",
}
ANSWER = {"labels": ["beagle"], "weights": [1, 2], "code": "/opt/ml/model/code/inference.py"}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def packed(folder: Path, archive: Path) -> Path:
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, ".")
    return archive


class Endpoint:
    """An endpoint made by plain boto3 as notebooks do; deleted with its test."""

    def __init__(self, client: ClientMaker, store: Store) -> None:
        self.sagemaker, self.runtime = client("sagemaker"), client("sagemaker-runtime")
        self.logs = client("logs")
        self._store = store
        self.made = False

    def create(self, container: dict[str, Any], variant: dict[str, Any] | None = None, **config: Any) -> dict[str, Any]:
        """Its description once it is in service, or has failed."""
        self.sagemaker.create_model(ModelName="m", PrimaryContainer={"Image": "image", **container})
        of_variant = {"VariantName": "AllTraffic", "ModelName": "m", "InstanceType": "ml.m5.large"}
        variants = [{**of_variant, "InitialInstanceCount": 1, **(variant or {})}]
        self.sagemaker.create_endpoint_config(EndpointConfigName="c", ProductionVariants=variants, **config)
        self.sagemaker.create_endpoint(EndpointName="e", EndpointConfigName="c")
        self.made = True

        def ready() -> dict[str, Any] | None:
            described: dict[str, Any] = self.sagemaker.describe_endpoint(EndpointName="e")
            return None if described["EndpointStatus"] == "Creating" else described

        return wait_for(ready)

    def invoke(self, body: bytes = b"[1]", **members: Any) -> Any:
        members = {"ContentType": "application/json", **members}
        return json.loads(self.runtime.invoke_endpoint(EndpointName="e", Body=body, **members)["Body"].read())

    def log(self) -> list[str]:
        group = "/aws/sagemaker/Endpoints/e"
        (stream,) = self.logs.describe_log_streams(logGroupName=group)["logStreams"]
        events = self.logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        return [event["message"] for event in events]

    def delete(self) -> None:
        if self.made:
            self.sagemaker.delete_endpoint(EndpointName="e")
            self.made = False


@pytest.fixture
def endpoint(client: ClientMaker, store: Store) -> Any:
    made = Endpoint(client, store)
    yield made
    made.delete()


def test_code_finds_its_model_at_opt_ml_and_its_messages_in_the_log(endpoint: Endpoint, tmp_path: Path) -> None:
    archive = packed(write(tmp_path / "model", FILES), tmp_path / "model.tar.gz")
    endpoint.create({"ModelDataUrl": archive.as_uri()})
    assert endpoint.invoke() == ANSWER
    log = endpoint.log()
    assert "loading /opt/ml/model" in log
    assert "INFO inference: imported by inference" in log


def test_without_mount_namespaces_the_paths_are_replaced(
    endpoint: Endpoint, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOGBREED_LOCAL_NAMESPACE", "off")
    code = CODE.replace("/opt/ml/model/weights.json", "{model_dir}/weights.json").replace('open("', 'open(f"')
    files = {**FILES, "code/inference.py": f"# Not /opt/ml/model here.{code}"}
    archive = packed(write(tmp_path / "model", files), tmp_path / "model.tar.gz")
    endpoint.create({"ModelDataUrl": archive.as_uri()})
    (unpacked,) = EndpointFolder.of(store.root, "e").path.glob("model-*/model")
    assert endpoint.invoke() == {**ANSWER, "code": f"{unpacked}/code/inference.py"}
    assert "can't show" in EndpointFolder.of(store.root, "e").server_log_of("AllTraffic").read_text()


@pytest.mark.parametrize("where", ["uri", "path", "in the model"])
def test_the_source_may_be_given_apart_from_the_model(endpoint: Endpoint, tmp_path: Path, where: str) -> None:
    """As PyTorchModel of the v2 SDK sends it: a sourcedir.tar.gz, or code repacked into the model."""
    code = {name.removeprefix("code/"): text for name, text in FILES.items() if name.startswith("code/")}
    code["serve.py"] = code.pop("inference.py")
    source = packed(write(tmp_path / "source", code), tmp_path / "sourcedir.tar.gz")
    weights = {"weights.json": "[1, 2]"}
    if where == "in the model":
        weights |= {f"code/{name}": text for name, text in code.items()}
    archive = packed(write(tmp_path / "model", weights), tmp_path / "model.tar.gz")
    submitted = {"uri": source.as_uri(), "path": str(source), "in the model": "/opt/ml/model/code"}[where]
    environment = {
        "SAGEMAKER_PROGRAM": "serve.py",
        "SAGEMAKER_SUBMIT_DIRECTORY": submitted,
        "SAGEMAKER_CONTAINER_LOG_LEVEL": "20",
        "SAGEMAKER_REGION": "us-east-1",
    }
    endpoint.create({"ModelDataUrl": archive.as_uri(), "Environment": environment})
    assert endpoint.invoke() == {**ANSWER, "code": "/opt/ml/model/code/serve.py"}


def data_source(uri: str, kind: str, compression: str) -> dict[str, Any]:
    return {"ModelDataSource": {"S3DataSource": {"S3Uri": uri, "S3DataType": kind, "CompressionType": compression}}}


@pytest.mark.parametrize("compression", ["None", "Gzip"])
def test_a_model_data_source_is_a_folder_or_an_archive(endpoint: Endpoint, tmp_path: Path, compression: str) -> None:
    folder = write(tmp_path / "model", FILES)
    if compression == "None":
        container = data_source(f"{folder.as_uri()}/", "S3Prefix", "None")
    else:
        container = data_source(packed(folder, tmp_path / "model.tar.gz").as_uri(), "S3Object", "Gzip")
    endpoint.create(container)
    assert endpoint.invoke() == ANSWER


def test_one_object_that_is_not_packed_is_copied_as_it_is(endpoint: Endpoint, tmp_path: Path) -> None:
    code = "import os\ndef model_fn(folder): return sorted(os.listdir(folder))\ndef predict_fn(_, model): return model"
    source = packed(write(tmp_path / "source", {"inference.py": code}), tmp_path / "sourcedir.tar.gz")
    archive = packed(tmp_path / "source", tmp_path / "weights.tar.gz")
    container = data_source(archive.as_uri(), "S3Object", "None")
    endpoint.create({**container, "Environment": {"SAGEMAKER_SUBMIT_DIRECTORY": str(source)}})
    assert endpoint.invoke() == ["code", "weights.tar.gz"]


@pytest.mark.parametrize(
    "place", ["s3://bucket", "https://bucket.s3-us-west-2.amazonaws.com", "https://s3.us-west-2.amazonaws.com/bucket"]
)
def test_a_model_on_s3_is_downloaded(place: str, endpoint: Endpoint, s3: Any, tmp_path: Path) -> None:
    s3.upload_file(str(packed(write(tmp_path / "model", FILES), tmp_path / "model.tar.gz")), "bucket", "m/model.tar.gz")
    endpoint.create({"ModelDataUrl": f"{place}/m/model.tar.gz"})
    assert endpoint.invoke() == ANSWER


def test_a_prefix_on_s3_is_downloaded(endpoint: Endpoint, s3: Any) -> None:
    for name, text in FILES.items():
        s3.put_object(Bucket="bucket", Key=f"m/model/{name}", Body=text)
    endpoint.create(data_source("s3://bucket/m/model/", "S3Prefix", "None"))
    assert endpoint.invoke() == ANSWER


def test_a_prefix_on_s3_without_objects_is_named(endpoint: Endpoint, s3: Any) -> None:
    del s3
    described = endpoint.create(data_source("s3://bucket/nothing/", "S3Prefix", "None"))
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"] == (
        "Could not find model data at s3://bucket/nothing/: no objects have that prefix."
    )


def wheel(folder: Path, version: str = "1.0", dogs: int = 3) -> str:
    """Writes a package that is in no index; its file name."""
    name, info = f"kennel-{version}-py3-none-any.whl", f"kennel-{version}.dist-info"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("kennel.py", f"DOGS = {dogs}")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: kennel\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return name


KENNEL = "import kennel\ndef model_fn(model_dir): return kennel.DOGS\ndef predict_fn(data, model): return model"


def test_the_packages_of_a_requirements_txt_are_installed(endpoint: Endpoint, tmp_path: Path) -> None:
    files = {"code/inference.py": KENNEL, "code/requirements.txt": f"numpy>=1\n./{wheel(tmp_path / 'model/code')}"}
    endpoint.create({"ModelDataUrl": packed(write(tmp_path / "model", files), tmp_path / "m.tar.gz").as_uri()})
    assert endpoint.invoke() == 3
    assert any("Successfully installed kennel-1.0" in line for line in endpoint.log())


def test_packages_that_cannot_be_installed_fail_the_endpoint(endpoint: Endpoint, tmp_path: Path) -> None:
    files = {"code/inference.py": KENNEL, "code/requirements.txt": "--no-index\nkennel==7"}
    archive = packed(write(tmp_path / "model", files), tmp_path / "m.tar.gz")
    described = endpoint.create({"ModelDataUrl": archive.as_uri()})
    assert described["EndpointStatus"] == "Failed"
    assert described["FailureReason"].startswith("The packages in code/requirements.txt could not be installed: ")
    assert "No matching distribution found for kennel==7" in described["FailureReason"]


# Installs a package before it imports it, as code does whose author cannot change the image.
INSTALLING = """
import os, shutil, subprocess, sys
{statement}
import kennel
def model_fn(model_dir):
    return {{"dogs": kennel.DOGS, "file": kennel.__file__, "pip": shutil.which("pip"), "python": sys.executable}}
def predict_fn(data, model):
    return model
"""
BY_PATH = 'assert os.system("pip install --no-index {wheel}") == 0'
BY_EXECUTABLE = 'subprocess.check_call([sys.executable, "-m", "pip", "install", "--no-index", "{wheel}"])'


def installing(folder: Path, command: str) -> Path:
    """The folder of a model whose code installs `kennel`."""
    code = INSTALLING.format(statement=command.format(wheel=folder / wheel(folder)))
    return write(folder / "model", {"code/inference.py": code})


def pythons(store: Store) -> list[Path]:
    """The virtual environments of the endpoint's servers."""
    return [path for path in EndpointFolder.of(store.root, "e").pythons.iterdir() if path.is_dir()]


def test_what_the_code_of_a_model_installs_is_its_own(endpoint: Endpoint, store: Store, tmp_path: Path) -> None:
    model = installing(tmp_path, BY_PATH)
    described = endpoint.create({"ModelDataUrl": packed(model, tmp_path / "model.tar.gz").as_uri()})
    assert described["EndpointStatus"] == "InService", described["FailureReason"]
    answer = endpoint.invoke()
    (python,) = pythons(store)
    assert answer["dogs"] == 3
    for name in ("file", "pip", "python"):
        assert Path(answer[name]).is_relative_to(python), answer
    importlib.invalidate_caches()
    assert importlib.util.find_spec("kennel") is None
    endpoint.delete()
    assert not python.exists()


def test_a_server_starts_again_with_its_requirements_and_without_what_its_code_had_installed(
    endpoint: Endpoint, store: Store, tmp_path: Path
) -> None:
    model = installing(tmp_path, BY_EXECUTABLE)
    older = wheel(model / "code", version="0.9", dogs=2)
    write(model, {"code/requirements.txt": f"./{older}"})
    endpoint.create({"ModelDataUrl": packed(model, tmp_path / "model.tar.gz").as_uri()})
    (before,) = pythons(store)
    assert endpoint.invoke()["file"].startswith(f"{before}/")
    server = psutil.Process(server_of(store, "e")["pid"])
    server.kill()
    server.wait(60)
    assert before.exists()
    assert endpoint.invoke()["dogs"] == 3
    assert before not in pythons(store)
    importlib.invalidate_caches()
    assert importlib.util.find_spec("kennel") is None
    assert sum("Successfully installed kennel-0.9" in line for line in endpoint.log()) == 1
    output = EndpointFolder.of(store.root, "e").server_log_of("AllTraffic").read_text()
    assert output.count("Successfully installed kennel-1.0") == 2


def test_an_idle_server_removes_its_virtual_environment(
    endpoint: Endpoint, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOGBREED_LOCAL_ENDPOINT_IDLE_SECONDS", "0.2")
    endpoint.create({"ModelDataUrl": packed(write(tmp_path / "model", FILES), tmp_path / "model.tar.gz").as_uri()})
    wait_for(lambda: not pythons(store))


# What torch.load sees when a call does not say weights_only.
DEFAULTS = """
import os
def model_fn(model_dir):
    return os.environ.get("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD")
def predict_fn(data, model):
    return model
"""


@pytest.mark.parametrize(
    ("image", "environment", "seen"),
    [
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:1.13-cpu-py39", {}, "1"),
        ("763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:2.6.0-cpu-py312", {}, None),
        ("pytorch-inference:1.13-cpu-py39", {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}, "0"),
    ],
)
def test_torch_loads_whole_models_if_that_of_the_image_does(
    endpoint: Endpoint, tmp_path: Path, image: str, environment: dict[str, str], seen: str | None
) -> None:
    archive = packed(write(tmp_path / "model", {"code/inference.py": DEFAULTS}), tmp_path / "model.tar.gz")
    endpoint.create({"Image": image, "ModelDataUrl": archive.as_uri(), "Environment": environment})
    assert endpoint.invoke() == seen
