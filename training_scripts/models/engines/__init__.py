"""Engines run a network: torch, ONNX Runtime or OpenVINO, whichever is installed and fastest with the same results."""
