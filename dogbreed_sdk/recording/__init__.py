"""Records any PyTorch training loop for `DebugReport`: `dogbreed_sdk.Recorder` and what it is made of."""
