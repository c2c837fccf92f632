"""Helpers that both packages share: atomic writes, safe text, numbers in messages."""
