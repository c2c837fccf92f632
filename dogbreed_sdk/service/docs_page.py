"""Renders the OpenAPI document as plain HTML: the usual viewers load scripts from other sites."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape

from dogbreed_sdk.service.openapi import Document
from dogbreed_sdk.service.problems import KINDS

STYLE = """\
:root { color-scheme: light dark; --line: #8885; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
h3 { margin: 1.8rem 0 .3rem; } h4 { margin: 1rem 0 .2rem; }
code, pre { font: 14px/1.45 ui-monospace, monospace; } h3 code { font-size: 1rem; }
pre { background: var(--soft); border-radius: 6px; padding: .7rem .9rem; overflow-x: auto; }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); }
.method { border: 1px solid var(--line); border-radius: 4px; padding: 0 .4rem; font-size: .9rem; }
:target { background: var(--soft); }
"""
_METHODS = ("get", "post")


def render(document: Document) -> str:
    """Renders the page; its links are relative to its own URL."""
    title = escape(document["info"]["title"])
    body = "\n".join(_sections(document))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}: API</title>\n"
        '<link rel="icon" href="assets/icon.svg" type="image/svg+xml">\n<link rel="stylesheet" href="docs.css">\n'
        f"</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _sections(document: Document) -> Iterator[str]:
    schemas = document.get("components", {}).get("schemas", {})
    yield f"<h1>{escape(document['info']['title'])}</h1>"
    yield f'<p>{escape(document["info"]["description"])} Also available as <a href="openapi.json">OpenAPI</a>.</p>'
    if document.get("components", {}).get("securitySchemes"):
        yield (
            "<p>Requests below <code>/v1</code> require an API key: <code>Authorization: Bearer KEY</code> or "
            "<code>X-API-Key: KEY</code>.</p>"
        )
    yield "<h2>Requests</h2>"
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                yield from _operation(method, path, operations[method], schemas)
    yield "<h2>Schemas</h2>"
    for name, schema in schemas.items():
        yield from _schema(name, schema)
    yield "<h2>Problems</h2>"
    rows = [
        (f'<code id="{name}">{name}</code>', str(kind.status), f"{escape(kind.title)}. {escape(kind.advice)}")
        for name, kind in KINDS.items()
    ]
    yield _table(("type /problems/…", "status", "meaning"), rows)


def _operation(method: str, path: str, operation: Document, schemas: Document) -> Iterator[str]:
    yield f'<h3><span class="method">{method.upper()}</span> <code>{escape(path)}</code></h3>'
    for paragraph in str(operation.get("description", operation.get("summary", ""))).split("\n\n"):
        yield f"<p>{escape(paragraph)}</p>"
    parameters = operation.get("parameters", ())
    if parameters:
        rows = [
            (f"<code>{escape(one['name'])}</code>", one["in"], escape(one.get("description", ""))) for one in parameters
        ]
        yield _table(("parameter", "in", "meaning"), rows)
    content = operation.get("requestBody", {}).get("content", {})
    if content:
        yield "<h4>Body</h4>"
        yield _table(
            ("content type", "schema"), [(f"<code>{escape(k)}</code>", _type(v["schema"])) for k, v in content.items()]
        )
        yield from _example(content.get("application/json", {}).get("schema"), schemas)
    yield "<h4>Responses</h4>"
    responses = operation["responses"]
    yield _table(("status", "meaning"), [(escape(k), escape(v["description"])) for k, v in responses.items()])
    yield from _example(responses.get("200", {}).get("content", {}).get("application/json", {}).get("schema"), schemas)


def _schema(name: str, schema: Document) -> Iterator[str]:
    yield f'<h3 id="schema-{escape(name)}"><code>{escape(name)}</code></h3>'
    yield f"<p>{escape(schema.get('description', ''))}</p>"
    required = schema.get("required", ())
    rows = [
        (
            f"<code>{escape(member)}</code>{'' if member in required else ' (optional)'}",
            _type(content),
            escape(content.get("description", "")),
        )
        for member, content in schema.get("properties", {}).items()
    ]
    yield _table(("member", "type", "meaning"), rows)


def _type(schema: Document) -> str:
    if "$ref" in schema:
        name = escape(str(schema["$ref"]).rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        members = ", ".join(f"{escape(name)} ({_type(one)})" for name, one in schema.get("properties", {}).items())
        return f"form with {members}"
    return "file" if schema.get("format") == "binary" else escape(str(schema.get("type", "any value")))


def _example(schema: Document | None, schemas: Document) -> Iterator[str]:
    named = schemas.get(str((schema or {}).get("$ref", "")).rpartition("/")[2], {})
    if "example" in named:
        yield f"<pre>{escape(json.dumps(named['example'], indent=2, ensure_ascii=False), quote=False)}</pre>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th>{name}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f'<div class="table"><table>\n<tr>{top}</tr>\n{body}</table></div>'
