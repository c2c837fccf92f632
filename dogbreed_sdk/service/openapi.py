"""The parts of the OpenAPI document that the framework cannot derive: bodies that are parsed here, and problems."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import models_json_schema

import dogbreed_sdk
from dogbreed_sdk.service.problems import KINDS, MEDIA_TYPE
from dogbreed_sdk.service.schemas import DEFAULT_TOP_K, MOST_TOP_K, BatchRequest, ClassifyRequest, ProblemAnswer

if TYPE_CHECKING:
    from fastapi import FastAPI

DESCRIPTION = (
    "Classifies pictures. Every response has a header X-Request-Id, and every error response has problem details "
    "(RFC 9457)."
)
# An OpenAPI document, or a part of it, as the web framework represents it.
Document = dict[str, Any]
_COMPONENTS = "#/components/schemas/{model}"
_FILE = {"type": "string", "format": "binary"}
_TOP_K = {"type": "integer", "minimum": 1, "maximum": MOST_TOP_K, "default": DEFAULT_TOP_K}


def responses(*statuses: int, ok: str) -> dict[int | str, Document]:
    """The descriptions of a route's responses: status 200, and a problem for each other status."""
    found: dict[int | str, Document] = {200: {"description": ok}}
    for status in sorted(statuses):
        kinds = [name for name, kind in KINDS.items() if kind.status == status]
        content: Document = {"schema": {"$ref": _COMPONENTS.format(model="ProblemAnswer")}}
        found[status] = {
            "description": "; ".join(f"{KINDS[name].title} ({name})" for name in kinds),
            "content": {MEDIA_TYPE: content},
        }
        if status in (429, 503):
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            }
    return found


def body_of_one() -> Document:
    """The request body of /v1/classify."""
    form = {"type": "object", "required": ["file"], "properties": {"file": _FILE, "top_k": _TOP_K}}
    return _body(
        {
            "image/*": {"schema": _FILE},
            "application/octet-stream": {"schema": _FILE},
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": {"$ref": _COMPONENTS.format(model="ClassifyRequest")}},
        }
    )


def body_of_several() -> Document:
    """The request body of /v1/classify/batch."""
    files = {"type": "array", "items": _FILE, "minItems": 1}
    form = {"type": "object", "required": ["file"], "properties": {"file": files, "top_k": _TOP_K}}
    return _body(
        {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": {"$ref": _COMPONENTS.format(model="BatchRequest")}},
        }
    )


def document(app: FastAPI) -> Document:
    """The whole document of an application."""
    made = get_openapi(title=app.title, version=dogbreed_sdk.__version__, description=DESCRIPTION, routes=app.routes)
    _, definitions = models_json_schema(
        [(ClassifyRequest, "validation"), (BatchRequest, "validation"), (ProblemAnswer, "validation")],
        ref_template=_COMPONENTS,
    )
    made.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    return made


def _body(content: Document) -> Document:
    return {"requestBody": {"required": True, "content": content}}
