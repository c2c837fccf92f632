"""Text for messages: sentences, shortened texts, the seconds of a header."""

from __future__ import annotations


def sentence(text: str) -> str:
    """Ends a text from elsewhere with a period, so that advice can follow it in a message.

    >>> sentence("Rate exceeded"), sentence("Rate exceeded.")
    ('Rate exceeded.', 'Rate exceeded.')
    """
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def shorten(text: str, limit: int) -> str:
    """Cut a text in the middle, which is the least interesting part of a message.

    >>> shorten("abcdefghijklmnop", 12)
    'abcd ... nop'
    """
    if len(text) <= limit:
        return text
    head = (limit - 5 + 1) // 2
    return f"{text[:head]} ... {text[len(text) - (limit - 5 - head) :]}"


def retry_after_seconds(header: str | None) -> float:
    """The seconds of a Retry-After header; 0 if it is absent or holds a date, which no model server sends.

    >>> retry_after_seconds("2"), retry_after_seconds("Fri, 31 Dec 1999 23:59:59 GMT"), retry_after_seconds(None)
    (2.0, 0.0, 0.0)
    """
    return float(header) if header and header.isascii() and header.isdigit() else 0.0
