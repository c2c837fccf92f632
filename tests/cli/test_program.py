"""The command line: its documents' stable keys, its exit codes, what goes to which stream."""

from __future__ import annotations

import itertools
import json
import random
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from dogbreed_sdk import BreedDataset, DebugReport, Session, defaults, testing
from dogbreed_sdk._util import optional
from dogbreed_sdk.cli import quickstart
from dogbreed_sdk.cli.parser import parse
from dogbreed_sdk.client.classifier import LABEL_PROBE
from dogbreed_sdk.container import uri_to_path
from dogbreed_sdk.endpoints import evaluation
from dogbreed_sdk.endpoints.deployment import Deployment
from dogbreed_sdk.local import Store
from tests.conftest import Workshop

QUICK = ("--model", defaults.QUICK_BACKBONE)


def run(*arguments: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "dogbreed_sdk.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


def document(*arguments: object, expect: int = 0) -> Any:
    return json.loads(run(*arguments, "--json", expect=expect).stdout)


@pytest.fixture(scope="module")
def endpoint(workshop: Workshop) -> str:
    variables = ("--environment", "GREETING=a=b c", "--environment", "DOGBREED_FETCH_URLS=1")
    made = document("deploy", workshop.job.name, *variables, "--root", workshop.root)
    yield made["endpoint"]
    assert document("delete", made["endpoint"], "--root", workshop.root)["deleted"] == made["endpoint"]


def test_tune_and_train_report_name_status_hyperparameters_metrics_and_seconds(workshop: Workshop) -> None:
    root = ("--root", workshop.root)
    tuned = document(
        "tune", workshop.dataset.root, *QUICK, "--max-jobs", 2, "--epochs", 2, "--search", "lr=1e-3:1e-2:log", *root
    )
    assert {"name", "status", "hyperparameters", "metrics", "seconds", "best", "trials"} <= set(tuned)
    assert len(tuned["trials"]) == 2
    assert set(tuned["best"]["searched"]) == {"lr"}
    assert tuned["best"]["searched"]["lr"] == tuned["best"]["hyperparameters"]["lr"]
    assert f"train {workshop.dataset.root} --best-of {tuned['name']} --root" in tuned["next"][0]
    assert all(1e-3 <= float(trial["hyperparameters"]["lr"]) <= 1e-2 for trial in tuned["trials"])
    trained = document("train", workshop.dataset.root, "--best-of", tuned["name"], "--epochs", 3, *root)
    assert {"name", "status", "hyperparameters", "metrics", "seconds"} <= set(trained)
    assert trained["status"] == "Completed"
    assert str(trained["hyperparameters"]["epochs"]) == "3"
    assert float(trained["hyperparameters"]["lr"]) == float(tuned["best"]["hyperparameters"]["lr"])
    listed = {row["name"]: row for row in document("jobs", *root)}
    assert listed[tuned["name"]]["kind"] == "tuning"
    assert listed[trained["name"]]["status"] == "Completed"
    assert any(line.startswith("epoch 3/3") for line in document("logs", trained["name"], *root)["lines"])


def test_progress_goes_to_the_error_stream_and_the_result_to_the_output(workshop: Workshop) -> None:
    done = run("train", workshop.dataset.root, *QUICK, "--epochs", 2, "--root", workshop.root)
    assert "Training" in done.stderr
    assert "epoch 2/2" in done.stderr
    assert "valid:accuracy" in done.stdout
    assert "model: file://" in done.stdout
    *_, heading, report, classify, deploy = done.stdout.splitlines()
    assert heading == "Next:"
    assert [shlex.split(line)[-1] for line in (report, classify, deploy)] == [str(workshop.root)] * 3
    assert " deploy " in deploy
    for command in (report, classify):
        subprocess.run(shlex.split(command), check=True, capture_output=True, timeout=240)


def test_an_interrupt_while_the_command_is_being_loaded_leaves_no_traceback() -> None:
    interrupting = (
        "import sys, importlib.abc\n"
        "class Interrupting(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'dogbreed_sdk.cli.parser': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from dogbreed_sdk.cli import main\n"
        "sys.exit(main(['jobs']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupting], capture_output=True, text=True, timeout=240, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.fixture
def endless_root(tmp_path: Path) -> Iterator[Path]:
    """A root whose jobs are stopped after the test, however that ends: they would run for days."""
    root = tmp_path / "the root"
    yield root
    with Session.local(root) as session:
        sagemaker = session.client("sagemaker")
        for job in sagemaker.list_hyper_parameter_tuning_jobs(StatusEquals="InProgress")[
            "HyperParameterTuningJobSummaries"
        ]:
            sagemaker.stop_hyper_parameter_tuning_job(HyperParameterTuningJobName=job["HyperParameterTuningJobName"])
        for job in sagemaker.list_training_jobs(StatusEquals="InProgress")["TrainingJobSummaries"]:
            sagemaker.stop_training_job(TrainingJobName=job["TrainingJobName"])


@pytest.mark.parametrize("command", ["train", "tune"])
def test_what_an_interrupted_command_suggests_works_when_it_is_pasted(
    command: str, workshop: Workshop, endless_root: Path
) -> None:
    root, data = endless_root, workshop.dataset.root
    words = [sys.executable, "-m", "dogbreed_sdk.cli", command, data, *QUICK, "--epochs", 100000, "--features", "off"]
    with subprocess.Popen([*map(str, words), "--root", root], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any("Training" in line or "of 6 trials" in line for line in process.stderr)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
    assert process.returncode == 130
    suggested = re.findall(r"keeps running; to follow it: (.*); to end it: (.*)", said)
    assert suggested
    for follow, end in suggested:
        ending = subprocess.run(shlex.split(end), check=True, capture_output=True, text=True, timeout=240)
        assert "Stop" in ending.stdout
        subprocess.run(shlex.split(follow), check=True, capture_output=True, timeout=240)


@pytest.mark.extras
@pytest.mark.parametrize("command", ["logs", "report", "delete", "classify"])
def test_what_is_not_found_is_looked_for_with_options_and_not_with_python(command: str, tmp_path: Path) -> None:
    root, asked = tmp_path / "root", tmp_path / "rex.png"
    asked.write_bytes(LABEL_PROBE.body)
    Store(root).close()
    said = run(command, "x", *([asked] if command == "classify" else []), "--root", root, expect=1).stderr
    assert f" in local SageMaker in {root}. " in said
    assert said.endswith("\nFor another folder add --root DIR, for SageMaker on AWS add --aws.\n")
    suggested = re.findall(r"'(\S*dogbreed (?:jobs|endpoints) .*?)'", said)
    assert suggested
    assert all(command.endswith(f"--root {root}") for command in suggested)
    assert "Session" not in said


def test_without_credentials_nothing_is_said_of_python() -> None:
    said = run("jobs", "--aws", "--region", "us-east-1", expect=1).stderr
    assert "no usable AWS credentials" in said
    assert "or leave --aws out to work without AWS." in said


@pytest.mark.parametrize("command", [["ls"], ["jobs"], ["endpoints"], ["cleanup"], ["delete", "dogs"]])
def test_without_a_region_nothing_is_said_of_python(command: list[str]) -> None:
    said = run(*command, "--aws", expect=2).stderr
    assert said == (
        "error: No AWS region is configured. Pass --region or set AWS_DEFAULT_REGION, or leave --aws out to work "
        "without AWS.\n"
    )


def test_a_folder_is_no_picture_and_a_pattern_names_those_in_it(
    workshop: Workshop, endpoint: str, tmp_path: Path
) -> None:
    (tmp_path / "rex.jpg").write_bytes(b"")
    said = run("classify", endpoint, tmp_path, "--root", workshop.root, expect=1).stdout
    assert f"To classify the pictures in it, write {tmp_path}/*.jpg." in said


def test_the_check_of_an_undivided_data_set_names_the_command_that_divides_it(shapes: BreedDataset) -> None:
    said = run("data", "check", shapes.root / "train", expect=1).stdout
    assert re.search(rf"Divide it with '\S*dogbreed data split {shapes.root}/train DEST'\.", said)


@pytest.mark.extras
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model", "so there is no local SageMaker. The first training job creates it. If you mean"),
        ("my_model", "is not a valid name of an endpoint or a job"),
    ],
)
def test_a_folder_with_the_name_of_no_endpoint_is_pointed_out(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "rex.png").write_bytes(LABEL_PROBE.body)
    command = [sys.executable, "-m", "dogbreed_sdk.cli", "classify", name, "rex.png", "--root", "root"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert f"write ./{name}." in done.stderr


def test_classify_answers_each_picture_and_fails_if_one_fails(
    workshop: Workshop, endpoint: str, tmp_path: Path
) -> None:
    good = workshop.dataset.pictures("test")[0].path
    bad = tmp_path / "broken.jpg"
    bad.write_bytes(b"broken")
    first, second = document("classify", endpoint, good, bad, "--root", workshop.root, expect=1)
    assert {"picture", "label", "class_folder", "index", "probability", "scores"} <= set(first)
    assert set(second) == {"picture", "error"}
    assert str(bad) in second["error"]
    text = run("classify", endpoint, good, "--root", workshop.root).stdout
    assert first["label"] in text


def test_classify_asks_a_bundle_without_any_endpoint(workshop: Workshop, endpoint: str, tmp_path: Path) -> None:
    picture = workshop.dataset.pictures("test")[0].path
    drawn = tmp_path / "noise.png"
    Image.frombytes("RGB", (64, 64), random.Random(0).randbytes(64 * 64 * 3)).save(drawn)
    bundle = uri_to_path(workshop.job.model_uri)
    [alone, noise] = document("classify", bundle, picture, drawn)
    [by_job] = document("classify", workshop.job.name, picture, "--root", workshop.root)
    assert (by_job["scores"], by_job["model_id"]) == (alone["scores"], alone["model_id"])
    [asked] = document("classify", endpoint, picture, "--root", workshop.root)
    assert (alone["label"], alone["probability"], alone["model_id"]) == (
        asked["label"],
        asked["probability"],
        asked["model_id"],
    )
    assert (alone["rejected"], noise["rejected"]) == (False, True)
    assert "probably none of these classes" in run("classify", bundle, drawn).stdout


def test_evaluate_measures(workshop: Workshop, endpoint: str, tmp_path: Path) -> None:
    page = tmp_path / "mistakes.html"
    result = document("evaluate", endpoint, workshop.dataset.root, "--root", workshop.root, "--html", page)
    assert result.pop("html") == str(page)
    assert "of 12 pictures are classified correctly." in page.read_text("utf-8")
    assert result["accuracy"] == 1 - len(result["mistakes"]) / 12
    assert sum(map(sum, result["confusion"])) == 12
    by_search = document("evaluate", workshop.tuning.name, workshop.dataset.root, "--root", workshop.root)
    assert (by_search["n"], set(by_search)) == (result["n"], set(result))
    assert {"accuracy", "top5", "ece", "n", "per_class"} <= set(result)
    assert result["n"] == 12
    assert result["accuracy"] >= 0.9


def test_endpoints_lists_what_is_there(workshop: Workshop, endpoint: str) -> None:
    [entry] = [row for row in document("endpoints", "--root", workshop.root) if row["name"] == endpoint]
    assert entry["status"] == "InService"
    model = workshop.session.client("sagemaker").describe_model(ModelName=endpoint)
    given = {"GREETING": "a=b c", "DOGBREED_FETCH_URLS": "1"}
    assert given.items() <= model["PrimaryContainer"]["Environment"].items()


def test_data_commands_draw_check_and_split(tmp_path: Path) -> None:
    drawn = document("data", "sample", tmp_path / "dogs", "--breeds", 2, "--per-breed", 8)
    assert len(drawn["classes"]) == 2
    assert sum(drawn["splits"].values()) == 16
    report = document("data", "check", tmp_path / "dogs")
    assert report["ok"] is True
    split = document("data", "split", tmp_path / "dogs" / "train", tmp_path / "again")
    assert set(split["splits"]) == {"train", "valid", "test"}


def test_a_data_set_with_errors_fails_the_check(shapes: BreedDataset, tmp_path: Path) -> None:
    report = document("data", "check", one_picture_twice(shapes, tmp_path / "twice"), expect=1)
    assert any("duplicate" in finding["code"] for finding in report["findings"])


def one_picture_twice(shapes: BreedDataset, root: Path) -> Path:
    for split in ("train", "valid", "test"):
        for picture in shapes.pictures("train"):
            folder = root / split / picture.class_folder
            folder.mkdir(parents=True, exist_ok=True)
            (folder / picture.path.name).write_bytes(picture.path.read_bytes())
    return root


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["train"], 2, "DATA"),
        (["train", "DATA", "--lr", "fast"], 2, "lr"),
        (["tune", "DATA", "--search", "lr"], 2, "NAME=LOW:HIGH"),
        (["tune", "DATA", "--objective", "f1"], 2, "valid:accuracy"),
        (["train", "/nowhere"], 1, "/nowhere"),
        (["train", "DATA", "--resume", "nothing"], 1, "The training job nothing does not exist in local SageMaker in"),
        (["tune", "DATA", "--search", "lr=1"], 2, "Nothing to search: lr has a single value"),
        (["tune", "DATA", "--objective", "average test loss"], 2, "did you mean test:loss?"),
        (["logs", "nothing"], 1, "No training, tuning or transform job named nothing exists in local SageMaker in"),
        (["deploy", "nothing"], 1, "No training, tuning or transform job named nothing exists"),
        (["delete", "nothing"], 1, "endpoint nothing does not exist"),
        (["classify", "nothing", "PICTURE"], 1, "There is no endpoint nothing, and no training or tuning job"),
        (["quickstart", "--aws"], 2, "unrecognized arguments"),
        (["train", "DATA", "--learning-rate", "fast"], 2, "lr"),
        (["train", "DATA", "--batchsiz", "1"], 2, "did you mean --batch-size?"),
        (["train", "DATA", "--managed-rule", "overfitt"], 2, "did you mean Overfit?"),
        (["train", "DATA", "--managed-set", "Overfit"], 2, "RULE.PARAMETER=VALUE"),
        (["tune", "DATA", "--max-jobs", "0"], 2, "below 1"),
        (["tune", "DATA", "--search", "lr=1:0"], 2, "upper bound must be greater"),
        (["jobs", "--region", "eu-west-1"], 2, "--aws"),
        (["classify", "nothing", "PICTURE", "--top-k", "0"], 2, "below 1"),
        (["train", "DATA", "--optimizer", "adamx"], 2, "adamw, adam, sgd"),
    ],
)
def test_wrong_use_and_failed_work_say_why(arguments: list[str], status: int, says: str, workshop: Workshop) -> None:
    known = {"DATA": str(workshop.dataset.root), "PICTURE": str(workshop.dataset.pictures("test")[0].path)}
    words = [known.get(word, word) for word in arguments]
    done = run(*words, "--root", workshop.root, expect=status)
    assert says in done.stderr
    assert done.stdout == ""


