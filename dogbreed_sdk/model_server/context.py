"""The context that functions of an inference.py may take as their last argument, as with AWS's toolkit.

Source: TorchServe, ts/context.py (Context, RequestProcessor); the part that inference scripts use.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path


class Headers(Mapping[str, str]):
    """Headers by name, in any case; iteration gives the names in lower case."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._values = {name.lower(): value for name, value in headers.items()}

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class RequestContext:
    """The headers of one request, and headers for its response.

    AWS forwards CustomAttributes and InferenceId as the headers X-Amzn-SageMaker-Custom-Attributes and
    X-Amzn-SageMaker-Inference-Id; a function returns custom attributes by setting that header. The arguments `idx` of
    the methods are ignored, as a context has one request, batched or not.

    Args:
        model_dir: The model's folder.
        headers: The request's headers; None in the context of model_fn.

    Attributes:
        system_properties: {"model_dir", "gpu_id", "batch_size"}; gpu_id is always None, since torch knows the devices.
        manifest: Always empty: a SageMaker model has no TorchServe archive.
        response_headers: The headers that functions have set, with names in lower case.
    """

    def __init__(self, model_dir: Path, headers: Mapping[str, str] | None = None) -> None:
        self._headers = Headers(headers or {})
        self.system_properties = {"model_dir": str(model_dir), "gpu_id": None, "batch_size": 1}
        self.manifest: dict[str, object] = {}
        self.response_headers: dict[str, str] = {}
        self._status = (200, "")

    def get_request_header(self, idx: int, key: str) -> str | None:  # noqa: ARG002
        """A header of the request; None if it has none of that name."""
        return self._headers.get(key)

    def get_all_request_header(self, idx: int) -> Headers:  # noqa: ARG002
        """All headers of the request."""
        return self._headers

    def set_response_header(self, idx: int, key: str, value: str) -> None:  # noqa: ARG002
        """Adds a header to the response."""
        self.response_headers[key.lower()] = value

    def get_response_headers(self, idx: int) -> dict[str, str]:  # noqa: ARG002
        """The headers that functions have set, with names in lower case."""
        return self.response_headers

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Sets the response's content type; one that a function returns beside the body has precedence."""
        self.set_response_header(idx, "content-type", value)

    def get_response_content_type(self, idx: int) -> str | None:  # noqa: ARG002
        """The content type that a function has set."""
        return self.response_headers.get("content-type")

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:  # noqa: ARG002
        """Sets the response's HTTP status."""
        self._status = (code, phrase)

    def get_response_status(self, idx: int) -> tuple[int, str]:  # noqa: ARG002
        """The HTTP status and its phrase."""
        return self._status
