"""Text from anywhere, made fit to be shown: it commands no terminal, and gives away no secret."""

from __future__ import annotations

import re

# Controls, line and paragraph separators, what turns the direction of the text around it, and halves of characters.
# What is merely invisible stays: joiners and direction marks belong to the spelling of many languages.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")
_QUERY = re.compile(r"(?<=\S)\?[^\s'\"<>)\]]+")
_USERINFO = re.compile(r"(?<=//)[^/\s'\"<>]*@")
# Longer than any path that people look at; URLs may have megabytes, and a message repeats what it is about.
_ENDLESS = re.compile(r"(\S{300})\S+")


def printable(text: str) -> str:
    r"""A text on one line, which a terminal shows and does not obey: what would command it is written as an escape.

    >>> print(printable("Pug\x1b[2J\n\u202eguP \udcff é 犬"))
    Pug\x1b[2J\n\u202eguP \udcff é 犬
    """
    return _COMMANDS.sub(_escape, text)


def printable_lines(text: str) -> str:
    r"""A text of several lines, such as a log; otherwise like `printable`. Line feeds and tabs stay.

    >>> print(printable_lines("one\r\ntwo\x07"))
    one
    two\x07
    """
    return _COMMANDS.sub(_escape_in_lines, _LINE_END.sub("\n", text))


def redacted(text: str) -> str:
    """A URL, or a text with URLs in it, without user names, passwords and queries, and not endlessly long.

    Queries hold the signatures of presigned URLs, which open what they name to whoever reads a log.

    >>> redacted("cannot download https://me:secret@host/dogs.zip?X-Amz-Signature=abc: refused")
    'cannot download https://host/dogs.zip?… refused'
    """
    return _ENDLESS.sub(r"\1…", _USERINFO.sub("", _QUERY.sub("?…", text)))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _escape_in_lines(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\n\t" else _escape(found)
