"""All causes by id: the trace that each leaves in a recording, and what to do. The documentation lists them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """A cause in the documentation.

    Attributes:
        trace: What in the recording shows it.
        advice: What to do.
    """

    trace: str
    advice: str


EXCEPTION = "exception"

CATALOG: Mapping[str, Entry] = {
    EXCEPTION: Entry(
        "An exception ended the loop.",
        "Mend what its traceback shows; Recorder(resume=True) then continues the recording.",
    ),
    "nan-input": Entry(
        "The inputs of a step contain NaN or infinity, while weights and loss were finite before.",
        "Look at the pictures or rows of that batch, and remove or repair them.",
    ),
    "nan-target": Entry(
        "The targets of a step contain NaN or infinity, while its inputs and outputs are finite.",
        "Look at the targets of that batch.",
    ),
    "undefined-loss": Entry(
        "The loss or its gradient becomes NaN or infinite at a step whose inputs and outputs are finite and of a usual "
        "size: log(0), a square root at 0, a division by 0.",
        "Use the loss that takes logits, or add a small number inside the logarithm, root or denominator.",
    ),
    "learning-rate-too-high": Entry(
        "Losses, outputs or weights grow from usual values until they overflow; or the loss leaps above its start, "
        "with updates that are large compared with the weights.",
        "Lower lr, warm it up, or clip gradients.",
    ),
    "learning-rate-too-low": Entry(
        "Updates are far smaller than usual, with usual gradients; the loss falls slowly, evenly, or not at all.",
        "Raise lr.",
    ),
    "inputs-not-scaled": Entry(
        "The first inputs have a mean or spread above 10, and the first loss is far above that of guessing, with "
        "weights of a usual size.",
        "Scale the inputs to a mean of about 0 and a spread of about 1.",
    ),
    "bad-initialization": Entry(
        "Weights that are all equal or zero, a gain far from 1, or a first loss far above that of guessing.",
        "Initialize weights with a standard deviation of about 1 / sqrt(inputs) (Xavier, He).",
    ),
    "wrong-sign": Entry(
        "A loss that cannot be negative is negative, and falls without bound; or the loss rises steadily and "
        "predictions become worse than guessing.",
        "Minimize the loss: remove the minus sign, or maximize=True.",
    ),
    "probabilities-as-log-probabilities": Entry(
        "A negative log-likelihood stays between -1 and 0.",
        "Apply log_softmax before NLLLoss, or use CrossEntropyLoss on logits.",
    ),
    "double-softmax": Entry(
        "The outputs are probabilities although the loss takes logits: the loss stays above ln(e + k - 1) - 1 for k "
        "classes, however many are right.",
        "Remove the softmax or sigmoid before CrossEntropyLoss.",
    ),
    "output-target-shapes": Entry(
        "Outputs and targets have shapes such as [20, 1] and [20], and the loss is that of every output with every "
        "target.",
        "Give both the same shape: outputs.squeeze(1), or targets.unsqueeze(1).",
    ),
    "softmax-dimension": Entry(
        "The outputs are probabilities that sum to 1 over the batch instead of the classes; or the loss begins at "
        "ln(samples in the step) instead of ln(classes), and stays high.",
        "Remove the softmax (CrossEntropyLoss takes logits), or apply it over the last dimension.",
    ),
    "sorted-data": Entry(
        "Batches contain few classes each, in the same order in every epoch; the loss jumps where the class changes.",
        "Shuffle the training data: DataLoader(shuffle=True).",
    ),
    "small-last-batch": Entry(
        "The last step of each epoch has far fewer samples than the others, and its loss scatters more.",
        "Drop the last batch (drop_last=True), or choose a batch size that leaves a larger one.",
    ),
    "gradients-accumulate": Entry(
        "Gradients of earlier steps are still there when the next ones are computed, although the weights were "
        "updated in between.",
        "Call optimizer.zero_grad() before each backward pass.",
    ),
    "weights-not-updated": Entry(
        "Weights stay exactly the same although gradients arrive and the learning rate is not 0.",
        "Call optimizer.step() after backward(), and pass the parameters of this model to the optimizer.",
    ),
    "frozen": Entry(
        "No trained parameter has a gradient, and the weights stay the same.",
        "Set requires_grad_(True) on what is to be trained, and do not detach the outputs.",
    ),
    "layers-not-updated": Entry(
        "Some weights stay exactly the same although their gradients arrive, while others are updated.",
        "Pass all of the model's parameters to the optimizer.",
    ),
    "vanishing-gradients": Entry(
        "The first layers get a tiny share of the last ones' gradient from the start, and the loss does not fall.",
        "Use ReLU, normalization or residual connections, or fewer layers.",
    ),
    "dead-relus": Entry(
        "Nearly all ReLUs of a layer are never active, so that no gradient passes.",
        "Initialize biases at 0, lower lr, or use LeakyReLU.",
    ),
    "saturated-activations": Entry(
        "Most sigmoids or tanhs of a layer are at their limits.",
        "Normalize the inputs, use smaller initial weights, or lower lr.",
    ),
    "schedule-decays-too-early": Entry(
        "The learning rate, or the size of the updates, falls to almost nothing while the loss is still falling.",
        "Let the schedule end with the training.",
    ),
    "weight-decay-too-strong": Entry(
        "Weights shrink toward zero during the run, and the loss stays near, or returns to, that of guessing.",
        "Lower weight-decay.",
    ),
    "clipping-too-small": Entry(
        "Clipped gradients have the same tiny total norm at every step, and the loss hardly falls.",
        "Raise the norm that gradients are clipped to (1.0 is usual).",
    ),
    "dropout-too-strong": Entry(
        "The loss is far lower in evaluation, without dropout, than in training; or dropout is 0.8 or more.",
        "Lower dropout.",
    ),
    "evaluation-in-training-mode": Entry(
        "The network is in training mode while it is evaluated, and has dropout or batch normalization.",
        "Call model.eval() before validation, and model.train() after it.",
    ),
    "labels-shifted": Entry(
        "Validation pictures of each class are predicted as one other class, by a fixed exchange of classes.",
        "Give both splits the same order of classes.",
    ),
    "validation-preprocessing": Entry(
        "Inputs have another mean or spread in validation than in training, and the validation loss is bad from the "
        "start, while the training loss falls.",
        "Apply the same preprocessing to both splits.",
    ),
    "shuffled-labels": Entry(
        "Training pictures are memorized, or not learned at all, with usual inputs, gradients and updates, while "
        "validation stays at chance.",
        "Check the labels of some pictures by eye.",
    ),
    "overfitting": Entry(
        "The validation loss rises, or stays far above the training loss, while that falls.",
        "Stop at the best epoch; more data, augmentation, weight decay or dropout.",
    ),
    "class-imbalance": Entry(
        "Classes with few training pictures are hardly ever predicted.",
        "Collect more pictures of them, or weight the loss.",
    ),
    "confused-classes": Entry(
        "Two classes are taken for each other, while the others are told apart.",
        "Check the labels of both, or merge them.",
    ),
}
