"""Send an endpoint the bytes of a JPEG or a URL; see why a validation loss is spiky and overfits, and cure it.

python examples/bytes_and_urls.py [--data FOLDER] [--on aws] [--weights FILE] [--small] [--output FOLDER]
    [--aws-report FOLDER]
"""

from __future__ import annotations

import argparse
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import matplotlib.pyplot as plt
from botocore.exceptions import ClientError
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter

from dogbreed_sdk import BreedDataset, BreedTrainer, DebugReport, Session, TrainingJob, weights_problem

# As in many notebooks: a hidden layer, Adam with a constant and large learning rate, no regularization.
NOTEBOOK = {
    "hidden": 256, "optimizer": "adam", "lr": 0.01, "scheduler": "none", "weight_decay": 0, "batch_size": 32,
    "epochs": 24,
}  # fmt: skip
# Against spikes: smaller steps toward the end, whole batches. Against overfitting: a linear head, regularization.
REMEDIES = {"scheduler": "cosine", "drop_last": True, "weight_decay": 0.1, "label_smoothing": 0.1, "epochs": 12}
# The endpoint may fetch URLs, and from this machine too, which is refused otherwise.
FETCHING = {"DOGBREED_FETCH_URLS": "1", "DOGBREED_FETCH_NETWORKS": "127.0.0.1/32"}


def main() -> None:
    """Trains, explains, cures, deploys, and sends the same picture twice."""
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    with Session.aws() if options.on == "aws" else Session.local() as session:
        dataset = pictures(options, session)
        print(f"Pictures: {dataset.splits} of {len(dataset.classes)} classes")
        model, weights = backbone(options)
        trainer = BreedTrainer(session, model=model, weights=weights, resize_mode="squash")

        print("\n1. Train with the settings of many notebooks.")
        explain(trainer.train(dataset, NOTEBOOK).wait(), options.output / "bytes_and_urls_before.png")

        print("\n2. Search the learning rate and the batch size, with remedies.")
        tuning = trainer.tune(
            dataset,
            {
                "lr": ContinuousParameter(0.0005, 0.01, scaling_type="Logarithmic"),
                "batch_size": CategoricalParameter([32, 64, 128, 256]),
            },
            hyperparameters=REMEDIES,
            max_jobs=2 if options.small else 6,
            max_parallel_jobs=2,
        ).wait()
        print(f"Lowest validation loss {tuning.best.objective:.4f}, with {dict(tuning.best.searched)}")

        print("\n3. Train with the best values.")
        job = trainer.train(dataset, tuning.best.hyperparameters).wait()
        explain(job, options.output / "bytes_and_urls_after.png")

        print("\n4. Deploy, and send a picture as bytes and as a URL.")
        picture = dataset.pictures("test")[0]
        content = picture.read()
        environment = FETCHING if options.on == "local" else {"DOGBREED_FETCH_URLS": "1"}
        with (
            job.deploy(environment=environment) as deployment,
            published(content, options, session) as url,
        ):
            name = deployment.endpoint_name
            by_bytes = scores(session, name, "image/jpeg", content)
            by_url = scores(session, name, "application/json", json.dumps({"url": url}).encode())
            found = dataset.classes[by_bytes.index(max(by_bytes))]
            print(f"A picture of {picture.class_folder} is classified as {found}")
            print(f"Its bytes and its URL get the same scores: {by_bytes == by_url}")
            try:
                scores(session, name, "application/json", b'{"url": "http://169.254.169.254/latest/meta-data/"}')
            except ClientError as error:
                refusal = error.response.get("OriginalMessage")
                print(f"The address of a machine's credentials is refused: {refusal}")
    if options.aws_report:
        print("\n5. What AWS's profiler report says about the use of the machine.")
        report = DebugReport.load(options.aws_report)
        print(report)
        report.to_html(options.output / "aws_report.html")


