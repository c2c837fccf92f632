"""The web page of the service: static files, served as they are."""

from dogbreed_sdk.service.page.page import files, index

__all__ = ["files", "index"]
