"""Pictures: content types, formats and limits."""

from __future__ import annotations

from _generate.frame import markdown, table
from training_scripts.data import arrays, formats, limits


@table("content-types")
def content_types() -> str:
    """What the body of a request to an endpoint may be."""
    pictures = ", ".join(f"`{each.content_types[0]}`" for each in formats.PICTURE_FORMATS if each.content_types)
    tensor = (
        'a preprocessed tensor `[3, h, w]` or `[n, 3, h, w]`, or `{"url": ...}` if the endpoint allows it; a '
        "tensor whose values cannot come from the model's preprocessing, such as pixels from 0 to 255, is refused"
    )
    pixels = "the same tensor in NumPy's format, or a picture's pixels `[h, w, 3]` as `uint8`"
    return markdown(
        ["`Content-Type`", "Body"],
        [
            [f"{pictures}, `{formats.ANY_PICTURE}`", "a picture; its bytes decide its format, not its content type"],
            [f"`{formats.JSON}`", tensor],
            [f"`{arrays.NPY}` (the v2 SDK's `PyTorchPredictor`)", pixels],
            [f"`{formats.OCTET_STREAM}` (boto3's default), or none", "any of them, as its bytes say"],
        ],
    )


@table("picture-formats")
def picture_formats() -> str:
    """Which picture files are read, and how the client sends them."""
    rows = []
    for each in formats.PICTURE_FORMATS:
        sent = f"byte for byte, as `{each.content_types[0]}`" if each.content_types else "converted to PNG or JPEG"
        rows.append(["/".join((each.name, *each.variants)), sent, each.note])
    return markdown(["Format", "Sent by the client", "Note"], rows)


@table("picture-limits")
def picture_limits() -> str:
    """The limits of a picture, and what becomes of one that is beyond them."""
    realtime, serverless = limits.MAX_REALTIME_REQUEST_BYTES, limits.MAX_SERVERLESS_REQUEST_BYTES
    pixels = f"{limits.MAX_PIXELS // 10**6} megapixels"
    return markdown(
        ["Limit", "Value", "Beyond it"],
        [
            ["request to a real-time endpoint", _mebibytes(realtime), "the client shrinks it"],
            ["request to a serverless endpoint", _mebibytes(serverless), "the client shrinks it"],
            ["file that the client reads", _megabytes(limits.MAX_FILE_BYTES), "refused"],
            ["picture that the client downloads", _megabytes(limits.MAX_DOWNLOAD_BYTES), "refused"],
            ["picture that an endpoint downloads", _megabytes(limits.MAX_ENDPOINT_FETCH_BYTES), "refused"],
            ["URL of a picture", f"{limits.MAX_URL_LENGTH:,} characters", "refused"],
            ["width x height", pixels, "refused"],
            ["ratio of the sides", f"{limits.MAX_ASPECT_RATIO}:1", "the far ends are cut off"],
            ["scans of a progressive JPEG", limits.MAX_JPEG_SCANS, "refused"],
            ["side of a preprocessed tensor", f"{limits.MIN_TENSOR_SIDE} to {limits.MAX_TENSOR_SIDE}", "refused"],
        ],
    )


def _mebibytes(size: int) -> str:
    return f"{size // 2**20} MiB"


def _megabytes(size: int) -> str:
    return f"{size // 10**6} MB"
