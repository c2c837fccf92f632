"""Search hyperparameters for ResNet-50 with four jobs at a time, train with the best, find out why, deploy, predict.

python examples/resnet50_search.py [--data FOLDER] [--on aws] [--weights FILE] [--small] [--output FOLDER]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk import (
    BreedClassifier,
    BreedDataset,
    BreedTrainer,
    DebugReport,
    Prediction,
    RecordingError,
    Session,
    TrainingJob,
    deploy,
    weights_problem,
)


def main() -> None:
    """Runs the whole life of one model."""
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    with Session.aws() if options.on == "aws" else Session.local() as session:
        dataset = open_data(options, session)
        model, weights = choose_backbone(options)
        trainer = BreedTrainer(session, model=model, weights=weights)
        hyperparameters = search(trainer, dataset, options)
        job = trainer.train(dataset, hyperparameters).wait()
        explain(job, options.output)
        serve(job.model_uri, dataset, session)


def search(trainer: BreedTrainer, dataset: BreedDataset, options: argparse.Namespace) -> dict[str, object]:
    """The best hyperparameters of four training jobs."""
    ranges = {
        "lr": ContinuousParameter(0.001, 0.1, scaling_type="Logarithmic"),
        "batch_size": CategoricalParameter([128, 256, 512]),
        "epochs": IntegerParameter(2, 3) if options.small else IntegerParameter(7, 10),
    }
    tuning = trainer.tune(dataset, ranges, objective="test:loss", max_jobs=4, max_parallel_jobs=4).wait()
    best = tuning.best
    tuning.report().to_html(options.output / "search.html")
    print(f"\nLeast average test loss: {best.objective:.4f} of job {best.job.name}")
    print(f"Best hyperparameters: {dict(best.searched)}")
    return dict(best.hyperparameters)


def explain(job: TrainingJob, output: Path) -> None:
    """Shows what the job recorded: curves, rules, and where its time went."""
    report = DebugReport.load(job)
    print(f"\n{report}\n")
    report.plot_losses()
    plt.savefig(output / "resnet50_search_losses.png")
    try:
        report.plot_fluctuations()
        plt.savefig(output / "resnet50_search_fluctuations.png")
    except RecordingError as error:  # a short run
        print(error)

    print("Where the time went: the training of the head")
    for times in report.step_times():
        print(f"  {times}")
    report.plot_steps()
    plt.savefig(output / "resnet50_search_steps.png")
    if report.feature_pass is not None and report.feature_pass.job:
        print("Where the time went: the pass of the pictures through the backbone, which all five jobs shared")
        for times in DebugReport.load(report.feature_pass.job, session=job.session).step_times():
            print(f"  {times}")
    print(f"The whole report: {report.to_html(output / 'report.html')}")


def serve(model_uri: str, dataset: BreedDataset, session: Session) -> None:
    """Deploys a model on a small CPU instance, asks it about test pictures, and deletes the endpoint."""
    pictures = dataset.pictures("test")
    with (
        deploy(model_uri, session=session, instance_type="ml.t2.medium") as deployment,
        deployment.classifier() as classifier,
    ):
        print()
        for picture in pictures[:: max(1, len(pictures) // 5)][:5]:
            print(f"{picture.class_folder}/{picture.path.name}: {predict(picture.readable, classifier)}")


def predict(picture: Path | bytes, classifier: BreedClassifier) -> Prediction:
    """The breed in a picture, given as its path or as the bytes of its file."""
    return classifier.classify(picture)


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder or s3:// URI with train/, valid/ and test/ (default: drawn dogs)")
    parser.add_argument("--on", choices=("local", "aws"), default="local", help="where jobs run (default: local)")
    parser.add_argument("--weights", help="file with the backbone's weights, if they cannot be downloaded")
    parser.add_argument("--small", action="store_true", help="few pictures and epochs, to see it run")
    parser.add_argument("--output", type=Path, default=Path("resnet50_search-output"), help="folder for the results")
    return parser.parse_args()


def open_data(options: argparse.Namespace, session: Session) -> BreedDataset:
    """The user's pictures, or drawn ones."""
    if options.data:
        dataset = BreedDataset.open(options.data, session=session)
    else:
        breeds, per_breed = (4, 12) if options.small else (12, 150)
        dataset = BreedDataset.sample(options.output / "dogs", breeds=breeds, per_breed=per_breed)
    print(f"Pictures: {dataset.splits}, of {len(dataset.classes)} classes, in {dataset.root}")
    return dataset


def choose_backbone(options: argparse.Namespace) -> tuple[str, str]:
    """ResNet-50 and its weights; a small network whose weights are installed, if ResNet-50's cannot be had."""
    if options.weights:
        return "resnet50", options.weights
    problem = weights_problem("resnet50") if options.on == "local" else None
    if problem is None:
        return "resnet50", "pretrained"
    print(f"{problem} Using efficientnet_lite0, whose weights are installed; for ResNet-50 pass --weights FILE.")
    return "efficientnet_lite0", "pretrained"


if __name__ == "__main__":
    main()
