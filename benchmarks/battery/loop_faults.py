"""Faults of other people's training loops: each kind in several sizes, optimizers and networks, with its cause."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import SGD, Adam, AdamW, Optimizer

from battery.faulty import Fault
from battery.parts import blobs, convolutions, perceptron, pictures, split
from battery.recorded import Loop, record
from training_scripts.recording.trial.trial import Trial


class Attention(nn.Module):
    """A small transformer over a sequence of vectors."""

    def __init__(self, width: int, classes: int, *, length: int = 4, hidden: int = 16, dropout: float = 0.0) -> None:
        super().__init__()
        self.length = length
        self.embed = nn.Linear(width // length, hidden)
        layer = nn.TransformerEncoderLayer(hidden, 2, 2 * hidden, dropout=dropout, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.last = nn.Linear(hidden, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits."""
        parts = inputs.reshape(len(inputs), self.length, -1)
        return self.last(self.encoder(self.embed(parts)).mean(1))


@dataclass(frozen=True)
class Setting:
    """What is trained and how.

    Attributes:
        task: table, picture or sequence.
        optimizer: sgd, momentum, adam or adamw.
        batch: Batch size.
        classes: Number of classes.
        counts: Training samples per class.
        epochs: Passes.
        signs: Whether the numbers per step that show causes are recorded.
    """

    task: str = "table"
    optimizer: str = "adam"
    batch: int = 32
    classes: int = 4
    counts: int = 60
    epochs: int = 10
    signs: bool = True


TABLE, SMALL = Setting(optimizer="sgd"), Setting(optimizer="momentum", batch=16, classes=3)
WIDE = Setting(optimizer="adamw", classes=10, counts=40, batch=64, epochs=12)
PICTURE = Setting("picture", "adam", batch=16, classes=3, epochs=10)
SEQUENCE = Setting("sequence", "adamw", batch=32)
BLIND = replace(TABLE, optimizer="adam", signs=False)
ALL = (TABLE, SMALL, WIDE, PICTURE, SEQUENCE, BLIND)
RATES = {"sgd": 0.1, "momentum": 0.03, "adam": 5e-3, "adamw": 5e-3}

Change = Callable[[Loop, torch.Generator], Loop]
_FAULTS: list[tuple[str, Setting, Change, tuple[str, ...]]] = []


def healthy(setting: Setting, random: torch.Generator, seed: int, *, width: int = 16, dropout: float = 0.0) -> Loop:
    """A loop in which nothing is wrong."""
    if setting.task == "picture":
        train, valid = split(pictures(random, classes=setting.classes, counts=setting.counts))
        network: nn.Module = convolutions(setting.classes, norm=seed % 2 == 0)
    else:
        data = blobs(random, classes=setting.classes, width=width, counts=setting.counts, distance=1.2)
        train, valid = split(data)
        network = (
            Attention(width, setting.classes, dropout=dropout)
            if setting.task == "sequence"
            else perceptron([width, 32, 32, setting.classes], dropout=dropout, norm=seed % 3 == 0)
        )
    return Loop(
        network,
        optimizer_of(setting, network),
        train,
        valid,
        epochs=setting.epochs,
        batch=setting.batch,
        seed=seed,
    )


def optimizer_of(setting: Setting, network: nn.Module, *, times: float = 1.0, **rest: float) -> Optimizer:
    """The setting's optimizer for a network.

    Args:
        setting: Its kind.
        network: What is trained.
        times: Factor of the usual learning rate.
        rest: Further arguments of the optimizer.
    """
    rate = RATES[setting.optimizer] * times
    parameters = [value for value in network.parameters() if value.requires_grad]
    kinds: dict[str, Callable[[], Optimizer]] = {
        "sgd": lambda: SGD(parameters, rate, **rest),  # type: ignore[arg-type]
        "momentum": lambda: SGD(parameters, rate, momentum=0.9, **rest),  # type: ignore[arg-type]
        "adam": lambda: Adam(parameters, rate, **rest),  # type: ignore[arg-type]
        "adamw": lambda: AdamW(parameters, rate, **rest),  # type: ignore[arg-type]
    }
    return kinds[setting.optimizer]()


def faults(seed: int) -> Iterator[Fault]:
    """Every faulty loop; another seed gives other data, weights and orders."""
    for place, (name, setting, change, causes) in enumerate(_FAULTS):
        number = seed * 1000 + 300 + place

        def made(setting: Setting = setting, change: Change = change, number: int = number) -> Trial:
            torch.manual_seed(number)
            random = torch.Generator().manual_seed(number)
            return record(change(healthy(setting, random, number), random), signs=setting.signs)

        yield Fault(name, made, (), None, causes)  # type: ignore[arg-type]


