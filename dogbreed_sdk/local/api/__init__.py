"""SageMaker's API over HTTP: routes, validation, operations and invocations."""
