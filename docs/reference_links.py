"""What the API reference on the site has beyond `help()`: links between names, and the values of defaults.

- A name in single backticks in a docstring, `BreedClassifier.classify`, or `classify` within that class, becomes a link
  if a page of docs/reference/api has it.
- A default that the source takes from `dogbreed_sdk.defaults` is shown as its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import griffe

if TYPE_CHECKING:
    from collections.abc import Mapping

PAGES = Path(__file__).parent / "reference" / "api"
_DIRECTIVE = re.compile(r"^::: (\S+)", re.MULTILINE)
_NAME = re.compile(r"(?<![`\[])`([A-Za-z_][\w.]*)(\(\))?`(?![`\]])")


def documented() -> dict[str, str]:
    """Name of what each page documents -> the page, for example ``dogbreed_sdk.Session`` -> ``sessions.md``."""
    found: dict[str, str] = {}
    for page in sorted(PAGES.glob("*.md")):
        for name in _DIRECTIVE.findall(page.read_text(encoding="utf-8")):
            if name in found:
                raise ValueError(f"{name} is on {found[name]} and on {page.name}; a name belongs to one page")
            found[name] = page.name
    return found


class ReferenceLinks(griffe.Extension):
    """Turns names in docstrings into links, once a package has been read."""

    def on_package(self, *, pkg: griffe.Module, loader: griffe.GriffeLoader, **_: Any) -> None:
        """Rewrites the docstrings of what the pages show."""
        loader.resolve_aliases(implicit=True, external=False)
        targets = {name: found for name in documented() if (found := _found(loader, name)) is not None}
        short = {name.rpartition(".")[2]: name for name in targets}
        for name, value in targets.items():
            if value.package is pkg or value.canonical_path.startswith(f"{pkg.path}."):
                for path, member in _with_members(name, value):
                    if member.docstring is not None:
                        owner = path.rpartition(".")[0] if member is not value else path
                        member.docstring.value = _linked(member.docstring.value, owner, targets, short)
                    _show_defaults(member, loader)


def _found(loader: griffe.GriffeLoader, name: str) -> griffe.Object | None:
    try:
        found = loader.modules_collection[name]
        return found.final_target if found.is_alias else found
    except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError):
        return None


def _with_members(name: str, value: griffe.Object) -> Iterator[tuple[str, griffe.Object]]:
    yield name, value
    if value.is_class:
        for member, target in value.all_members.items():
            if not member.startswith("_") or member == "__init__":
                yield f"{name}.{member}", target.final_target if target.is_alias else target


def _linked(text: str, owner: str, targets: Mapping[str, griffe.Object], short: Mapping[str, str]) -> str:
    """The text with links; a name that no page has stays as it is."""

    def link(found: re.Match[str]) -> str:
        target = _target(found[1].removeprefix("dogbreed_sdk."), owner, targets, short)
        return f"[{found[0]}][{target}]" if target and target != owner else found[0]

    return _NAME.sub(link, text)


def _target(name: str, owner: str, targets: Mapping[str, griffe.Object], short: Mapping[str, str]) -> str | None:
    first, _, rest = name.partition(".")
    if not rest and owner in targets and _has(targets[owner], name):
        return f"{owner}.{name}"
    if first not in short:
        return None
    if not rest or not _has(targets[short[first]], rest):
        return short[first]  # an attribute is explained with its class
    return f"{short[first]}.{rest}"


def _has(value: griffe.Object, member: str) -> bool:
    """Whether the page has a heading for it: a method or property with a docstring."""
    if not value.is_class or member.startswith("_") or member not in value.all_members:
        return False
    found = value.all_members[member]
    target = found.final_target if found.is_alias else found
    return target.docstring is not None


def _show_defaults(value: griffe.Object, loader: griffe.GriffeLoader) -> None:
    """Replaces a default that is a constant of the package by the constant's value."""
    if not isinstance(value, griffe.Function):
        return
    for parameter in value.parameters:
        if isinstance(parameter.default, griffe.ExprName | griffe.ExprAttribute):
            constant = _found(loader, parameter.default.canonical_path)
            if isinstance(constant, griffe.Attribute) and constant.value is not None:
                parameter.default = str(constant.value)
