"""The limits of a picture and of a request that carries one: bytes, pixels, sides, scans. Each with its reason.

Training, the client, the service, local SageMaker, the model server and the bundle's `inference.py` take them from
here; `python docs/generate.py` updates the tables in the documentation.
"""

from __future__ import annotations

from typing import Final

# Bytes

# SageMaker's quotas (developer guide, "Deploy models for inference"). The client shrinks a larger picture.
MAX_REALTIME_REQUEST_BYTES: Final = 25 * 1024 * 1024
MAX_SERVERLESS_REQUEST_BYTES: Final = 4 * 1024 * 1024
MAX_RESPONSE_BYTES: Final = 25 * 1024 * 1024
# The client reads a whole file into memory; a larger file is not a photograph.
MAX_FILE_BYTES: Final = 512_000_000
# The client shrinks what it downloads, so a download may be larger than a request; an endpoint does not shrink it.
MAX_DOWNLOAD_BYTES: Final = 100_000_000
MAX_ENDPOINT_FETCH_BYTES: Final = 25_000_000
# Presigned URLs with a session token take about 2,000 characters.
MAX_URL_LENGTH: Final = 16_384

# Pixels

# Pillow's threshold between a large photograph and a decompression bomb: 256 MiB of RGB pixels.
MAX_PIXELS: Final = 89_478_485
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as its shorter side stays above this, which is more than any
# backbone needs (torchvision's largest resize is 600). Decoding a large photograph then takes a quarter of the time.
JPEG_DRAFT_SIDE: Final = 700
# The longest side that libjpeg writes.
MAX_ENCODED_JPEG_SIDE: Final = 65_500
# If the ratio of the sides exceeds this, the ends are cut off before resizing.
MAX_ASPECT_RATIO: Final = 8
# Each scan of a progressive JPEG costs a pass over all its pixels (30 ms at MAX_PIXELS) for a hundred bytes or fewer
# (LJT-01-005 of libjpeg-turbo's audit). Encoders write about ten; unlimited, a 25 MB file keeps a decoder busy for
# hours.
MAX_JPEG_SCANS: Final = 100

# A preprocessed tensor: the sides for which backbones are defined, and the memory for one request.
MIN_TENSOR_SIDE: Final = 32
MAX_TENSOR_SIDE: Final = 2048
