"""A bundle's network behind LitServe with its micro-batches. Usage: litserve_server.py PORT WEIGHTS."""

import sys
from pathlib import Path

import litserve
import torch
from fastapi import UploadFile
from network import answer, load, prepare


class Classifier(litserve.LitAPI):
    """Decodes, batches, answers."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        """Loads the network in the worker."""
        self.network = load(Path(sys.argv[2]))

    def decode_request(self, request: UploadFile) -> torch.Tensor:
        """A picture's pixels, from the form that LitServe's documentation sends pictures in."""
        return prepare(request.file.read())

    def batch(self, inputs: list[torch.Tensor]) -> torch.Tensor:
        """One tensor of several requests."""
        return torch.stack(inputs)

    def predict(self, batch: torch.Tensor) -> list[list[float]]:
        """Probabilities of each."""
        return answer(self.network, batch)

    def unbatch(self, output: list[list[float]]) -> list[list[float]]:
        """One row for each request."""
        return output

    def encode_response(self, output: list[float]) -> list[list[float]]:
        """As SageMaker's containers answer: one row per picture."""
        return [output]


if __name__ == "__main__":
    api = Classifier(max_batch_size=8, batch_timeout=0.005, api_path="/invocations")
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning")
