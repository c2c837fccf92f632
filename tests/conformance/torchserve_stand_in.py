"""Drives AWS's HandlerService as TorchServe does; runs in the conformance environment, on a list of requests.

Usage: torchserve_stand_in.py MODEL_DIR < requests.json > answers.json
Each request is {"body": base64, "headers": {...}}, each answer {"status", "content_type", "body"}.
"""

from __future__ import annotations

import base64
import json
import sys
from typing import Any

from sagemaker_pytorch_serving_container.handler_service import HandlerService


class RequestProcessor:
    """TorchServe's view of one request's headers."""

    def __init__(self, headers: dict[str, str]) -> None:
        self._headers = headers

    def get_request_properties(self) -> dict[str, str]:
        return self._headers


class Context:
    """The part of ts.context.Context that the toolkit uses."""

    def __init__(self, model_dir: str) -> None:
        self.model_name = "model"
        self.system_properties = {"model_dir": model_dir}
        self.request_processor: list[RequestProcessor] = []
        self.status, self.content_type = 200, ""

    def set_response_status(self, code: int, phrase: str) -> None:
        self.status = code

    def set_response_content_type(self, number: int, value: str) -> None:
        self.content_type = value


def answer(service: HandlerService, context: Context, request: dict[str, Any]) -> dict[str, Any]:
    context.request_processor = [RequestProcessor(request["headers"])]
    context.status, context.content_type = 200, ""
    body = service.handle([{"body": bytearray(base64.b64decode(request["body"]))}], context)[0]
    text = body if isinstance(body, str) else body.decode("latin-1")
    return {"status": context.status, "content_type": context.content_type, "body": text}


def main() -> None:
    context = Context(sys.argv[1])
    service = HandlerService()
    service.initialize(context)
    answers = [answer(service, context, request) for request in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
