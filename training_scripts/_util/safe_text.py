"""Makes untrusted text safe to print: without terminal control sequences, and without secrets in URLs."""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, overrides of the text direction, and lone surrogates. Characters
# that are merely invisible stay: joiners and direction marks belong to the spelling of many languages.
_COMMANDS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")
# A URL that was turned into a path has one slash instead of two. Matches begin only at the start of a word, because
# words may be arbitrarily long.
_URL = re.compile(r"(?<![a-zA-Z0-9+.-])([a-zA-Z][a-zA-Z0-9+.-]+:/{1,2})([^\s'\"<>]+)")
_QUERY = re.compile(r"(?<=\S)\?(?!…)[^\s'\"<>)\]]+")
_USERINFO = re.compile(r"(?<=//)[^/\s'\"<>]*@")
# Longer than any path that people read. A message repeats the URL that it is about, which may have megabytes.
_ENDLESS = re.compile(r"(\S{300})\S+")


def safe_line(text: str) -> str:
    """`printable` and `without_secrets`: for one line of output."""
    return printable(without_secrets(text))


def safe_lines(text: str) -> str:
    """`printable_lines` and `without_secrets`: for output of several lines."""
    return printable_lines(without_secrets(text))


def printable(text: str) -> str:
    r"""A text on one line that is safe to print on a terminal: control characters are escaped.

    >>> print(printable("Pug\x1b[2J\n\u202eguP \udcff é 犬"))
    Pug\x1b[2J\n\u202eguP \udcff é 犬
    """
    return _COMMANDS.sub(_escape, text)


def printable_lines(text: str) -> str:
    r"""Like `printable`, for a text of several lines, such as a log: line feeds and tabs stay.

    >>> print(printable_lines("one\r\ntwo\x07"))
    one
    two\x07
    """
    return _COMMANDS.sub(_escape_in_lines, _LINE_END.sub("\n", text))


def without_secrets(text: str) -> str:
    """Removes user names, passwords and queries from the URLs in a text.

    Queries contain the signatures of presigned URLs, with which anyone who reads a log could access the object.

    >>> without_secrets("what? postgres://me:secret@host/db and https://host/dogs.zip?X-Amz-Signature=abc")
    'what? postgres://host/db and https://host/dogs.zip?…'
    """
    return _URL.sub(_stripped, text) if ":/" in text else text


def redacted(text: str) -> str:
    """A URL as messages show it: of limited length, and without secrets even if only a part of the URL is left.

    >>> redacted("cannot download https://me:secret@host/dogs.zip?X-Amz-Signature=abc: refused")
    'cannot download https://host/dogs.zip?… refused'
    """
    return _ENDLESS.sub(r"\1…", _USERINFO.sub("", _QUERY.sub("?…", without_secrets(text))))


def _stripped(url: re.Match[str]) -> str:
    host, slash, path = url[2].partition("/")
    shown, _, query = f"{host.rpartition('@')[2]}{slash}{path}".partition("?")
    # A URL that was already stripped stays as it is, with the rest of its sentence.
    return f"{url[1]}{shown}" + (f"?{query}" if query.startswith("…") else "?…" if query else "")


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


def _escape_in_lines(found: re.Match[str]) -> str:
    return found[0] if found[0] in "\n\t" else _escape(found)
