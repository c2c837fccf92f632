"""What a search costs in CPU seconds: against one pass over the pictures, and against the ordinary way.

Measures the feature pass, the search of six trials of ten epochs on the stored features, and the quick start, each
with all its processes. Then the same search the ordinary way, every epoch of every trial through the backbone, on a
few breeds, against the stored way there. Trials start in forks; as another baseline, they start in new processes.

    python benchmarks/search_cost.py [DATA] [--quick] [--model efficientnet_lite0] [--max-jobs 6] [--epochs 10]
        [--breeds 6] [--pictures 50]

Without DATA, a data set with train, valid and test folders, the drawn sample is searched. Linux only, which alone
reports the CPU time of processes that outlive their starters.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cpu_seconds import cpu_seconds
from dogbreed_sdk import BreedDataset, BreedTrainer, Session
from dogbreed_sdk._util.progress import no_progress
from dogbreed_sdk.local.forking import FORK_SERVER_VARIABLE

# The ordinary search takes a pass for each epoch of each trial: few pictures show it.
ORDINARY_BREEDS, ORDINARY_PICTURES = 3, 12
SPLITS = {"train": 4, "valid": 1, "test": 1}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all parts and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a data set with train, valid and test folders")
    parser.add_argument("--quick", action="store_true", help="few pictures and no quick start; ends within a minute")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--max-jobs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--breeds", type=int, default=6)
    parser.add_argument("--pictures", type=int, default=50, help="pictures of each breed in all splits")
    options = parser.parse_args(arguments)
    if options.quick:
        options.max_jobs, options.epochs, options.breeds, options.pictures = 2, 2, 2, 12
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if options.data is None:
            options.data = work / "drawn"
            BreedDataset.sample(options.data, breeds=options.breeds, per_breed=options.pictures)
        whole = subset(options.data, work / "data", options.breeds, options.pictures)
        show(f"CPU seconds; {len(whole)} pictures, {options.max_jobs} trials x {options.epochs} epochs")
        one_pass, search = stored(whole, options, work / "stored")
        show(f"  feature pass                    {one_pass:7.1f}")
        show(f"  search on its features          {search:7.1f}   {search / one_pass:5.2f} x the pass")
        show(f"  pass and search in one          {together(whole, options, work / 'together'):7.1f}")
        baseline = new_processes(whole, options, work / "stored")
        show(f"  search, trials as new processes {baseline:7.1f}   {baseline / search:5.2f} x in forks")
        small = subset(options.data, work / "small", ORDINARY_BREEDS, ORDINARY_PICTURES)
        both = together(small, options, work / "small-stored")
        ordinary = ordinary_search(small, options, work / "small-ordinary")
        show(f"{len(small)} pictures, {options.max_jobs} trials x {options.epochs} epochs")
        show(f"  pass and search in one          {both:7.1f}")
        ratio = ordinary / both
        show(f"  the ordinary way                {ordinary:7.1f}   {ratio:5.2f} x stored features")
        if not options.quick:
            spent, seconds = cpu_seconds(lambda: quickstart(work / "quickstart"))
            show(f"quick start {spent:.1f} CPU seconds in all its processes, {seconds:.1f} s of wall time")


def stored(dataset: BreedDataset, options: argparse.Namespace, root: Path) -> tuple[float, float]:
    """CPU seconds of the feature pass, and of the search on its features, each with its own fork server."""
    with Session.local(root) as session:
        trainer = BreedTrainer(session, model=options.model)
        one_pass, _ = cpu_seconds(lambda: trainer.extract_features(dataset, progress=no_progress))
        search, _ = cpu_seconds(lambda: run_trials(trainer, dataset, options))
    return one_pass, search


def together(dataset: BreedDataset, options: argparse.Namespace, root: Path) -> float:
    """CPU seconds of a search that computes the features first: its jobs share a fork server."""
    with Session.local(root) as session:
        trainer = BreedTrainer(session, model=options.model)
        return cpu_seconds(lambda: run_trials(trainer, dataset, options))[0]


def new_processes(dataset: BreedDataset, options: argparse.Namespace, root: Path) -> float:
    """CPU seconds of the search on features that are there, if every trial imports PyTorch itself."""
    os.environ[FORK_SERVER_VARIABLE] = "off"
    try:
        with Session.local(root) as session:
            trainer = BreedTrainer(session, model=options.model)
            return cpu_seconds(lambda: run_trials(trainer, dataset, options))[0]
    finally:
        del os.environ[FORK_SERVER_VARIABLE]


def ordinary_search(dataset: BreedDataset, options: argparse.Namespace, root: Path) -> float:
    """CPU seconds of the search with the backbone in every epoch of every trial."""
    with Session.local(root) as session:
        trainer = BreedTrainer(session, model=options.model, features="off")
        return cpu_seconds(lambda: run_trials(trainer, dataset, options))[0]


def run_trials(trainer: BreedTrainer, dataset: BreedDataset, options: argparse.Namespace) -> None:
    """One search, waited for."""
    search = trainer.tune(
        dataset,
        hyperparameters={"epochs": options.epochs},
        max_jobs=options.max_jobs,
        max_parallel_jobs=2,
        progress=no_progress,
    )
    search.wait(progress=no_progress)


def quickstart(root: Path) -> None:
    """The command, and the end of its endpoint, whose model server would run on."""
    command = [sys.executable, "-m", "dogbreed_sdk", "quickstart", "--root", str(root), "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    with Session.local(root) as session:
        session.boto3_session.client("sagemaker").delete_endpoint(EndpointName=json.loads(done.stdout)["endpoint"])


def subset(data: Path, dest: Path, breeds: int, pictures: int) -> BreedDataset:
    """The first breeds of a data set, with a few pictures each in the three splits."""
    dataset = BreedDataset.from_folder(data)
    for split, share in SPLITS.items():
        for class_folder in dataset.classes[:breeds]:
            target = dest / split / class_folder
            target.mkdir(parents=True)
            found = [picture for picture in dataset.pictures(split) if picture.class_folder == class_folder]
            for picture in found[: max(1, pictures * share // sum(SPLITS.values()))]:
                shutil.copy(picture.path, target)
    return BreedDataset.from_folder(dest)


def show(line: str) -> None:
    """Print a figure at once."""
    print(line, flush=True)


if __name__ == "__main__":
    main()
