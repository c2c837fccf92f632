"""The picture formats that are read, and the content types that name them in requests: the only table of both.

To accept a further content type, add it to the row of its format below, or add a row. Training, the client, the
service, the model server and the bundle's `inference.py` read this table; `python docs/generate.py` updates the tables
in the documentation. A format that is new here also needs its first bytes in `signatures`, which find it in data sets.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PictureFormat:
    """A format of picture files that training, feature extraction and serving decode.

    Attributes:
        name: Pillow's name of the format.
        content_types: The names that a request may give it; the client sends the first. Without any, the client
            converts such a picture before it sends it.
        variants: Other names under which Pillow opens files that every decoder of this format reads, too.
        note: What a reader of the documentation should know of it.
    """

    name: str
    content_types: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    note: str = ""


PICTURE_FORMATS = (
    # Pillow says MPO of a camera's JPEG that has more pictures behind the first.
    PictureFormat("JPEG", ("image/jpeg", "image/jpg"), variants=("MPO",)),
    PictureFormat("PNG", ("image/png",)),
    PictureFormat("WEBP", ("image/webp",)),
    PictureFormat("GIF"),
    PictureFormat("BMP"),
    PictureFormat("TIFF"),
    PictureFormat("PPM", note="PBM, PGM and PPM"),
    # Last, so that a Pillow without it looks for it only when nothing else has matched.
    PictureFormat("AVIF", note="needs Pillow 11.3 or newer"),
)

# What Pillow is allowed to open: each format is a parser to trust.
READ_FORMATS = tuple(each.name for each in PICTURE_FORMATS)
# Pillow's name of a file's format -> the content type under which the client sends such a file byte for byte.
SENT_AS_IS = {
    name: each.content_types[0]
    for each in PICTURE_FORMATS
    if each.content_types
    for name in (each.name, *each.variants)
}
# The name for "some picture" that deployed clients of the first endpoints send.
ANY_PICTURE = "application/x-image"
# A picture's bytes decide what it is: these names only distinguish pictures from JSON.
PICTURE_CONTENT_TYPES = frozenset({name for each in PICTURE_FORMATS for name in each.content_types} | {ANY_PICTURE})
# What clients send that have no better name: boto3's default, and an absent header.
OCTET_STREAM = "application/octet-stream"
UNNAMED_CONTENT_TYPES = frozenset({OCTET_STREAM, ""})
JSON = "application/json"
