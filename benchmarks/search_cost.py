"""What a search costs: six trials of ten epochs on stored features, against one pass over the pictures.

Prints the seconds of the feature pass, of the whole search (pass and trials) and their ratio; then the same search
the ordinary way, every epoch of every trial through the backbone, on a few breeds, against the stored way there.

    python benchmarks/search_cost.py DATA [--model efficientnet_lite0] [--max-jobs 6] [--epochs 10] [--breeds 4]
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dogbreed_sdk import BreedDataset, BreedTrainer, Session

PICTURES_A_BREED = 12


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs both parts and prints their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a data set with train, valid and test folders")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--max-jobs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--breeds", type=int, default=4, help="breeds of the ordinary search (default: 4)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        whole = BreedDataset.from_folder(options.data)
        one_pass, search = stored_search(whole, options, work / "stored")
        show(f"{len(whole)} pictures, {options.max_jobs} trials x {options.epochs} epochs")
        show(f"  one feature pass   {one_pass:8.1f} s")
        show(f"  pass and search    {search:8.1f} s   {search / one_pass:5.2f} x the pass")
        small = subset(whole, work / "small", options.breeds)
        one_pass, search = stored_search(small, options, work / "small-stored")
        ordinary = ordinary_search(small, options, work / "small-ordinary")
        show(f"{len(small)} pictures, {options.max_jobs} trials x {options.epochs} epochs")
        show(f"  stored features    {search:8.1f} s")
        show(f"  the ordinary way   {ordinary:8.1f} s   {ordinary / search:5.2f} x stored features")


def stored_search(dataset: BreedDataset, options: argparse.Namespace, root: Path) -> tuple[float, float]:
    """Seconds of the feature pass alone, and of pass and search together."""
    with Session.local(root) as session:
        trainer = BreedTrainer(session, model=options.model)
        start = time.perf_counter()
        trainer.extract_features(dataset)
        one_pass = time.perf_counter() - start
        run_trials(trainer, dataset, options)
        return one_pass, time.perf_counter() - start


def ordinary_search(dataset: BreedDataset, options: argparse.Namespace, root: Path) -> float:
    """Seconds of the search with the backbone in every epoch of every trial."""
    with Session.local(root) as session:
        trainer = BreedTrainer(session, model=options.model, features="off")
        start = time.perf_counter()
        run_trials(trainer, dataset, options)
        return time.perf_counter() - start


def run_trials(trainer: BreedTrainer, dataset: BreedDataset, options: argparse.Namespace) -> None:
    """One search, waited for."""
    trainer.tune(
        dataset, hyperparameters={"epochs": options.epochs}, max_jobs=options.max_jobs, max_parallel_jobs=2
    ).wait()


def subset(dataset: BreedDataset, dest: Path, breeds: int) -> BreedDataset:
    """The first breeds of a data set, with a few pictures each."""
    for split in dataset.folders:
        for class_folder in dataset.classes[:breeds]:
            target = dest / split / class_folder
            target.mkdir(parents=True)
            pictures = [picture for picture in dataset.pictures(split) if picture.class_folder == class_folder]
            for picture in pictures[:PICTURES_A_BREED]:
                shutil.copy(picture.path, target)
    return BreedDataset.from_folder(dest)


def show(line: str) -> None:
    """Figures go to standard output; progress goes to standard error."""
    print(line)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