def explain(job: TrainingJob, plot: Path) -> None:
    """Prints what a job's report says about its curves; saves the report, and a plot of them."""
    report = DebugReport.load(job)
    report.plot_losses()
    plt.savefig(plot, dpi=120)
    report.to_html(plot.with_suffix(".html"))
    losses = report.curves["loss"].valid
    print(f"The lowest validation loss is {losses.min():.3f}, that of the last epoch {losses[-1]:.3f}.")
    for rule in report.rules:
        if rule.name == "Overfit":
            print(f"Rule Overfit: {rule.message}", *([f"  -> {rule.advice}"] if rule.advice else []), sep="\n")
    for insight in report.insights():
        if insight.topic in ("validation-spikes", "overfitting", "generalization-gap"):
            print(insight.title, *(f"  {line}" for line in insight.evidence), f"  -> {insight.next_step}", sep="\n")


def scores(session: Session, endpoint: str, content_type: str, body: bytes) -> list[float]:
    """One score per class, as any client of the endpoint gets them."""
    client = session.client("sagemaker-runtime")
    response = client.invoke_endpoint(
        EndpointName=endpoint, ContentType=content_type, Accept="application/json", Body=body
    )
    [row] = json.loads(response["Body"].read())
    return [float(score) for score in row]


class Silent(SimpleHTTPRequestHandler):
    """Answers with files, and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Replaces the line for each request."""


@contextmanager
def published(picture: bytes, options: argparse.Namespace, session: Session) -> Iterator[str]:
    """A URL at which the endpoint finds the picture: of a web server here, or on AWS a signed one of S3."""
    if options.on == "aws":
        client, bucket, key = session.client("s3"), session.bucket_name, "bytes_and_urls/picture.jpg"
        client.put_object(Bucket=bucket, Key=key, Body=picture)
        yield client.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": key}, ExpiresIn=600)
        client.delete_object(Bucket=bucket, Key=key)
        return
    (options.output / "web").mkdir(exist_ok=True)
    (options.output / "web" / "picture.jpg").write_bytes(picture)
    handler = partial(Silent, directory=options.output / "web")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/picture.jpg"
        server.shutdown()


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder or s3:// URI with train/, valid/ and test/ (default: drawn dogs)")
    parser.add_argument("--on", choices=("local", "aws"), default="local", help="where jobs run (default: local)")
    parser.add_argument("--weights", help="file with the backbone's weights, if they cannot be downloaded")
    parser.add_argument("--small", action="store_true", help="few pictures and trials, to see it run")
    parser.add_argument("--output", type=Path, default=Path("bytes_and_urls-output"), help="folder for the results")
    parser.add_argument("--aws-report", type=Path, help="folder with the JSON files of AWS's profiler report")
    return parser.parse_args()


def pictures(options: argparse.Namespace, session: Session) -> BreedDataset:
    """The user's pictures; or drawn ones, of which every third has a wrong label: right ones are too easy to learn."""
    if options.data:
        return BreedDataset.open(options.data, session=session)
    breeds, per_breed = (4, 18) if options.small else (12, 63)
    drawn = BreedDataset.sample(options.output / "dogs", breeds=breeds, per_breed=per_breed)
    wrong = options.output / "dogs-with-wrong-labels"
    if not wrong.exists():
        shutil.copytree(drawn.root, wrong)
        for picture in drawn.pictures("train")[::3]:
            other = drawn.classes[(picture.index + 1) % len(drawn.classes)]
            (wrong / "train" / picture.class_folder / picture.path.name).rename(
                wrong / "train" / other / picture.path.name
            )
    return BreedDataset.from_folder(wrong)


def backbone(options: argparse.Namespace) -> tuple[str, str]:
    """ResNet-50 and its weights; a small network whose weights are installed, if ResNet-50's cannot be had."""
    if options.weights:
        return "resnet50", options.weights
    problem = weights_problem("resnet50") if options.on == "local" else None
    if problem is None:
        return "resnet50", "pretrained"
    print(
        f"{problem} Using efficientnet_lite0, whose weights are installed; --weights FILE names a file of ResNet-50's."
    )
    return "efficientnet_lite0", "pretrained"


if __name__ == "__main__":
    main()
