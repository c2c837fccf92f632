"""Takes a multipart/form-data body apart in memory: pictures never touch a disk, and a search takes linear time.

Web frameworks' own parsers write larger parts to temporary files and look at a body byte by byte in Python; here the
whole body is at hand and bounded already.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message
from email.utils import collapse_rfc2231_value

# RFC 2046, section 5.1.1.
_LONGEST_BOUNDARY = 70
_LONGEST_HEADERS = 8192


class MultipartError(ValueError):
    """The body is no multipart/form-data, or has too many parts."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form.

    Attributes:
        name: The field's name.
        is_file: Whether it came with a file name.
        content: Its bytes.
    """

    name: str
    is_file: bool
    content: bytes


def parse(body: bytes, content_type: str, *, most_parts: int) -> list[Part]:
    r"""The parts of a body, in order.

    Args:
        body: The whole body.
        content_type: The header, with its boundary.
        most_parts: More are refused.

    Raises:
        MultipartError: There is no boundary, the body does not end with it, or a part is not a form's.

    >>> body = b'--b\r\nContent-Disposition: form-data; name="top_k"\r\n\r\n3\r\n--b--\r\n'
    >>> parse(body, "multipart/form-data; boundary=b", most_parts=1)
    [Part(name='top_k', is_file=False, content=b'3')]
    """
    boundary = _parameter("content-type", content_type, "boundary")
    if not boundary or len(boundary) > _LONGEST_BOUNDARY or not boundary.isascii():
        raise MultipartError("The content type names no boundary.")
    # The line break before a boundary belongs to it; the first one may stand at the very beginning.
    opening = b"--" + boundary.encode("ascii")
    delimiter = b"\r\n" + opening
    start = 0 if body.startswith(opening) else body.find(delimiter) + 2
    if start == 1:
        raise MultipartError("The boundary that the content type names is not in the body.")
    position = start + len(opening)
    parts: list[Part] = []
    while not body.startswith(b"--", position):
        end = body.find(delimiter, position)
        if end < 0:
            raise MultipartError("The body ends before its last boundary: it was cut off.")
        if len(parts) == most_parts:
            raise MultipartError(f"The form has more than {most_parts} parts.")
        parts.append(_part(body, position, end))
        position = end + len(delimiter)
    return parts


def _part(body: bytes, start: int, end: int) -> Part:
    """The part between two boundaries: spaces, a line break, headers, an empty line, the content."""
    headers_end = body.find(b"\r\n\r\n", start, min(end, start + _LONGEST_HEADERS))
    if headers_end < 0:
        raise MultipartError("A part of the form has no headers, or far too long ones.")
    disposition = ""
    for line in body[start:headers_end].decode("utf-8", "replace").split("\r\n"):
        header, _, value = line.partition(":")
        if header.strip().lower() == "content-disposition":
            disposition = value.strip()
    name = _parameter("content-disposition", disposition, "name")
    if not disposition.lower().startswith("form-data") or name is None:
        raise MultipartError('A part of the form has no header Content-Disposition: form-data; name="...".')
    is_file = _parameter("content-disposition", disposition, "filename") is not None
    return Part(name, is_file, body[headers_end + 4 : end])


def _parameter(header: str, value: str, parameter: str) -> str | None:
    message = Message()
    message[header] = value.replace("\r", " ").replace("\n", " ")
    found = message.get_param(parameter, header=header)
    return None if found is None else collapse_rfc2231_value(found)
