"""`dogbreed plan`: the price of the default search on the 133-breed data set, without pictures, account or network."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from dogbreed_sdk import BreedDataset
from dogbreed_sdk.cli import main

pytestmark = pytest.mark.extras

SIZE = ("--pictures", "8351", "--classes", "133")


def run(capsys: pytest.CaptureFixture[str], *words: str, expect: int = 0) -> str:
    assert main(["plan", *words]) == expect
    said = capsys.readouterr()
    return said.err if expect else said.out


def test_it_prints_a_price_with_and_without_shared_features_and_loads_no_torch() -> None:
    program = (
        "import sys; from dogbreed_sdk.cli import main;"
        f"status = main(['plan', *{SIZE}, '--region', 'us-east-1']);"
        "sys.exit(status or ('torch' in sys.modules and 'torch was loaded') or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    # Nor does anything at the program's end remind of an endpoint that does not exist.
    assert (done.returncode, done.stderr) == (0, "Planning …\n")
    assert "total                                      86.86" in done.stdout
    assert "Without shared features 86.96 USD" in done.stdout
    assert "as of 2026-07-01" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_the_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(run(capsys, *SIZE, "--region", "us-east-1", "--max-jobs", "3", "--json"))
    assert [step["instances"] for step in document["steps"]] == [1, 3, 1, 1, 0]
    assert document["requests"][1]["operation"] == "CreateHyperParameterTuningJob"
    assert document["usd"] < document["usd_without_shared_features"] < document["usd_without_features"]


def test_a_folder_is_counted_and_options_reach_the_requests(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    BreedDataset.sample(tmp_path / "dogs", breeds=2, per_breed=6)
    prices = tmp_path / "prices.csv"
    prices.write_text("region,item,usd,as_of\nus-east-1,ml.c5.large,2,2026-11-30\n", encoding="utf-8")
    words = ["--endpoint-instance-type", "ml.c5.large", "--endpoint-instance-count", "2", "--endpoint-hours", "10"]
    where = ["--region", "us-east-1", "--role", "dogs", "--bucket", "my-dogs", "--prices", str(prices)]
    out = run(capsys, str(tmp_path / "dogs"), "--search", "lr=1e-4:1e-2", "--epochs", "3", *words, *where, "--json")
    document = json.loads(out)
    assert document["dataset"]["train"] + document["dataset"]["valid"] + document["dataset"]["test"] == 12
    [endpoint] = [step for step in document["steps"] if step["name"] == "endpoint"]
    assert endpoint["usd"] == 40
    tuning = document["requests"][1]["parameters"]
    assert tuning["TrainingJobDefinition"]["StaticHyperParameters"]["epochs"] == '"3"'
    assert tuning["TrainingJobDefinition"]["RoleArn"] == "arn:aws:iam::111122223333:role/dogs"
    assert tuning["TrainingJobDefinition"]["OutputDataConfig"]["S3OutputPath"].startswith("s3://my-dogs/")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "Pass DATA, or --pictures and --classes"),
        (("--pictures", "10"), "Pass DATA, or --pictures and --classes"),
        (("dogs", "--classes", "2"), "omit them or DATA"),
        ((*SIZE, "--region", "mars-1"), "mars-1"),
        ((*SIZE, "--region", "us-east-1", "--measure"), "only be measured with pictures"),
        ((*SIZE, "--endpoint-hours", "-1"), "it must be 0 or more"),
    ],
)
def test_what_cannot_be_planned_is_explained(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], message: str
) -> None:
    assert message in run(capsys, *words, expect=2)