def healthy_loops(seed: int) -> Iterator[tuple[str, Callable[[], Trial]]]:
    """The same loops without a fault."""
    for place, setting in enumerate(ALL):
        number = seed * 1000 + 700 + place

        def made(setting: Setting = setting, number: int = number) -> Trial:
            torch.manual_seed(number)
            random = torch.Generator().manual_seed(number)
            return record(healthy(setting, random, number, dropout=0.2), signs=setting.signs)

        yield f"loop: {setting.task}, {setting.optimizer}, {setting.batch}", made


def _fault(kind: str, causes: str, *settings: Setting) -> Callable[[Change], Change]:
    def add(change: Change) -> Change:
        for setting in settings:
            name = f"{kind}: {setting.task}, {setting.optimizer}, {setting.batch}" + (
                "" if setting.signs else ", no signs"
            )
            _FAULTS.append((name, setting, change, tuple(causes.split())))
        return change

    return add


def _optimized(loop: Loop, setting_like: Optimizer) -> Loop:
    loop.optimizer = setting_like
    return loop


def _kind(loop: Loop) -> str:
    """The setting's name of a loop's optimizer."""
    if isinstance(loop.optimizer, SGD):
        return "momentum" if loop.optimizer.defaults["momentum"] else "sgd"
    return "adamw" if isinstance(loop.optimizer, AdamW) else "adam"


def _again(loop: Loop, *, times: float = 1.0, **rest: float) -> Loop:
    """The loop with a new optimizer of its kind, for its present parameters."""
    made = optimizer_of(Setting(optimizer=_kind(loop)), loop.network, times=times, **rest)
    return _optimized(loop, made)


# ---------------------------------------------------------------- not finite


@_fault("NaN in one batch", "nan-input", *ALL)
def _nan(loop: Loop, random: torch.Generator) -> Loop:
    at = int(torch.randint(12, 30, (1,), generator=random))

    def spoil(step: int, inputs: Tensor) -> Tensor:
        if step == at:
            inputs = inputs.clone()
            inputs.view(-1)[7] = math.nan if at % 2 else math.inf
        return inputs

    loop.prepare = spoil
    return loop


@_fault("exploding by the learning rate", "learning-rate-too-high", TABLE, SMALL, PICTURE, replace(TABLE, signs=False))
def _explodes(loop: Loop, _: torch.Generator) -> Loop:
    loop.network = perceptron([16, 32, 1]) if loop.train[0].dim() == 2 else convolutions(1, norm=False)
    loop.train, loop.valid = (
        (inputs, inputs.flatten(1)[:, :1] * 3 + labels[:, None]) for inputs, labels in (loop.train, loop.valid)
    )
    loop.loss = functional.mse_loss
    return _optimized(loop, SGD(loop.network.parameters(), 10.0))


@_fault("exploding by the initial weights", "bad-initialization", TABLE, SMALL, SEQUENCE, replace(TABLE, signs=False))
def _huge_weights(loop: Loop, _: torch.Generator) -> Loop:
    for parameter in loop.network.parameters():
        if parameter.dim() > 1:
            parameter.data *= 300
    return loop


@_fault("log of zero", "undefined-loss", TABLE, WIDE, PICTURE, BLIND)
def _log_zero(loop: Loop, random: torch.Generator) -> Loop:
    at = int(torch.randint(15, 30, (1,), generator=random))
    seen = [0]

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            seen[0] += 1
        right = outputs.softmax(1)[torch.arange(len(targets)), targets]
        if seen[0] == at + 1:
            right = torch.where(torch.arange(len(right)) == 1, right * 0, right)  # underflows to 0 once
        return -right.log().mean()

    loop.loss = loss
    return loop


@_fault("square root at zero", "undefined-loss", TABLE, SMALL, WIDE, SEQUENCE)
def _root(loop: Loop, random: torch.Generator) -> Loop:
    at = int(torch.randint(15, 30, (1,), generator=random))
    seen = [0]

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.requires_grad:
            seen[0] += 1
        gap = outputs - outputs.detach() * (1.0 if seen[0] == at + 1 else 0.0)
        return functional.cross_entropy(outputs, targets) + 1e-4 * gap.square().sum(1).sqrt().mean()

    loop.loss = loss
    return loop


# ---------------------------------------------------------------- the loss


@_fault("wrong sign", "wrong-sign", *ALL)
def _sign(loop: Loop, _: torch.Generator) -> Loop:
    loop.loss = lambda outputs, targets: -functional.cross_entropy(outputs, targets)
    return loop


