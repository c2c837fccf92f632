"""The format of a recording: its tensors, reductions and facts."""

from __future__ import annotations

import re

from _generate.frame import attributes, markdown, table
from training_scripts.recording.trial import layout
from training_scripts.recording.trial.run_facts import RunFacts

# Name -> collection, and meaning. `<parameter>` is a parameter's name in the network, such as `Network_head.0.weight`.
TENSORS = {
    layout.LOSS: ("losses", "the loss of each step, where it is a cross-entropy of `train_model` or of smdebug's hook"),
    layout.LOOP_LOSS: ("losses", "the total loss of each step of a loop that `Recorder` records"),
    f"{layout.LOSS_PARTS}/<name>": (
        layout.LOSS_PARTS,
        "losses that add up to the total, by the names that the loop gives them",
    ),
    layout.ACCURACY: ("metrics", "the accuracy of each step"),
    layout.STEP_SIZE: (layout.SCALARS, "the number of samples in the step"),
    layout.LEARNING_RATE: (layout.SCALARS, "the learning rate; of further parameter groups `learning_rate/1`, …"),
    layout.INPUT_MEAN: (layout.SCALARS, "mean of the inputs of the step"),
    layout.INPUT_STD: (layout.SCALARS, "standard deviation of the inputs of the step"),
    layout.TARGET_MEAN: (layout.SCALARS, "mean of the targets, if they are not classes"),
    layout.OUTPUT_MIN: (layout.SCALARS, "smallest output of the step"),
    layout.OUTPUT_MAX: (layout.SCALARS, "largest output of the step"),
    layout.OUTPUT_MEAN: (layout.SCALARS, "mean output of the step"),
    layout.GRADIENT_KEPT: (
        layout.SCALARS,
        "norm of the gradient that was left of earlier steps although the weights had moved, relative to the new one",
    ),
    "<parameter>": ("weights, biases", "weights and biases of the trained layers"),
    "gradient/<parameter>": ("gradients", "their gradients"),
    "<layer>_relu_output_0": ("relu_output", "outputs of ReLUs; likewise of sigmoid and tanh"),
    layout.INPUT_IMAGE: ("inputs", "the channel means of each input picture"),
    layout.CLASS_COUNTS: ("class_counts", "training pictures per class, once"),
    layout.LABELS: ("labels", "the class of each validation picture, at each evaluation"),
    layout.PREDICTIONS: ("predictions", "the predicted class of each validation picture"),
    layout.VALID_PROBABILITIES: ("valid_probabilities", "the probability of the predicted class"),
    layout.VALID_LOSSES: ("valid_losses", "the loss of each validation picture"),
    layout.TARGETS: ("targets", "true values of a regression's validation samples"),
    layout.OUTPUTS: ("outputs", "predicted values of a regression's validation samples"),
}
REDUCTIONS = {
    "min": "smallest value",
    "max": "largest value",
    "mean": "mean",
    "std": "standard deviation",
    "l2": "Euclidean norm",
    "abs_mean": "mean of the absolute values",
    "zero_fraction": "share of exact zeros",
    "nonfinite_fraction": "share of NaN and infinity",
    "update_ratio": "norm of the step's update over the norm of the weight",
    "inactive_fraction": "share of a ReLU layer's units that hardly ever fire",
    "saturated_fraction": "share of a sigmoid's or tanh's values at its limits",
}


@table("recording-tensors")
def tensors() -> str:
    """What each recorded tensor is."""
    return markdown(
        ["Tensor", "Collection", "What it is"],
        [[f"`{name}`", f"`{collection}`", meaning] for name, (collection, meaning) in TENSORS.items()],
    )


@table("recording-reductions")
def reductions() -> str:
    """The numbers that are recorded in place of a whole tensor."""
    return markdown(["Reduction", "What it is"], [[f"`{name}`", meaning] for name, meaning in REDUCTIONS.items()])


@table("recording-facts")
def facts() -> str:
    """The members of run.json."""
    meanings = attributes(RunFacts)
    rows = [[f"`{name}`", _type(str(hint)), meanings[name]] for name, hint in RunFacts.__annotations__.items()]
    return markdown(["Fact", "Type", "Meaning"], rows)


def _type(hint: str) -> str:
    """A type as JSON calls it."""
    named = re.sub(r"ForwardRef\('(.*?)'.*\)", r"\1", hint)
    text = re.sub(r"Mapping\[.*?\]", "object", named)
    for ours, theirs in (("str", "string"), ("int", "integer"), ("float", "number"), ("bool", "true or false")):
        text = re.sub(rf"\b{ours}\b", theirs, text)
    return re.sub(r"list\[(.*?)\]", r"list of \1s", text).replace(" | None", " or null")
