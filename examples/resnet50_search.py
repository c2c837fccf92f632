"""Search hyperparameters for ResNet-50 with four jobs at a time, train with the best, read why, deploy, classify.

python examples/resnet50_search.py [--data FOLDER] [--on aws] [--weights FILE] [--small] [--output FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk import BreedDataset, BreedTrainer, DebugReport, Session, deploy, weights_problem


def main() -> None:
    """Runs the whole life of one model."""
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    with Session.aws() if options.on == "aws" else Session.local() as session:
        dataset = pictures(options, session)
        print(f"Pictures: {dataset.splits} of {len(dataset.classes)} classes")
        model, weights = backbone(options)
        trainer = BreedTrainer(session, model=model, weights=weights)

        tuning = trainer.tune(
            dataset,
            {
                "lr": ContinuousParameter(0.001, 0.1, scaling_type="Logarithmic"),
                "batch_size": CategoricalParameter([128, 256, 512]),
                "epochs": IntegerParameter(2, 3) if options.small else IntegerParameter(7, 10),
            },
            objective="test:loss",
            max_jobs=4,
            max_parallel_jobs=4,
        ).wait()
        best = tuning.best
        print(f"Least average test loss: {best.objective:.4f}, with {dict(best.searched)}")

        job = trainer.train(dataset, best.hyperparameters).wait()
        report = DebugReport.load(job)
        print(report.summary())
        report.to_html(options.output / "report.html")

        with (
            deploy(job.model_uri, session=session, instance_type="ml.t2.medium") as deployment,
            deployment.classifier() as classifier,
        ):
            for picture in dataset.pictures("test")[:5]:
                print(f"{picture.path.name}: {classifier.classify(picture.readable)}")


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder or s3:// URI with train/, valid/ and test/ (default: drawn dogs)")
    parser.add_argument("--on", choices=("local", "aws"), default="local", help="where jobs run (default: local)")
    parser.add_argument("--weights", help="file with the backbone's weights, if they cannot be downloaded")
    parser.add_argument("--small", action="store_true", help="few pictures and epochs, to see it run")
    parser.add_argument("--output", type=Path, default=Path("resnet50_search-output"), help="folder for the results")
    return parser.parse_args()


def pictures(options: argparse.Namespace, session: Session) -> BreedDataset:
    """The user's pictures, or drawn ones."""
    if options.data:
        return BreedDataset.open(options.data, session=session)
    breeds, per_breed = (4, 24) if options.small else (12, 150)
    return BreedDataset.sample(options.output / "dogs", breeds=breeds, per_breed=per_breed)


def backbone(options: argparse.Namespace) -> tuple[str, str]:
    """ResNet-50 and its weights; a small network whose weights are installed, if ResNet-50's cannot be had."""
    weights = options.weights or "pretrained"
    problem = weights_problem("resnet50", weights) if options.on == "local" else None
    if problem is None:
        return "resnet50", weights
    print(
        f"{problem} Using efficientnet_lite0, whose weights are installed; --weights FILE names a file of ResNet-50's."
    )
    return "efficientnet_lite0", "pretrained"


if __name__ == "__main__":
    main()