@_fault("maximized", "wrong-sign", TABLE, WIDE, PICTURE)
def _maximize(loop: Loop, _: torch.Generator) -> Loop:
    for group in loop.optimizer.param_groups:
        group["maximize"] = True
    return loop


@_fault("probabilities in NLLLoss", "probabilities-as-log-probabilities", TABLE, WIDE, PICTURE)
def _nll(loop: Loop, _: torch.Generator) -> Loop:
    loop.network.append(nn.Softmax(1))  # type: ignore[operator]
    loop.loss = functional.nll_loss
    return loop


@_fault("double softmax", "double-softmax", *(setting for setting in ALL if setting.task != "sequence"))
def _double(loop: Loop, _: torch.Generator) -> Loop:
    loop.network.append(nn.Softmax(1))  # type: ignore[operator]
    loop.epochs *= 3
    return loop


@_fault("sigmoid before cross-entropy", "double-softmax", WIDE, PICTURE)
def _sigmoid(loop: Loop, _: torch.Generator) -> Loop:
    loop.network.append(nn.Sigmoid())  # type: ignore[operator]
    loop.epochs *= 3
    return loop


@_fault("softmax over the batch", "softmax-dimension", TABLE, SMALL, WIDE, PICTURE)
def _dimension(loop: Loop, _: torch.Generator) -> Loop:
    loop.network.append(nn.Softmax(0))  # type: ignore[operator]
    return loop


# ---------------------------------------------------------------- the order


@_fault("sorted data", "sorted-data", *ALL, replace(BLIND, classes=10))
def _sorted(loop: Loop, _: torch.Generator) -> Loop:
    order = loop.train[1].argsort(stable=True)
    loop.train = loop.train[0][order], loop.train[1][order]
    loop.shuffle = False
    return loop


@_fault("small last batch", "small-last-batch", TABLE, SMALL, PICTURE, BLIND)
def _last_batch(loop: Loop, random: torch.Generator) -> Loop:
    count = len(loop.train[1]) // loop.batch * loop.batch + 2
    count -= loop.batch if count > len(loop.train[1]) else 0
    inputs, labels = loop.train[0][:count], loop.train[1][:count].clone()
    wrong = torch.rand(count, generator=random) < 0.15
    labels[wrong] = torch.randint(int(labels.max()) + 1, (int(wrong.sum()),), generator=random)
    loop.train = inputs, labels
    loop.epochs = 20
    return loop


# ---------------------------------------------------------------- the optimizer


@_fault("no zero_grad", "gradients-accumulate", *ALL[:-1], replace(TABLE, signs=False))
def _no_zero_grad(loop: Loop, _: torch.Generator) -> Loop:
    loop.clears = False
    return loop


@_fault("no optimizer.step", "weights-not-updated", *ALL)
def _no_step(loop: Loop, _: torch.Generator) -> Loop:
    loop.steps = False
    return loop


@_fault("optimizer of another model", "weights-not-updated", TABLE, WIDE, PICTURE, BLIND)
def _other_model(loop: Loop, _: torch.Generator) -> Loop:
    old = loop.network
    loop.network = copy.deepcopy(old)
    return loop


@_fault("everything frozen", "frozen", TABLE, PICTURE, SEQUENCE)
def _frozen(loop: Loop, _: torch.Generator) -> Loop:
    for parameter in loop.network.parameters():
        parameter.requires_grad_(False)
    return loop


@_fault("a layer not in the optimizer", "layers-not-updated", TABLE, WIDE, PICTURE, SEQUENCE)
def _part(loop: Loop, _: torch.Generator) -> Loop:
    kept = [*loop.network.parameters()][2:]
    return _optimized(loop, type(loop.optimizer)(kept, lr=loop.optimizer.defaults["lr"]))  # type: ignore[call-arg]


@_fault("learning rate far too high", "learning-rate-too-high", *ALL)
def _too_high(loop: Loop, _: torch.Generator) -> Loop:
    return _again(loop, times=2000 if not isinstance(loop.optimizer, SGD) else 100)


@_fault("learning rate far too low", "learning-rate-too-low", *ALL)
def _too_low(loop: Loop, _: torch.Generator) -> Loop:
    return _again(loop, times=1e-4)


@_fault("schedule decays too early", "schedule-decays-too-early", *ALL)
def _schedule(loop: Loop, _: torch.Generator) -> Loop:
    loop.epochs *= 3
    loop = _again(loop, times=0.3)
    loop.schedule = lambda done: 0.5 ** (done * (40 if loop.batch > 16 else 25))
    return loop


