"""Helpers without knowledge of SageMaker: processes, sockets, files, optional dependencies."""
