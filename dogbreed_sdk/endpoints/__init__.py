"""Endpoints: deploy a model, wait for it, evaluate it, delete it."""
