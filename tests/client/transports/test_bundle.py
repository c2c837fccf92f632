"""A bundle in the process answers as its endpoint does, to the last digit, and runs nothing out of the archive."""

from __future__ import annotations

import dataclasses
import io
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from dogbreed_sdk import (
    BreedClassifier,
    ConfigurationError,
    LabelError,
    LabelMap,
    ModelError,
    UnsupportedImageError,
    testing,
)
from dogbreed_sdk._util.bundle_files import bundle_path
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.client.images import Payload
from tests.conftest import Workshop
from tests.test_imports import AWS_CLIENT, loaded_by_command, top
from tests.training_scripts.conftest import write_bundle

pytestmark = pytest.mark.extras


@pytest.fixture(scope="module")
def classifier(workshop: Workshop) -> BreedClassifier:
    return BreedClassifier.from_bundle(workshop.job.model_uri)


def test_it_answers_as_the_endpoint_does(workshop: Workshop, classifier: BreedClassifier) -> None:
    pictures = [picture.path for picture in workshop.dataset.pictures("test")]
    with workshop.job.deploy(progress=no_progress) as deployment:
        through_the_endpoint = list(deployment.classifier().classify_many(pictures, max_concurrency=1))
    here = list(classifier.classify_many(pictures))
    same = [
        dataclasses.replace(result, latency_ms=None, request_id=None, variant=None) for result in through_the_endpoint
    ]
    assert [dataclasses.replace(result, latency_ms=None) for result in here] == same
    assert len({result.label for result in here}) == 3
    assert all(isinstance(result.rejected, bool) for result in here)


def test_labels_and_model_are_known_before_the_first_picture(workshop: Workshop, classifier: BreedClassifier) -> None:
    assert list(classifier.labels()) == list(LabelMap.from_bundle(workshop.job.model_uri))
    assert list(classifier.labels()) == list(workshop.dataset.classes)
    assert classifier.model_id is not None
    assert classifier.endpoint_name.startswith("bundle /")
    assert classifier.session is None


def test_a_picture_that_cannot_be_used_is_named(classifier: BreedClassifier) -> None:
    with pytest.raises(UnsupportedImageError):
        classifier.classify(b"no picture")
    with pytest.raises(ModelError, match="cannot answer this"):
        classifier._predict(Payload(b"no picture", "image/jpeg", "bytes"), top_k=1, cancelled=None)


def test_a_folder_is_as_good_as_an_archive_whose_code_is_never_looked_at(
    workshop: Workshop, classifier: BreedClassifier, tmp_path: Path
) -> None:
    hostile = b"raise SystemExit('the code of an archive was run')"
    repacked = tmp_path / "model.tar.gz"
    with tarfile.open(bundle_path(workshop.job.model_uri)) as source, tarfile.open(repacked, "w") as target:
        for member in source:
            content = source.extractfile(member) if member.isfile() else None
            if content is not None:
                data = hostile if member.name.endswith(".py") else content.read()
                member.size = len(data)
                target.addfile(member, io.BytesIO(data))
    picture = workshop.dataset.pictures("test")[0].path
    expected = classifier.classify(picture).scores
    assert BreedClassifier.from_bundle(repacked).classify(picture).scores == expected
    with tarfile.open(repacked) as source:
        source.extractall(tmp_path / "folder", filter="data")
    assert BreedClassifier.from_bundle(tmp_path / "folder").classify(picture).scores == expected


@pytest.mark.parametrize("content", [b"", b"no archive", b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8, None])
def test_what_is_no_bundle_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.tar.gz"
    if content is not None:
        path.write_bytes(content)
    says = "No such file" if content is None else "is not a bundle: it is not a tar archive"
    with pytest.raises(ConfigurationError, match=rf"model\.tar\.gz.*{says}"):
        BreedClassifier.from_bundle(path)
    with pytest.raises(LabelError, match=r"model\.tar\.gz"):
        LabelMap.from_bundle(path)


def test_a_damaged_archive_is_refused(workshop: Workshop, tmp_path: Path) -> None:
    path = tmp_path / "model.tar.gz"
    path.write_bytes(bundle_path(workshop.job.model_uri).read_bytes()[:-200_000])
    with pytest.raises(ConfigurationError, match="cannot be read as an archive"):
        BreedClassifier.from_bundle(path)


def test_a_bundle_on_s3_must_be_downloaded_first() -> None:
    with pytest.raises(ConfigurationError, match="download_model"):
        BreedClassifier.from_bundle("s3://bucket/model.tar.gz")


def test_the_example_goes_on_after_a_file_that_is_no_picture(workshop: Workshop, tmp_path: Path) -> None:
    for picture in workshop.dataset.pictures("test")[:2]:
        shutil.copy(picture.path, tmp_path / f"{picture.index}-{picture.path.name}")
    (tmp_path / "notes.txt").write_text("no picture")
    example = Path(__file__).parents[3] / "examples" / "classify_folder.py"
    command = [sys.executable, str(example), str(bundle_path(workshop.job.model_uri)), str(tmp_path)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == 3
    assert "%" in lines[0]
    assert lines[-1].startswith("notes.txt: ")
    assert "%" not in lines[-1]


def test_a_program_ends_while_pictures_are_being_classified(workshop: Workshop) -> None:
    """A thread that is ended inside of C++ aborts the process, which happened here in three of four runs."""
    picture = next(iter(workshop.dataset.pictures("test"))).path
    program = (
        "import sys; from dogbreed_sdk import BreedClassifier; bundle, picture = sys.argv[1:];"
        "answers = BreedClassifier.from_bundle(bundle).classify_many([picture] * 500); next(answers); print('the end')"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(bundle_path(workshop.job.model_uri)), str(picture)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "the end\n", "")


def test_the_command_loads_torch_and_no_client_of_aws(tmp_path: Path) -> None:
    bundle, file = write_bundle(tmp_path / "bundle"), tmp_path / "dog.jpg"
    file.write_bytes(testing.picture(1))
    loaded = top(loaded_by_command("classify", str(bundle), str(file), "--json"))
    assert "torch" in loaded
    assert not loaded & {*AWS_CLIENT, "torchvision", "sagemaker", "pandas", "optuna", "starlette", "rich", "onnx"}
