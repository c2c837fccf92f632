"""Text from anywhere, made fit to be shown: it commands no terminal, and gives away no secret."""

from __future__ import annotations

import re

# Controls, line and paragraph separators, what turns the direction of the text around it, and halves of characters.
# What is merely invisible stays: joiners and direction marks belong to the spelling of many languages.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")
# A path made of a URL has one slash where there were two. Only a word's beginning is tried: words may be endless.
_URL = re.compile(r"(?<![a-zA-Z0-9+.-])([a-zA-Z][a-zA-Z0-9+.-]+:/{1,2})([^\s'\"<>]+)")
_QUERY = re.compile(r"(?<=\S)\?(?!…)[^\s'\"<>)\]]+")
_USERINFO = re.compile(r"(?<=//)[^/\s'\"<>]*@")
# Longer than any path that people look at; URLs may have megabytes, and a message repeats what it is about.
_ENDLESS = re.compile(r"(\S{300})\S+")


def safe_line(text: str) -> str:
    """`printable` and `without_secrets`: for one line of output."""
    return printable(without_secrets(text))


def safe_lines(text: str) -> str:
    """`printable_lines` and `without_secrets`: for output of several lines."""
    return printable_lines(without_secrets(text))


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


def without_secrets(text: str) -> str:
    """A text whose URLs have no user names, no passwords and no queries.

    Queries hold the signatures of presigned URLs, which open what they name to anyone who reads a log.

    >>> without_secrets("what? postgres://me:secret@host/db and https://host/dogs.zip?X-Amz-Signature=abc")
    'what? postgres://host/db and https://host/dogs.zip?…'
    """
    return _URL.sub(_stripped, text) if ":/" in text else text


def redacted(text: str) -> str:
    """What a message says about a URL: without secrets also where only a part of the URL is left; never endless.

    >>> redacted("cannot download https://me:secret@host/dogs.zip?X-Amz-Signature=abc: refused")
    'cannot download https://host/dogs.zip?… refused'
    """
    return _ENDLESS.sub(r"\1…", _USERINFO.sub("", _QUERY.sub("?…", without_secrets(text))))


def _stripped(url: re.Match[str]) -> str:
    host, slash, path = url[2].partition("/")
    shown, _, query = f"{host.rpartition('@')[2]}{slash}{path}".partition("?")
    # What was stripped before stays as it is, with what follows in its sentence.
    return f"{url[1]}{shown}" + (f"?{query}" if query.startswith("…") else "?…" if query else "")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _escape_in_lines(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\n\t" else _escape(found)
