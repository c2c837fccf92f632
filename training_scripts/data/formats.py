"""The picture formats that are read, and the content types that name them in requests: the only table of both.

To accept another content type, add it to the row of its format below. To read another format, add a row, and its first
bytes to `signatures`. Training, the client, the service, the model server and the bundle's `inference.py` use this
table; `python docs/generate.py` updates the tables in the documentation.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureFormat:
    """A format of picture files that training, feature extraction and serving decode.

    Attributes:
        name: Pillow's name of the format.
        suffixes: Suffixes of its files. A file with one of them that is not a picture counts as broken.
        content_types: Its content types in requests; the client sends the first. Without any, the client converts such
            pictures before it sends them.
        variants: Pillow's names of formats that every decoder of this format can read.
        note: A remark for the documentation.
    """

    name: str
    suffixes: tuple[str, ...]
    content_types: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    note: str = ""


PICTURE_FORMATS = (
    # Pillow reports MPO for a camera's JPEG that is followed by more pictures.
    PictureFormat("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), ("image/jpeg", "image/jpg"), variants=("MPO",)),
    PictureFormat("PNG", (".png",), ("image/png",)),
    PictureFormat("WEBP", (".webp",), ("image/webp",)),
    PictureFormat("GIF", (".gif",)),
    PictureFormat("BMP", (".bmp",)),
    PictureFormat("TIFF", (".tif", ".tiff")),
    PictureFormat("PPM", (".ppm",), note="PBM, PGM and PPM"),
    # The last one: a Pillow without AVIF searches for a plugin only if no other format has matched.
    PictureFormat("AVIF", (".avif",), note="needs Pillow 11.3 or newer"),
)

# The formats that Pillow may open: each is a parser to trust.
READ_FORMATS = tuple(each.name for each in PICTURE_FORMATS)
VARIANTS = tuple(name for each in PICTURE_FORMATS for name in each.variants)
SUFFIXES = frozenset(suffix for each in PICTURE_FORMATS for suffix in each.suffixes)
# Pillow's name of a file's format -> the content type with which the client sends such a file unchanged.
SENT_AS_IS = {
    name: each.content_types[0]
    for each in PICTURE_FORMATS
    if each.content_types
    for name in (each.name, *each.variants)
}
# The content type "some picture", which older clients send.
ANY_PICTURE = "application/x-image"
# The content determines a picture's format: these names only distinguish pictures from JSON.
PICTURE_CONTENT_TYPES = frozenset({name for each in PICTURE_FORMATS for name in each.content_types} | {ANY_PICTURE})
# What clients send by default: boto3's default, and an absent header.
OCTET_STREAM = "application/octet-stream"
UNNAMED_CONTENT_TYPES = frozenset({OCTET_STREAM, ""})
JSON = "application/json"
