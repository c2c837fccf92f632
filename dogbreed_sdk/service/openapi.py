"""The OpenAPI document's parts that the web framework cannot know: bodies that are read by hand, and problems."""

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
    "Tells what is in a picture. Every request is answered with a header X-Request-Id, every failure with problem "
    "details (RFC 9457)."
)
_COMPONENTS = "#/components/schemas/{model}"
_FILE = {"type": "string", "format": "binary"}
_TOP_K = {"type": "integer", "minimum": 1, "maximum": MOST_TOP_K, "default": DEFAULT_TOP_K}


def responses(*statuses: int, ok: str) -> dict[int | str, dict[str, Any]]:
    """The descriptions of a route's answers: 200, and a problem for each other status."""
    found: dict[int | str, dict[str, Any]] = {200: {"description": ok}}
    for status in sorted(statuses):
        kinds = [name for name, kind in KINDS.items() if kind.status == status]
        content: dict[str, Any] = {"schema": {"$ref": _COMPONENTS.format(model="ProblemAnswer")}}
        found[status] = {
            "description": "; ".join(f"{KINDS[name].title} ({name})" for name in kinds),
            "content": {MEDIA_TYPE: content},
        }
        if status in (429, 503):
            found[status]["headers"] = {
                "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer"}}
            }
    return found


def body_of_one() -> dict[str, Any]:
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


def body_of_several() -> dict[str, Any]:
    """The request body of /v1/classify/batch."""
    files = {"type": "array", "items": _FILE, "minItems": 1}
    form = {"type": "object", "required": ["file"], "properties": {"file": files, "top_k": _TOP_K}}
    return _body(
        {
            "multipart/form-data": {"schema": form},
            "application/json": {"schema": {"$ref": _COMPONENTS.format(model="BatchRequest")}},
        }
    )


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document of an application."""
    made = get_openapi(title=app.title, version=dogbreed_sdk.__version__, description=DESCRIPTION, routes=app.routes)
    _, definitions = models_json_schema(
        [(ClassifyRequest, "validation"), (BatchRequest, "validation"), (ProblemAnswer, "validation")],
        ref_template=_COMPONENTS,
    )
    made.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
    return made


def _body(content: dict[str, Any]) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": content}}
