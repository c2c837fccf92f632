"""Download a data set, search AdamW's hyperparameters, train with the best on a GPU, and call the endpoint with boto3.

python examples/adamw_search.py [--data FOLDER or URL] [--on aws] [--weights FILE] [--small] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk import BreedDataset, BreedTrainer, DebugReport, Session, TrainingJob, TuningJob, weights_problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dogbreed_sdk import Deployment


def main() -> None:
    """Runs the whole life of one model."""
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    with Session.aws() if options.on == "aws" else Session.local() as session:
        dataset = download(options, session)
        print(f"Pictures: {dataset.splits}, of {len(dataset.classes)} classes, in {dataset.root}")
        print(f"Jobs read them from {dataset.upload(session)}")

        model, weights = choose_backbone(options)
        tuning = search(BreedTrainer(session, model=model, weights=weights), dataset, options)
        on_gpu = BreedTrainer(session, model=model, weights=weights, instance_type="ml.g5.xlarge")
        job = on_gpu.train(dataset, tuning.best.hyperparameters).wait()
        plot_tensors(job, options.output)
        with job.deploy(instance_type="ml.m5.large") as deployment:
            classify(deployment, dataset)


def download(options: argparse.Namespace, session: Session) -> BreedDataset:
    """Downloads and unpacks an archive; without one, draws dogs, packs them and serves them on this machine."""
    folder = options.output / "dogImages"
    if options.data and options.data.startswith(("http://", "https://")):
        return BreedDataset.download(options.data, folder)
    if options.data:
        return BreedDataset.open(options.data, session=session)
    breeds, per_breed = (4, 12) if options.small else (8, 150)
    drawn = BreedDataset.sample(options.output / "drawn", breeds=breeds, per_breed=per_breed)
    shutil.make_archive(str(options.output / "dogImages"), "zip", drawn.root)
    with serving(options.output) as url:
        return BreedDataset.download(f"{url}/dogImages.zip", folder)


class Silent(SimpleHTTPRequestHandler):
    """Answers with files, and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Replaces the line for each request."""


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serves a folder on this machine, as a public web server would."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def search(trainer: BreedTrainer, dataset: BreedDataset, options: argparse.Namespace) -> TuningJob:
    """Searches four hyperparameters; shows and stores the tuner's table of trials."""
    ranges = {
        "lr": ContinuousParameter(0.0003, 0.03, scaling_type="Logarithmic"),
        "weight_decay": ContinuousParameter(0.001, 1.0, scaling_type="Logarithmic"),
        "epochs": IntegerParameter(2, 3) if options.small else IntegerParameter(5, 15),
        "batch_size": CategoricalParameter([32, 64, 128]),
    }
    jobs = 2 if options.small else 8
    tuning = trainer.tune(
        dataset, ranges, hyperparameters={"optimizer": "adamw"}, objective="valid:loss", max_jobs=jobs
    ).wait()
    trials = tuning.dataframe().sort_values("objective")
    trials.to_csv(options.output / "trials.csv", index=False)
    print("\n", trials.drop(columns=["started", "ended", "failure"]).to_string(index=False), "\n", sep="")
    tuning.report().plot().savefig(options.output / "adamw_search_trials.png")
    return tuning


def plot_tensors(job: TrainingJob, output: Path) -> None:
    """Plots the weights and gradients of the head over the steps, and prints how many points each curve has."""
    report = DebugReport.load(job)
    print(f"\n{job.name}: {report.headline()}")
    assert report.trial is not None
    for collection in ("weights", "gradients"):
        for name in report.trial.tensor_names(collection=collection):
            report.plot_tensor(name)
            file = output / f"adamw_search_{name.replace('/', '_')}.png"
            plt.savefig(file)
            print(f"{file.name}: {name} at {len(report.trial.tensor(name).steps('TRAIN'))} steps")
    print(f"The whole report: {report.to_html(output / 'report.html')}")


def classify(deployment: Deployment, dataset: BreedDataset) -> None:
    """Sends five test pictures with plain boto3: expected and predicted class number, probabilities of all classes."""
    runtime = deployment.session.boto3_session.client("sagemaker-runtime")
    pictures = dataset.pictures("test")
    for picture in pictures[:: max(1, len(pictures) // 5)][:5]:
        response = runtime.invoke_endpoint(
            EndpointName=deployment.endpoint_name, ContentType="image/jpeg", Body=picture.read()
        )
        [scores] = json.loads(response["Body"].read())  # one logit per class, in the order of the class numbers
        probabilities = softmax(scores)
        predicted = probabilities.index(max(probabilities))
        listed = " ".join(f"{probability:.3f}" for probability in probabilities)
        print(f"expected {picture.index}, predicted {predicted}, probabilities [{listed}]  {picture.path.name}")


def softmax(scores: list[float]) -> list[float]:
    """Probabilities from logits."""
    exponentials = [math.exp(score - max(scores)) for score in scores]
    return [each / sum(exponentials) for each in exponentials]


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with train/, valid/, test/, or URL of an archive (default: drawn dogs)")
    parser.add_argument("--on", choices=("local", "aws"), default="local", help="where jobs run (default: local)")
    parser.add_argument("--weights", help="file with the backbone's weights, if they cannot be downloaded")
    parser.add_argument("--small", action="store_true", help="few pictures and epochs, to see it run")
    parser.add_argument("--output", type=Path, default=Path("adamw_search-output"), help="folder for the results")
    return parser.parse_args()


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
