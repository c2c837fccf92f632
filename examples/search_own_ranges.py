"""Search a hidden layer's width, dropout and learning rate, then train with the best values.

python examples/search_own_ranges.py PICTURES
"""

from __future__ import annotations

import sys

from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter

from dogbreed_sdk import BreedDataset, BreedTrainer, Session


def main(folder: str) -> None:
    """Searches, prints the trials, trains."""
    dataset = BreedDataset.from_folder(folder)
    with Session.local() as session:
        trainer = BreedTrainer(session)
        search = {
            "hidden": CategoricalParameter(["256", "512", "512,256"]),
            "dropout": ContinuousParameter(0.0, 0.5),
            "lr": ContinuousParameter(3e-4, 3e-2, scaling_type="Logarithmic"),
        }
        tuning = trainer.tune(dataset, search, hyperparameters={"epochs": 10}, max_jobs=8).wait()
        for trial in tuning.trials():
            print(trial.objective, dict(trial.hyperparameters))
        print(trainer.train(dataset, tuning.best.hyperparameters).wait().final_metrics)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1])
