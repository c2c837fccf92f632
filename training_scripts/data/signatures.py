"""Recognizes a picture format by a file's first bytes, whatever the file is called."""

from __future__ import annotations

import re

# Enough of a file for `format_of`.
LENGTH = 32

HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
AVIF_BRANDS = (b"avif", b"avis")

_BEGINNINGS = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xffO\xffQ", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"8BPS\0", "PSD"),
    (b"qoif", "QOI"),
)
_OTHERS = (
    (b"%!PS", "PostScript"),
    (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive (or an office document)"),
    (b"\x1f\x8b", "compressed with gzip"),
    (b"\x1aE\xdf\xa3", "a film"),
)
_PNM = re.compile(rb"P[1-6][ \t\r\n]+[0-9#]")
# Many texts begin with "BM"; in a bitmap, the size of the header that follows is one of a few numbers.
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})


def brand_of(beginning: bytes) -> bytes:
    """The brand of an ISO media file (HEIC, AVIF, MP4, ...); empty for other files."""
    return beginning[8:12] if beginning[4:8] == b"ftyp" else b""


def format_of(beginning: bytes) -> str | None:
    """Returns the picture format that a file's first bytes indicate.

    Args:
        beginning: The file's first `LENGTH` bytes, or all of it.

    Returns:
        The format, under Pillow's name if training decodes it; None if the file is not a picture.

    >>> format_of(b"GIF89a..."), format_of(b"BMW 1.txt")
    ('GIF', None)
    """
    for start, name in _BEGINNINGS:
        if beginning.startswith(start):
            return name
    if beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP":
        return "WEBP"
    if beginning[:2] == b"BM" and int.from_bytes(beginning[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    brand = brand_of(beginning)
    if brand in AVIF_BRANDS:
        return "AVIF"
    if brand in HEIC_BRANDS:
        return "HEIC"
    return "PPM" if _PNM.match(beginning) else None


def other_kind(beginning: bytes) -> str | None:
    """Describes a file that was passed as a picture but is not one; None if its type is unknown.

    >>> other_kind(b"<!DOCTYPE html>404"), other_kind(b"GIF89a...")
    ('a web page or XML', None)
    """
    for start, kind in _OTHERS:
        if beginning.startswith(start):
            return kind
    if brand_of(beginning) and format_of(beginning) is None:
        return "a film"
    text = beginning.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if b"<svg" in text:
        return "an SVG drawing"
    return "a web page or XML" if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")) else None
