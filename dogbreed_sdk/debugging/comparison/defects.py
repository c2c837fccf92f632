"""Causes of what is wrong with a run that do not depend on a hyperparameter's value: mistakes in its loop or data.

Of two runs that differ in such a cause, the difference in results says nothing about their hyperparameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from training_scripts.rules.own_words import plain_name

_NONE = r"(?!)"
_SOURCES: Mapping[str, str] = {
    "exception": _NONE,
    "nan-input": _NONE,
    "nan-target": _NONE,
    "wrong-sign": r"maximi[sz]e|sign",
    "probabilities-as-log-probabilities": r"loss|criterion|softmax",
    "double-softmax": r"loss|criterion|softmax",
    "softmax-dimension": r"dim|softmax",
    "sorted-data": r"shuffle|sort|sampler",
    "gradients-accumulate": r"zerograd|accum",
    "weights-not-updated": r"fr[eo]+z|trainable|optim",
    "layers-not-updated": r"fr[eo]+z|trainable|optim",
    "frozen": r"fr[eo]+z|trainable|optim",
    "bad-initialization": r"init|std|gain|scale|normali[sz]",
    "schedule-decays-too-early": r"sched|decay|gamma|step|milestone",
    "weight-decay-too-strong": r"decay|wd|l2",
    "clipping-too-small": r"clip|norm",
    "dropout-too-strong": r"drop",
    "evaluation-in-training-mode": r"eval|mode",
    "labels-shifted": r"label|shift",
    "validation-preprocessing": r"normali[sz]|preprocess|transform|scale",
}
"""Cause -> the names of parameters that bring it about, without underscores, hyphens and capitals.

Other causes, such as a learning rate that is too high, follow from the values of hyperparameters, or a run that has
learned too little leaves the same trace, as with labels that do not match.
"""


def of(cause: str) -> str:
    """The cause if it is a mistake in loop or data; else an empty text."""
    return cause if cause in _SOURCES else ""


def is_brought_about(cause: str, parameters: Iterable[str]) -> bool:
    """Whether a change of these parameters can have brought about the cause.

    >>> is_brought_about("gradients-accumulate", ["lr"]), is_brought_about("learning-rate-too-high", ["lr"])
    (False, True)
    """
    source = _SOURCES.get(cause)
    return source is None or any(re.search(source, plain_name(name)) for name in parameters)
