"""Runs the model servers of endpoints, and brings endpoints up."""
