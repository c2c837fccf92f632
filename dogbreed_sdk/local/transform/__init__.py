"""Runs batch transform jobs: sends objects to a model, and writes an output for each."""
