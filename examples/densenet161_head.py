"""Train a head of 512 units on DenseNet-161, see where its time goes, and serve it to a client that sends tensors.

python examples/densenet161_head.py [--data FOLDER] [--on aws] [--weights FILE] [--small] [--output FOLDER]
"""

from __future__ import annotations

import argparse
import io
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sagemaker.core.parameter import CategoricalParameter, ContinuousParameter, IntegerParameter

from dogbreed_sdk import BreedDataset, BreedTrainer, DebugReport, Deployment, Preprocessor, Session, weights_problem

# What SageMaker's DebuggerHookConfig and ProfilerConfig set, in the words of the training script.
RECORDING = {
    "train.save_interval": 100,  # tensors, in training steps
    "eval.save_interval": 10,  # predictions, in evaluation steps
    "profiler_interval_ms": 500,  # CPU, memory, disk, network
    "profile_operators": "on",
    "profile_steps": 10,  # steps whose operators are traced
}
RULES = ("VanishingGradient", "Overfit", "Overtraining", "PoorWeightInitialization")

# Your own inference.py: the functions that it lacks are those of AWS's PyTorch containers.
INFERENCE = """
from pathlib import Path

from training_scripts.models.model import load


def model_fn(model_dir):
    return load(Path(model_dir))
"""


def main() -> None:
    """Runs the whole life of one model."""
    options = read_options()
    options.output.mkdir(parents=True, exist_ok=True)
    with Session.aws() if options.on == "aws" else Session.local() as session:
        dataset = pictures(options, session)
        model, weights = backbone(options)
        trainer = BreedTrainer(session, model=model, weights=weights, hidden=512, instance_type="ml.g5.xlarge")

        count, classes = sum(dataset.splits.values()), len(dataset.classes)
        print(f"\n1. {count} pictures of {classes} classes go through {model} once, which is profiled.")
        trainer.extract_features(dataset, RECORDING)

        print("\n2. Search: each trial trains a head of 512 units, ReLU and dropout 0.3.")
        tuning = trainer.tune(
            dataset,
            {
                "lr": ContinuousParameter(1e-4, 1e-1, scaling_type="Logarithmic"),
                "batch_size": CategoricalParameter([32, 64, 128]),
                "epochs": IntegerParameter(5, 6) if options.small else IntegerParameter(5, 20),
            },
            hyperparameters={"dropout": 0.3},
            max_jobs=2 if options.small else 6,
        ).wait()
        print(f"Lowest validation loss {tuning.best.objective:.4f}, with {dict(tuning.best.searched)}")

        print("\n3. Train with the best values, and record what happens.")
        job = trainer.train(dataset, {**tuning.best.hyperparameters, **RECORDING}).wait()
        explain(DebugReport.load(job), options.output)

        print("\n4. Deploy, and send tensors.")
        prepare = Preprocessor.from_bundle(job.download_model(options.output))
        inference = options.output / "inference.py"
        inference.write_text(INFERENCE)
        with job.deploy() as deployment:
            print("The bundle's own code:")
            send_tensors(deployment, dataset, prepare)
        with job.deploy(entry_point=inference) as deployment:
            print("Your inference.py, with nothing but model_fn:")
            send_tensors(deployment, dataset, prepare)


def explain(report: DebugReport, output: Path) -> None:
    """Prints what the rules found and what the backbone spends its time on; writes the report and a plot."""
    for result in report.rules:
        if result.name in RULES:
            print(f"{result.name}: {result.status}. {result.message} {result.advice}".rstrip())
    print("The most expensive operators of the backbone:")
    for operator in report.costliest_operators(3):
        print(f"  {operator}\n    {operator.advice}")
    report.plot_losses()
    plt.savefig(output / "densenet161_head_losses.png", dpi=120)
    report.to_html(output / "report.html")
    print(f"The report, with curves, tensors, machine and operators: {output / 'report.html'}")


def send_tensors(deployment: Deployment, dataset: BreedDataset, prepare: Preprocessor) -> None:
    """Classifies test pictures as a client that prepares them itself, without the SDK's classifier."""
    runtime = deployment.session.client("sagemaker-runtime")
    found = dataset.pictures("test")
    for picture in found[:: max(1, len(found) // 5)][:5]:
        tensor = prepare(picture.path)[None]  # float32 [1, 3, height, width]
        npy = io.BytesIO()
        np.save(npy, tensor)
        bodies = {"application/json": json.dumps(tensor.tolist()).encode(), "application/x-npy": npy.getvalue()}
        predicted = {}
        for content_type, body in bodies.items():
            response = runtime.invoke_endpoint(
                EndpointName=deployment.endpoint_name, Body=body, ContentType=content_type, Accept="application/json"
            )
            predicted[content_type] = int(np.argmax(json.load(response["Body"])[0]))
        by_json, by_npy = predicted.values()
        print(f"  {picture.path.name}: class {picture.index}, predicted {by_json} from JSON, {by_npy} from npy")


def read_options() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder or s3:// URI with train/, valid/ and test/ (default: drawn dogs)")
    parser.add_argument("--on", choices=("local", "aws"), default="local", help="where jobs run (default: local)")
    parser.add_argument("--weights", help="file with the backbone's weights, if they cannot be downloaded")
    parser.add_argument("--small", action="store_true", help="few pictures and epochs, to see it run")
    parser.add_argument("--output", type=Path, default=Path("densenet161_head-output"), help="folder for the results")
    return parser.parse_args()


def pictures(options: argparse.Namespace, session: Session) -> BreedDataset:
    """The user's pictures, or drawn ones."""
    if options.data:
        return BreedDataset.open(options.data, session=session)
    breeds, per_breed = (4, 12) if options.small else (8, 40)
    return BreedDataset.sample(options.output / "dogs", breeds=breeds, per_breed=per_breed)


def backbone(options: argparse.Namespace) -> tuple[str, str]:
    """DenseNet-161 and its weights; a small network whose weights are installed, if DenseNet-161's cannot be had."""
    if options.weights:
        return "densenet161", options.weights
    problem = weights_problem("densenet161") if options.on == "local" else None
    if problem is None:
        return "densenet161", "pretrained"
    print(f"{problem} Using efficientnet_lite0, whose weights are installed; --weights names a file of DenseNet-161's.")
    return "efficientnet_lite0", "pretrained"


if __name__ == "__main__":
    main()
