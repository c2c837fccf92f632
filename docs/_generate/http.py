"""The reference of the HTTP service, from its OpenAPI document, and of the model server's content types."""

from __future__ import annotations

import functools
import json
import re

from _generate.frame import anchor, markdown, sections, table
from dogbreed_sdk import AsyncBreedClassifier
from dogbreed_sdk.client import explanation, responses
from dogbreed_sdk.service import create_app
from dogbreed_sdk.service.openapi import Document
from dogbreed_sdk.service.problems import KINDS
from training_scripts.data import arrays, formats

_ROOT = "http://127.0.0.1:8000"
_PICTURE = "--data-binary @rex.jpg -H 'Content-Type: image/jpeg'"
# Route -> calls to copy: the options of curl, and what follows the route in the address.
_CALLS = {
    "POST /v1/classify": (
        (_PICTURE, "?top_k=3"),
        ("-F file=@rex.jpg -F top_k=3", ""),
        ("""--json '{"url": "https://example.com/rex.jpg", "top_k": 3}'""", ""),
    ),
    "POST /v1/classify/batch": (
        ("-F file=@rex.jpg -F file=@fifi.png", ""),
        ("""--json '{"pictures": [{"url": "https://example.com/rex.jpg"}], "top_k": 3}'""", ""),
    ),
    "POST /v1/explain": ((f"{_PICTURE} -H 'Accept: image/png' -o why.png", ""),),
    "GET /v1/labels": (("", ""),),
    "GET /healthz": (("", ""),),
    "GET /readyz": (("", ""),),
    "GET /metrics": (("", ""),),
}
_WIDTH = 80


class _Explaining(AsyncBreedClassifier):
    """A classifier that is never asked; with it the service has all of its routes."""

    @property
    def can_explain(self) -> bool:
        return True


@functools.cache
def _document() -> Document:
    return create_app(_Explaining.from_server("http://127.0.0.1:8080")).openapi()


@table("http-routes")
def routes() -> str:
    """Every route with its parameters, bodies, answers and errors, and calls to copy."""
    parts = []
    for path, operations in _document()["paths"].items():
        parts += [_route(f"{method.upper()} {path}", operation) for method, operation in operations.items()]
    return sections(*parts)


@table("http-schemas")
def schemas() -> str:
    """The members of the JSON documents."""
    return sections(*(_schema(name, schema) for name, schema in sorted(_schemas().items())))


@table("http-problems")
def problems() -> str:
    """Every kind of problem."""
    rows = [[f"`{name}`", kind.status, f"{kind.title}.", kind.advice] for name, kind in KINDS.items()]
    return markdown(["`type`: `/problems/…`", "Status", "`title`", "What to do"], rows)


@table("accept-types")
def accept_types() -> str:
    """What the model server responds with, by the header Accept."""
    explained = (
        f"for one picture: as `{responses.CONTENT_TYPE}`, with `explanation` (`index`, and `contributions`: what each "
        "part of the picture adds to that class's logit, as rows) and `preprocessing` (`resize`, `crop`, "
        "`resize_mode`); `;class=INDEX` after it chooses another class than the most probable one"
    )
    arrays_or_lines = "the logits in NumPy's format (`float32`, `[n, classes]`), or one line per picture"
    return markdown(
        ["`Accept`", "Response"],
        [
            [f"`{formats.JSON}` (default)", "`[[logit per class]]`"],
            [
                f"`{responses.CONTENT_TYPE}`",
                "`model_id` and every class with label, logit and probability, best first",
            ],
            [f"`{responses.SCORES_CONTENT_TYPE}`", "`model_id` and the probabilities in the order of the classes"],
            [f"`{explanation.CONTENT_TYPE}`", explained],
            [f"`{arrays.NPY}`, `text/csv`", arrays_or_lines],
        ],
    )


def _schemas() -> dict[str, Document]:
    found: dict[str, Document] = _document()["components"]["schemas"]
    return found


def _route(name: str, operation: Document) -> str:
    calls = "\n".join(_call(name, *call) for call in _CALLS[name])
    return sections(
        f"### {name}",
        str(operation["description"]),
        f"```sh\n{calls}\n```",
        _parameters(operation),
        _bodies(operation),
        _responses(operation),
    )


def _call(name: str, options: str, query: str) -> str:
    """A command line that calls a route; the address is on a separate line if the command would be too long."""
    address = f"{_ROOT}{name.partition(' ')[2]}{query}"
    command = f"curl {options}".strip()
    quoted = f"'{address}'" if query else address
    return f"{command} {quoted}" if len(f"{command} {quoted}") <= _WIDTH else f"{command} \\\n  {quoted}"


def _parameters(operation: Document) -> str:
    rows = [
        [f"`{one['name']}`", _type(one["schema"]), one.get("description", "")]
        for one in operation.get("parameters", ())
    ]
    return markdown(["Parameter in the URL", "Type", "Meaning"], rows) if rows else ""


def _bodies(operation: Document) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    rows = [[f"`{name}`", _type(one["schema"])] for name, one in content.items()]
    return markdown(["`Content-Type`", "Body"], rows) if rows else ""


def _responses(operation: Document) -> str:
    rows = []
    for status, response in operation["responses"].items():
        kinds = re.findall(r"\(([a-z-]+)\)", response["description"])
        if status == "200":
            bodies = [_type(one["schema"]) for one in response.get("content", {}).values() if one.get("schema")]
            meaning = sections(f"{response['description']} {' or '.join(bodies)}".strip())
        else:
            meaning = ", ".join(f"[`{kind}`](#problems)" for kind in kinds)
        rows.append([status, meaning])
    return markdown(["Status", "Response"], rows)


def _schema(name: str, schema: Document) -> str:
    required = schema.get("required", ())
    rows = [
        [
            f"`{member}`{'' if member in required else ' (optional)'}",
            _type(content),
            content.get("description", ""),
        ]
        for member, content in schema.get("properties", {}).items()
    ]
    example = schema.get("example")
    shown = f"```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```" if example else ""
    about = schema.get("description", "")
    return sections(f"### {name}", about, markdown(["Member", "Type", "Meaning"], rows), shown)


def _type(schema: Document) -> str:
    """A type in words, such as "list of [Score](#score)"."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](#{anchor(name)})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        return f"form with {', '.join(f'`{name}` ({_type(one)})' for name, one in schema['properties'].items())}"
    if schema.get("format") == "binary":
        return "file"
    return str(schema.get("type", "any value")) + _range(schema)


def _range(schema: Document) -> str:
    return f" from {schema['minimum']} to {schema['maximum']}" if {"minimum", "maximum"} <= schema.keys() else ""