@_fault("clipped to a tiny norm", "clipping-too-small", TABLE, SMALL, replace(PICTURE, optimizer="sgd"))
def _clip(loop: Loop, _: torch.Generator) -> Loop:
    loop.clip = 1e-3
    return loop


@_fault("weight decay far too strong", "weight-decay-too-strong", *ALL)
def _decay(loop: Loop, _: torch.Generator) -> Loop:
    strong = {"sgd": 2.0, "momentum": 1.0, "adam": 5.0, "adamw": 40.0}[_kind(loop)]
    return _again(loop, weight_decay=strong)


# ---------------------------------------------------------------- the network


@_fault("dead ReLUs", "dead-relus", TABLE, SMALL, WIDE, PICTURE, BLIND)
def _dead(loop: Loop, _: torch.Generator) -> Loop:
    first = next(module for module in loop.network.modules() if isinstance(module, (nn.Linear, nn.Conv2d)))
    rest = [module for module in loop.network.modules() if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d))]
    for module in (first, *rest[:1]):
        nn.init.constant_(module.bias, -50.0)
    return loop


@_fault("deep sigmoids", "vanishing-gradients", TABLE, WIDE, BLIND)
def _deep(loop: Loop, _: torch.Generator) -> Loop:
    classes = int(loop.train[1].max()) + 1
    loop.network = perceptron([16, *[24] * 10, classes], activation=nn.Sigmoid)
    return _again(loop)


@_fault("all weights zero", "bad-initialization", TABLE, WIDE, PICTURE, BLIND)
def _zeros(loop: Loop, _: torch.Generator) -> Loop:
    for parameter in loop.network.parameters():
        nn.init.zeros_(parameter)
    return loop


@_fault("dropout of 95%", "dropout-too-strong", TABLE, SMALL, WIDE, BLIND)
def _dropout(loop: Loop, _: torch.Generator) -> Loop:
    classes = int(loop.train[1].max()) + 1
    loop.network = perceptron([16, 32, 32, classes], dropout=0.95)
    return _again(loop)


# ---------------------------------------------------------------- the data


@_fault("validation not normalized", "validation-preprocessing", TABLE, SMALL, WIDE, PICTURE, SEQUENCE)
def _unnormalized(loop: Loop, _: torch.Generator) -> Loop:
    loop.valid = loop.valid[0] * 60 + 120, loop.valid[1]
    return loop


@_fault("validation scaled", "validation-preprocessing", TABLE, WIDE, PICTURE, SEQUENCE)
def _scaled(loop: Loop, _: torch.Generator) -> Loop:
    loop.valid = loop.valid[0] / 50, loop.valid[1]
    return loop


@_fault("validation in another order of channels", "validation-preprocessing", TABLE, WIDE, SEQUENCE, BLIND)
def _channels(loop: Loop, _: torch.Generator) -> Loop:
    loop.valid = loop.valid[0].flip(1), loop.valid[1]
    loop.epochs *= 2
    return loop


@_fault("evaluated in training mode", "evaluation-in-training-mode", TABLE, SMALL, WIDE, PICTURE)
def _training_mode(loop: Loop, _: torch.Generator) -> Loop:
    classes = int(loop.train[1].max()) + 1
    loop.network = (
        convolutions(classes) if loop.train[0].dim() == 4 else perceptron([16, 32, 32, classes], norm=True, dropout=0.3)
    )
    loop.evaluates = False
    return _again(loop)


@_fault("labels shuffled", "shuffled-labels", *ALL)
def _shuffled(loop: Loop, random: torch.Generator) -> Loop:
    loop.train = loop.train[0], loop.train[1][torch.randperm(len(loop.train[1]), generator=random)]
    return loop


@_fault("labels shuffled, memorized", "shuffled-labels", TABLE, WIDE, BLIND)
def _memorized(loop: Loop, random: torch.Generator) -> Loop:
    classes = int(loop.train[1].max()) + 1
    loop.network = perceptron([16, 256, classes])
    loop.optimizer = Adam(loop.network.parameters(), 1e-2)
    loop.epochs = 40
    loop.train = loop.train[0], loop.train[1][torch.randperm(len(loop.train[1]), generator=random)]
    return loop


@_fault("validation labels shifted", "labels-shifted", *ALL)
def _shifted(loop: Loop, _: torch.Generator) -> Loop:
    classes = int(loop.train[1].max()) + 1
    loop.valid = loop.valid[0], (loop.valid[1] + 1) % classes
    return loop
