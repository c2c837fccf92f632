"""Train on your pictures on this machine, classify one of them, and leave nothing running.

python examples/train_and_classify.py PICTURES [PICTURE]
"""

from __future__ import annotations

import sys

from dogbreed_sdk import BreedDataset, BreedTrainer, Session


def main(folder: str, picture: str | None = None) -> None:
    """Checks, trains, deploys, classifies and cleans up."""
    dataset = BreedDataset.from_folder(folder)
    dataset.check().raise_for_errors()
    with Session.local() as session:
        job = BreedTrainer(session).train(dataset, {"epochs": 10}).wait()
        print(job.final_metrics)
        with job.deploy() as deployment:
            prediction = deployment.classifier().classify(picture or dataset.pictures("test")[0].path)
            for score in prediction.scores:
                print(f"{score.probability:6.1%}  {score.label}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(*sys.argv[1:])
