"""The outputs of a batch transform job: which belongs to which picture, and why a picture has none."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

_LOG_LINE = re.compile(r"\[sagemaker logs\]: (?P<rest>.*)")
_SUFFIX = ".out"


def outputs_by_input(inputs: Iterable[str], outputs: Collection[str]) -> dict[str, str | None]:
    """The name of each input's output; None for an input without one.

    Outputs repeat the inputs' keys below the prefix. The API reference (TransformOutput, S3OutputPath) describes them
    otherwise: with the prefix's own name, without folders between. So a name that is unique is enough.

    >>> outputs_by_input(["a/1.jpg", "b/1.jpg", "b/2.jpg"], ["a/1.jpg.out", "pictures/2.jpg.out"])
    {'a/1.jpg': 'a/1.jpg.out', 'b/1.jpg': None, 'b/2.jpg': 'pictures/2.jpg.out'}
    """
    listed = list(inputs)
    there = set(outputs)
    exact = {name: name + _SUFFIX for name in listed if name + _SUFFIX in there}
    free = _unique(there - set(exact.values()))
    return {name: exact.get(name) for name in listed} | {
        name: free.get(last + _SUFFIX) for last, name in _unique(listed).items() if name not in exact
    }


def _unique(names: Iterable[str]) -> dict[str, str]:
    """Last part -> name, of the names whose last part no other name has."""
    listed = list(names)
    counts = Counter(map(_last, listed))
    return {_last(name): name for name in listed if counts[_last(name)] == 1}


def reasons(lines: Iterable[str], objects: Collection[str]) -> Mapping[str, str]:
    """Why objects failed, as the data log of a transform job says.

    Args:
        lines: The lines of the log. SageMaker names an object as bucket/key, followed by a status, and by the model's
            response in further lines.
        objects: The objects of interest, named likewise.

    Returns:
        Object -> the reason, for those that the log mentions.

    >>> log = ["…:[sagemaker logs]: b/x.jpg: ClientError: 415", "…:[sagemaker logs]: b/x.jpg: Message:",
    ...        "…:[sagemaker logs]: b/x.jpg: not a picture"]
    >>> dict(reasons(log, {"b/x.jpg"}))
    {'b/x.jpg': 'ClientError: 415: not a picture'}
    """
    found: dict[str, list[str]] = {}
    for line in lines:
        match = _LOG_LINE.search(line)
        if match is None:
            continue
        name, text = _parted(match["rest"], objects)
        if name and text.strip() not in ("", "Message:") and text not in found.setdefault(name, []):
            found[name].append(text.strip())
    return {name: ": ".join(texts) for name, texts in found.items()}


def _parted(rest: str, objects: Collection[str]) -> tuple[str | None, str]:
    """The object with which a line begins, and the text after it; names may contain colons."""
    at = rest.find(":")
    while at >= 0:
        if rest[:at] in objects:
            return rest[:at], rest[at + 1 :]
        at = rest.find(":", at + 1)
    return None, rest


def _last(name: str) -> str:
    return name.rpartition("/")[2]
