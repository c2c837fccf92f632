"""What a list of jobs costs when there are very many: CPU time and memory of one page, against the first 1,000 jobs.

    python benchmarks/many_jobs.py [--quick]

Two folders of local SageMaker are filled with ended jobs, half of them trials of tuning jobs: one with 1,000 jobs, and
one with 100,000 (--quick: 20,000). Then every List operation is asked for pages of 100, of the first pages and of pages
in the middle. A page that is read by an index costs the same in both, in time and in memory.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median

from dogbreed_sdk.local.api.common import Context
from dogbreed_sdk.local.api.operations import perform
from dogbreed_sdk.local.store import TRAINING_JOB, TUNING_JOB, Store

BASELINE_JOBS = 1_000
SEARCHES = 4
PAGES = 5
TRIALS = {"HyperParameterTuningJobName": "search-1"}
CASES: tuple[tuple[str, Mapping[str, object]], ...] = (
    ("ListTrainingJobs", {}),
    ("ListTrainingJobs", {"SortBy": "Name"}),
    ("ListTrainingJobs", {"SortBy": "Status", "SortOrder": "Descending"}),
    ("ListTrainingJobs", {"StatusEquals": "Failed"}),
    ("ListHyperParameterTuningJobs", {}),
    ("ListTrainingJobsForHyperParameterTuningJob", TRIALS),
    ("ListTrainingJobsForHyperParameterTuningJob", {**TRIALS, "SortBy": "Status"}),
    ("ListTrainingJobsForHyperParameterTuningJob", {**TRIALS, "SortBy": "FinalObjectiveMetricValue"}),
)


def fill(root: Path, jobs: int) -> None:
    """Records of ended jobs, as large as those of real ones."""
    objective = {"MetricName": "valid:loss", "Type": "Minimize"}
    config = {
        "Strategy": "Random",
        "ResourceLimits": {"MaxNumberOfTrainingJobs": 5000, "MaxParallelTrainingJobs": 2},
        "HyperParameterTuningJobObjective": objective,
    }
    search = {"HyperParameterTuningJobConfig": config, "TrainingJobDefinition": {"StaticHyperParameters": {}}}
    values = {f"hyperparameter-{number}": "0.000123456" for number in range(30)}
    request = {"HyperParameters": {"_tuning_objective_metric": "valid:loss", **values}}
    store = Store(root)
    with store.transaction():
        for number in range(SEARCHES):
            store.create(TUNING_JOB, f"search-{number}", search, {"status": "Completed"})
        for number in range(jobs):
            status = ("Completed", "Failed", "Stopped")[number % 3]
            metrics = {"valid:loss": {"value": number / 7, "time": 1.0}}
            state = {"status": status, "secondary": status, "transitions": [], "metrics": metrics}
            of_search = {"tuning_job": f"search-{number // 2 % SEARCHES}"} if number % 2 else {}
            store.create(TRAINING_JOB, f"dogs-{number:07}", request, {**state, **of_search})
    store.close()


def pages(context: Context, operation: str, request: Mapping[str, object]) -> Iterator[float]:
    """CPU milliseconds of the first pages."""
    token: dict[str, object] = {}
    for _ in range(PAGES):
        start = time.process_time()
        answer = perform(context, f"SageMaker.{operation}", {"MaxResults": 100, **request, **token})
        yield (time.process_time() - start) * 1000
        if not answer.get("NextToken"):
            return
        token = {"NextToken": answer["NextToken"]}


def ask(root: Path) -> None:
    """Prints the cost of every case, and the memory that the process has used at most."""
    store = Store(root)
    context = Context(store, "us-east-1")
    perform(context, "SageMaker.ListModels", {})  # loads AWS's model of the API
    for operation, request in CASES:
        print(median(pages(context, operation, request)))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    store.close()


def asked(root: Path) -> list[float]:
    """`ask` in a separate process, so that its memory can be measured."""
    command = [sys.executable, __file__, "--ask", str(root)]
    return [float(line) for line in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]


def main() -> None:
    """Fills, asks, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 jobs instead of 100,000")
    parser.add_argument("--ask", type=Path, metavar="DIR", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ask:
        ask(options.ask)
        return
    many = 20_000 if options.quick else 100_000
    with tempfile.TemporaryDirectory() as folder:
        costs = []
        for jobs in (BASELINE_JOBS, many):
            fill(Path(folder, str(jobs)), jobs)
            costs.append(asked(Path(folder, str(jobs))))
    few, large = costs
    print(f"| a page of 100 | {BASELINE_JOBS:,} jobs (baseline) | {many:,} jobs | ratio |\n| --- | --- | --- | --- |")
    for (operation, request), before, after in zip(CASES, few, large, strict=False):
        conditions = ", ".join(f"{name}={value}" for name, value in request.items() if name not in TRIALS)
        print(f"| {operation} {conditions} | {before:.1f} ms | {after:.1f} ms | {after / before:.2f} |")
    print(f"| memory of the process | {few[-1]:.0f} MB | {large[-1]:.0f} MB | {large[-1] / few[-1]:.2f} |")


if __name__ == "__main__":
    main()
