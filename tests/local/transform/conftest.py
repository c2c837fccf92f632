"""A model server that all tests of the pipeline share, and the pipeline over objects in a folder."""

from __future__ import annotations

import asyncio
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from dogbreed_sdk._util.processes import end_process
from dogbreed_sdk.local.folders import EndpointFolder
from dogbreed_sdk.local.hosting import servers
from dogbreed_sdk.local.hosting.model import Deployment, restore
from dogbreed_sdk.local.states import Server
from dogbreed_sdk.local.transform.objects import Objects
from dogbreed_sdk.local.transform.pipeline import Pipeline, Progress, Threads
from dogbreed_sdk.local.transform.request import TransformRequest
from dogbreed_sdk.local.transform.sender import Sender

# CSV rows and JSON lines get one line each; anything else is described.
CODE = """
import json, os, time

class Refused(Exception):
    status_code = 422

def model_fn(model_dir):
    print("loaded with", os.environ.get("GREETING"), os.environ.get("SAGEMAKER_BATCH_STRATEGY"))
    return []

def input_fn(body, content_type):
    return body if isinstance(body, str) else body.decode("latin-1"), content_type

def predict_fn(data, seen):
    text, content_type = data
    if "refuse" in text and text not in seen:
        if "once" in text:
            seen.append(text)
        raise Refused("no dog in " + text[:20])
    if "flaky" in text and text not in seen:
        seen.append(text)
        raise ValueError("only once")
    if "fail" in text:
        raise ValueError("never works")
    if "exit" in text:
        os._exit(3)
    if "slow" in text:
        time.sleep(0.4)
    while text.startswith("until ") and not os.path.exists(text.split()[1]):
        time.sleep(0.02)
    if "short" in text:
        return "1.0"
    if content_type == "text/csv":
        return "\\n".join(str(sum(float(c) for c in row.split(","))) for row in text.split("\\n"))
    if content_type == "application/jsonlines":
        return "\\n".join(json.dumps({"keys": sorted(json.loads(line))}) for line in text.split("\\n"))
    return content_type + " " + text

def output_fn(prediction, accept):
    return prediction + ("" if accept != "text/with-newline" else "\\n"), accept
"""


def pack_model(folder: Path, code: str = CODE) -> Path:
    """A model.tar.gz of nothing but code."""
    (folder / "code").mkdir(parents=True)
    (folder / "code/inference.py").write_text(code)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        archive.add(folder / "code", "code")
    return folder / "model.tar.gz"


@pytest.fixture(scope="module")
def model_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    model = pack_model(folder / "model")
    deployment = Deployment("", model.as_uri(), {"SAGEMAKER_MAX_PAYLOAD_IN_MB": "0"}, "", None)
    endpoint = EndpointFolder(folder)
    server = servers.start(folder, endpoint, restore(endpoint, deployment))
    yield server
    end_process(server, grace_seconds=1.0)


@dataclass
class Transformed:
    """What a pipeline made of its input."""

    outputs: dict[str, bytes]
    progress: Progress
    lines: list[str]

    @property
    def failure(self) -> str:
        assert self.progress.first is not None
        return f"{self.progress.first[1].kind}: {self.progress.first[1]}"


Transform = Callable[..., Transformed]


@pytest.fixture
def transformed(model_server: Server, tmp_path: Path) -> Transform:
    """Runs the pipeline over files with the given contents, as a request with these members asks for."""

    def run(files: dict[str, bytes], concurrency: int = 1, **members: Any) -> Transformed:
        source, target, scratch = (Path(mkdtemp(dir=tmp_path)) for _ in range(3))
        for name, content in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(content)
        request = TransformRequest.read(create_request(source, target, **members))
        objects, progress, lines = Objects(scratch), Progress(total=len(files)), list[str]()

        async def transform() -> None:
            sender = Sender(model_server, request)
            pipeline = Pipeline(
                request,
                objects=objects,
                sender=sender,
                threads=Threads(2),
                concurrency=concurrency,
                parts=scratch,
                report=lines.append,
            )
            try:
                await pipeline.run(objects.find(request.source), progress)
            finally:
                await sender.close()

        asyncio.run(transform())
        assert list(scratch.iterdir()) == []
        outputs = {
            path.relative_to(target).as_posix(): path.read_bytes() for path in target.rglob("*") if path.is_file()
        }
        return Transformed(outputs, progress, lines)

    return run


def create_request(source: Path, target: Path, name: str = "job", **members: Any) -> dict[str, Any]:
    """A CreateTransformJob request; the members of TransformInput and TransformOutput stand beside the others."""
    inputs = {key: members.pop(key) for key in ("ContentType", "CompressionType", "SplitType") if key in members}
    outputs = {key: members.pop(key) for key in ("Accept", "AssembleWith") if key in members}
    location = {"S3DataType": members.pop("S3DataType", "S3Prefix"), "S3Uri": members.pop("S3Uri", source.as_uri())}
    return {
        "TransformJobName": name,
        "ModelName": "model",
        "TransformInput": {"DataSource": {"S3DataSource": location}, **inputs},
        "TransformOutput": {"S3OutputPath": target.as_uri(), **outputs},
        "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        **members,
    }
