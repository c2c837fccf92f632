"""The context that functions of an inference.py may take as their last argument, as with AWS's toolkit.

Source: TorchServe, ts/context.py (Context, RequestProcessor); the part that inference scripts use.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


class RequestContext:
    """The headers of one request, and headers for its response.

    AWS forwards CustomAttributes and InferenceId as the headers X-Amzn-SageMaker-Custom-Attributes and
    X-Amzn-SageMaker-Inference-Id; a function returns custom attributes by setting that header.

    Args:
        model_dir: The model's folder.
        headers: The request's headers; None in the context of model_fn.

    Attributes:
        system_properties: {"model_dir", "gpu_id", "batch_size"}; gpu_id is always None, since torch knows the devices.
        manifest: Always empty: a SageMaker model has no TorchServe archive.
        response_headers: The headers that functions have set, with names in lower case.
    """

    def __init__(self, model_dir: Path, headers: Mapping[str, str] | None = None) -> None:
        self._headers = {name.lower(): value for name, value in (headers or {}).items()}
        self.system_properties = {"model_dir": str(model_dir), "gpu_id": None, "batch_size": 1}
        self.manifest: dict[str, object] = {}
        self.response_headers: dict[str, str] = {}
        self._status = (200, "")

    def get_request_header(self, index: int, name: str) -> str | None:
        """A header of the request, in any case; `index` is ignored, as a context has one request, batched or not."""
        del index
        return self._headers.get(name.lower())

    def get_all_request_header(self, index: int) -> dict[str, str]:
        """All headers of the request, with names in lower case."""
        del index
        return dict(self._headers)

    def set_response_header(self, index: int, name: str, value: str) -> None:
        """Adds a header to the response."""
        del index
        self.response_headers[name.lower()] = value

    def get_response_headers(self, index: int) -> dict[str, str]:
        """The headers that functions have set, with names in lower case."""
        del index
        return self.response_headers

    def set_response_content_type(self, index: int, value: str) -> None:
        """Sets the response's content type; one that a function returns beside the body has precedence."""
        self.set_response_header(index, "content-type", value)

    def get_response_content_type(self, index: int) -> str | None:
        """The content type that a function has set."""
        del index
        return self.response_headers.get("content-type")

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Sets the response's HTTP status."""
        del idx
        self._status = (code, phrase)

    def get_response_status(self, index: int) -> tuple[int, str]:
        """The HTTP status and its phrase."""
        del index
        return self._status
