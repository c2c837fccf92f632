"""Reads profiles: how busy the machine was and where a run's time went."""
