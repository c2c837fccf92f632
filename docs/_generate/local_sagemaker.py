"""What local SageMaker offers of SageMaker's API."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from _generate.frame import markdown, table
from dogbreed_sdk.local.support.not_offered import NOT_OFFERED
from dogbreed_sdk.local.support.rows import Row, Table
from dogbreed_sdk.local.support.tables import TABLES as SUPPORT

_SUPPORT = {"works": "works", "no meaning": "has no meaning here", "refused": "refused"}
_FEW_MEMBERS = 2  # as fast read as referred to


@table("local-sagemaker-operations")
def local_sagemaker_operations() -> str:
    """The operations that local SageMaker offers, and the members of their requests."""
    sections, seen = [], dict[int, str]()
    for service, operations in SUPPORT.items():
        for operation, node in operations.items():
            rows = [[members, *said] for members, said in _grouped(_members(node, operation, (), seen))]
            title = operation if service == "sagemaker" else f"{operation} ({service})"
            sections.append(f"### {title}\n\n{markdown(['Member', 'Support', 'Note'], rows)}")
    return "\n\n".join(sections)


@table("local-sagemaker-missing-operations")
def local_sagemaker_missing_operations() -> str:
    """The operations that local SageMaker does not have, with the reason."""
    rows = [[", ".join(f"`…{word}…`" for word in words), why] for words, why in NOT_OFFERED.items()]
    return markdown(["Operations", "Why not, and what instead"], rows)


_Path = tuple[str, ...]
_Said = tuple[str, str]  # a member's support, and its note


def _grouped(members: Iterable[tuple[_Path, _Said]]) -> Iterator[tuple[str, _Said]]:
    """One row for neighboring members of one structure with the same support and note."""
    for (above, said), group in itertools.groupby(members, lambda member: (member[0][:-1], member[1])):
        first, *others = [path[-1] for path, _ in group]
        yield ", ".join(f"`{name}`" for name in (".".join((*above, first)), *others)), said


def _members(node: Row | Table, operation: str, path: _Path, seen: dict[int, str]) -> Iterator[tuple[_Path, _Said]]:
    """The members below a path with what is said of them; a table that came before is only referred to."""
    if isinstance(node, Row):
        yield path, (_SUPPORT[node.support], node.explanation)
    elif id(node) in seen:
        yield path, ("", f"as {seen[id(node)]}")
    else:
        if len(node) > _FEW_MEMBERS:
            seen[id(node)] = f"`{'.'.join(path)}` of {operation}"
        for name, below in node.items():
            yield from _members(below, operation, (*path, name), seen)
