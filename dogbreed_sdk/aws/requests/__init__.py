"""Requests to SageMaker as pure functions: configuration in, sagemaker.core shapes out, no I/O."""
