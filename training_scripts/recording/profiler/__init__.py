"""Profiles a run while it trains, in Debugger's format."""
