"""Runs training jobs as processes with the container contract."""
