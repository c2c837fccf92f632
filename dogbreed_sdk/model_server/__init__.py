"""The model server: serves one model over SageMaker's hosting contract, on this machine or in a container."""

from __future__ import annotations

from dogbreed_sdk.model_server.process import ServerProcess, start

__all__ = ["ServerProcess", "start"]