def bare(*arguments: object, missing: str) -> str:
    """What the command says where packages are not installed; it must do nothing else."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(sys.argv[1].split()))\n"
        "from dogbreed_sdk.cli import main; sys.exit(main(sys.argv[2:]))"
    )
    command = [sys.executable, "-c", code, missing, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["quickstart"], "[local]'"),
        (["train", "."], "[local]'\nFor SageMaker on AWS add --aws."),
        (["jobs"], "[local]'\nFor SageMaker on AWS add --aws."),
        (["classify", "dogs", "rex.jpg"], "[local]'\nFor SageMaker on AWS add --aws."),
        (["serve", "--endpoint", "dogs"], "[local,service]'\nFor SageMaker on AWS add --aws."),
        (["serve", "--bundle", "model.tar.gz"], "[local,service]'"),
        (["serve", "--server", "http://127.0.0.1:1"], "[service]'"),
        (["local", "up"], "[local]'"),
        (["report", "."], "[local]'"),
    ],
)
def test_in_a_base_installation_the_first_line_names_every_extra(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = "fastapi numpy optuna psutil sagemaker starlette torch uvicorn"
    monkeypatch.setenv("DOGBREED_ROOT", str(tmp_path / "root"))
    said = bare(*arguments, missing=missing)
    assert said.startswith("error: Packages are missing that are needed to ")
    assert said.endswith(f"{says}\n")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ["classify", "./model.tar.gz", "rex.jpg", "--root", "here"],
            "bundle ./model.tar.gz does not use SageMaker: leave",
        ),
        (["evaluate", "http://127.0.0.1:1", ".", "--aws"], "http://127.0.0.1:1 does not use SageMaker: leave"),
        (
            ["serve", "--bundle", "model.tar.gz", "--region", "eu-west-1"],
            "--bundle does not use SageMaker: leave out --region",
        ),
        (
            ["serve", "--server", "http://127.0.0.1:1", "--root", "here"],
            "--server does not use SageMaker: leave out --root",
        ),
        (["jobs", "--aws", "--root", "here"], "--root is a folder of local SageMaker"),
        (["data", "check", ".", "--root", "here"], "unrecognized arguments: --root"),
    ],
)
def test_an_option_that_would_be_ignored_is_refused(arguments: list[str], says: str) -> None:
    assert says in run(*arguments, expect=2).stderr


def test_an_error_is_a_document_too(workshop: Workshop) -> None:
    assert "nothing" in document("logs", "nothing", "--root", workshop.root, expect=1)["error"]


def test_a_failed_job_shows_its_cause(workshop: Workshop, tmp_path: Path) -> None:
    for split, name in itertools.product(("train", "valid"), ("pug", "boxer")):
        folder = tmp_path / "data" / split / name
        folder.mkdir(parents=True)
        (folder / "one.jpg").write_bytes(b"no picture")
    done = run("train", tmp_path / "data", *QUICK, "--root", workshop.root, expect=1)
    assert "failed" in done.stderr
    assert "one.jpg" in done.stderr


@pytest.fixture
def done(workshop: Workshop) -> quickstart._Finished:
    """What a quick start on drawn pictures ends with."""
    prediction = testing.FakeEndpoint(["Pug", "Boxer"]).classifier().classify(testing.picture())
    return quickstart._Finished(
        options=parse(["quickstart", "--root", str(workshop.root)]),
        root=workshop.root,
        dataset=workshop.dataset,
        tuning=workshop.tuning,
        job=workshop.job,
        report=DebugReport.load(workshop.job),
        page=workshop.root / "report.html",
        deployment=Deployment("dogs", workshop.session),
        measured=evaluation.summarize(["Pug"], [prediction], classes=["Pug", "Boxer"]),
        examples=[(Path("rex.jpg"), "Pug", prediction)],
        seconds=60.0,
    )


def test_quickstart_ends_with_the_model_and_what_it_is_good_for(
    done: quickstart._Finished, capsys: pytest.CaptureFixture[str]
) -> None:
    quickstart._print(done)
    said = capsys.readouterr().out
    assert f"  model      {uri_to_path(done.job.model_uri)}\n" in said
    assert "highest validation accuracy" not in said.lower(), "a second number for it, of another epoch"
    assert "learned from drawings, so it rejects photographs of real dogs" in said
    done.options.data = Path("photographs")
    quickstart._print(done)
    assert "drawings" not in capsys.readouterr().out


def test_quickstart_suggests_no_service_that_is_not_installed(
    done: quickstart._Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    [served] = [command for command in done.next if " serve --bundle " in command]
    monkeypatch.setitem(sys.modules, "fastapi", None)
    assert f"{optional.install_command('service')} && {served}" in done.next


@pytest.mark.extras
def test_quickstart_goes_from_a_plain_folder_of_classes_to_answers_and_commands_that_work(
    shapes: BreedDataset, tmp_path: Path
) -> None:
    everything = tmp_path / "shapes"
    for split in shapes.folders:
        for picture in shapes.pictures(split):
            target = everything / picture.class_folder / f"{split}-{picture.path.name}"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(picture.path.read_bytes())
    result = document("quickstart", "--data", everything, "--root", tmp_path / "root")
    assert set(result["dataset"]["splits"]) == {"train", "valid", "test"}
    assert result["accuracy"] >= 0.8
    assert len(result["examples"]) == 3
    [serve] = [command for command in result["next"] if " serve " in command]
    with subprocess.Popen([*shlex.split(serve), "--port", "0", "--json"], stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        assert json.loads(serving.stdout.readline())["url"]
        serving.terminate()
    for command in result["next"]:
        if command != serve:
            # In a folder of the test's: a command may write a page beside it.
            subprocess.run(shlex.split(command), check=True, capture_output=True, timeout=240, cwd=tmp_path)
    assert document("endpoints", "--root", tmp_path / "root") == []
