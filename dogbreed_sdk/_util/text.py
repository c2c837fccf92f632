"""Text for people, cut to the length that there is room for."""

from __future__ import annotations


def shorten(text: str, limit: int) -> str:
    """Cut a text in the middle, where a message is least interesting.

    >>> shorten("abcdefghijklmnop", 12)
    'abcd ... nop'
    """
    if len(text) <= limit:
        return text
    head = (limit - 5 + 1) // 2
    return f"{text[:head]} ... {text[len(text) - (limit - 5 - head) :]}"
