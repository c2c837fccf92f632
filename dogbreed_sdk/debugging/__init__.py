"""Reads what a run recorded: what went wrong, when, why, and what to do about it."""
