"""The API reference: every public name stands on one page, and its docstring says all that a caller must know."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest

import dogbreed_sdk
from dogbreed_sdk import debugging, errors, model_server, service, testing

pytestmark = pytest.mark.extras

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference" / "api"
# "Arguments and errors are those of `deploy`."
ELSEWHERE = re.compile(r"\b[Aa]rguments\b[^.]*\b(are those of|are the same)")
# Words in the name of a number or a duration -> of what its description must say one, or that it is that of another.
UNITS = {
    r"timeout|deadline|wait|pending|interval|period|runtime|alive|ttl|older|since|latency|age|seconds|ms|hours": (
        r"(milli)?seconds?|minutes?|hours?|days?|\d+(s|min|h|d)|steps"
    ),
    r"size|memory|payload|bytes|mb|gb": r"bytes|[kMG]i?B|megabytes|pixels|pictures|samples",
    r"limit|max|min|largest|smallest": (
        r"(milli)?seconds?|minutes?|hours?|days?|bytes|[kMG]i?B|pixels|number of|as many as|percent|attempts|epochs|"
        r"instances|pictures|requests|steps|trials"
    ),
}
SAME = re.compile(r"\b(as (for|in)|the same)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    """The package as the site reads it, with the site's own extension."""
    extensions = griffe.Extensions(importlib.import_module("reference_links").ReferenceLinks())
    loader = griffe.GriffeLoader(search_paths=[ROOT], docstring_parser=griffe.Parser.google, extensions=extensions)
    package = loader.load("dogbreed_sdk")
    loader.resolve_aliases(implicit=True, external=False)
    assert isinstance(package, griffe.Module)
    return package


def public(package: griffe.Module) -> Iterator[tuple[str, griffe.Object]]:
    """Every public class and function, and what a public class offers, by name."""
    for name in dogbreed_sdk.__all__:
        value = package[name].final_target
        yield name, value
        if value.is_class:
            for member, found in value.all_members.items():
                target = found.final_target if found.is_alias else found
                if not member.startswith("_") and (target.is_function or "property" in target.labels):
                    yield f"{name}.{member}", target


def test_every_public_name_is_on_exactly_one_page() -> None:
    names = [f"dogbreed_sdk.{name}" for name in dogbreed_sdk.__all__]
    for module in (debugging, model_server, service, testing):
        names += [f"{module.__name__}.{name}" for name in module.__all__]
    pages = importlib.import_module("reference_links").documented()  # which refuses a name on two pages
    assert [name for name in names if name not in pages] == []


def test_every_page_is_reached_from_the_first() -> None:
    text = (PAGES / "index.md").read_text(encoding="utf-8")
    pages = {path.name for path in PAGES.glob("*.md")} - {"index.md"}
    assert set(re.findall(r"\]\((\w+\.md)\)", text)) == pages


def test_every_public_docstring_explains_each_argument(package: griffe.Module) -> None:
    assert [f"{name}: {argument}" for name, value in public(package) for argument in unexplained(value)] == []


def unexplained(value: griffe.Object) -> list[str]:
    """The arguments of a function, or of a class's constructor, that its docstring does not explain."""
    if value.docstring is None:
        return ["there is no docstring"]
    function = value.all_members.get("__init__") if value.is_class else value
    if function is None or not function.is_function or ELSEWHERE.search(value.docstring.value):
        return []
    explaining = [value, *value.mro(), function] if value.is_class else [value]
    docstrings = [each.docstring for each in explaining if each.docstring is not None]
    explained = {
        item.name.lstrip("*")
        for docstring in docstrings
        for section in docstring.parse("google", warnings=False)
        if section.kind.value in ("parameters", "attributes")
        for item in section.value
    }
    return [each.name for each in function.parameters if each.name not in {"self", "cls", *explained}]


def test_every_public_number_has_its_unit(package: griffe.Module) -> None:
    assert [f"{name}: {found}" for name, value in public(package) for found in without_unit(value)] == []


def without_unit(value: griffe.Object) -> list[str]:
    """The numbers and durations whose name says that they have a unit, and whose description says none."""
    return [
        item.name
        for section in value.docstring.parse("google", warnings=False)
        if section.kind.value in ("parameters", "attributes")
        for item in section.value
        if re.search(r"\b(int|float|Duration)\b", str(item.annotation)) and not SAME.search(item.description)
        for names, units in UNITS.items()
        if re.search(rf"(^|_)({names})(_|$)", item.name)
        and not re.search(rf"\b({units})\b", item.description, re.IGNORECASE)
    ]


def test_examples_are_where_the_site_looks_for_them(package: griffe.Module) -> None:
    """An example outside an Examples section would be a quotation on the page."""
    astray = [
        name
        for name, value in public(package)
        for section in value.docstring.parse("google", warnings=False)
        if (section.kind.value == "text" and ">>>" in section.value)
        or (section.kind.value == "admonition" and ">>>" in section.value.description)
    ]
    assert astray == []


def test_no_docstring_has_a_tag_that_browsers_would_drop(package: griffe.Module) -> None:
    tags = re.compile(r"(?<![`\w])<[A-Za-z/][^>\n]*>")
    text = {name: re.sub(r"``[^`]*``|`[^`]*`", "", value.docstring.value) for name, value in public(package)}
    assert [name for name, words in text.items() if tags.search(words)] == []


def test_the_page_of_errors_shows_the_tree_of_the_module() -> None:
    assert errors.__doc__ is not None
    tree = errors.__doc__.partition("\n\n")[2].strip()
    assert f"```text\n{tree}\n```" in (PAGES / "errors.md").read_text(encoding="utf-8")


def test_names_in_docstrings_become_links_and_constants_values(package: griffe.Module) -> None:
    classifier = package["BreedClassifier"].final_target
    text = classifier["explain"].docstring.value
    assert "from [`from_bundle`][dogbreed_sdk.BreedClassifier.from_bundle]" in text
    assert "[`classify`][dogbreed_sdk.BreedClassifier.classify]" in text
    assert "[`Session.default()`][dogbreed_sdk.Session.default]" in classifier.docstring.value
    assert "``top_k``" in text, "what is no name stays"
    assert str(classifier["__init__"].parameters["max_attempts"].default) == str(
        dogbreed_sdk.BreedClassifier.__init__.__kwdefaults__["max_attempts"]  # type: ignore[index]
    )
