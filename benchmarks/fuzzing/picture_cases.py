"""Mutated pictures, disguised files and decompression bombs: what `fuzz_pictures.py` feeds to both sides."""

from __future__ import annotations

import io
import random
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from PIL import Image, ImageDraw, features

_PNG_START = b"\x89PNG\r\n\x1a\n"
_SIDES = (0, 1, 255, 9_460, 30_000, 65_535, 2**31 - 1, 2**32 - 1)


class Case(NamedTuple):
    """One input: what was done to it, and the bytes."""

    kind: str
    data: bytes


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    """A picture's file."""
    buffer = io.BytesIO()
    # Saving leaves settings behind in the image, which the next format takes for its own.
    image.copy().save(buffer, file_format, **options)
    return buffer.getvalue()


def seeds() -> dict[str, bytes]:
    """Small valid pictures, one of each kind that people hold."""
    dice = random.Random(0)
    image = Image.merge("RGB", [Image.effect_noise((72, 56), 40 + 20 * channel) for channel in range(3)])
    image = Image.blend(image, Image.linear_gradient("L").resize((72, 56)).convert("RGB"), 0.6)
    ImageDraw.Draw(image).ellipse((10, 10, 50, 44), fill=(180, 120, 60))
    gray, clear = image.convert("L"), image.convert("RGBA")
    clear.putalpha(Image.radial_gradient("L").resize(image.size))
    deep = Image.frombytes("I;16", (40, 30), dice.randbytes(2400))
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "A camera"

    def film(file_format: str) -> bytes:
        return encoded(image, file_format, save_all=True, append_images=[image.rotate(90), image.rotate(180)])

    made = {
        "jpeg": encoded(image, "JPEG"),
        "jpeg exif": encoded(image, "JPEG", exif=exif, icc_profile=dice.randbytes(500), comment=b"a dog"),
        "jpeg progressive": encoded(image, "JPEG", progressive=True, quality=60),
        "jpeg restarts": encoded(image, "JPEG", restart_marker_blocks=4, optimize=True),
        "jpeg gray": encoded(gray, "JPEG"),
        "jpeg cmyk": encoded(image.convert("CMYK"), "JPEG", quality=95, subsampling=0),
        "mpo": film("MPO"),
        "png": encoded(image, "PNG"),
        "png palette": encoded(image.quantize(32), "PNG", transparency=3),
        "png alpha": encoded(clear, "PNG", exif=exif),
        "png deep": encoded(deep, "PNG"),
        "apng": film("PNG"),
        "gif": film("GIF"),
        "webp": encoded(image, "WEBP"),
        "webp lossless": encoded(clear, "WEBP", lossless=True, exif=exif),
        "webp film": film("WEBP"),
        "bmp": encoded(image, "BMP"),
        "tiff": encoded(image, "TIFF", exif=exif),
        "tiff lzw": encoded(clear, "TIFF", compression="tiff_lzw"),
        "tiff jpeg": encoded(image, "TIFF", compression="jpeg"),
        "tiff deep": encoded(deep, "TIFF", compression="tiff_adobe_deflate"),
        "tiff pages": film("TIFF"),
        "ppm": encoded(image, "PPM"),
        "pgm plain": b"P2\n4 4\n255\n" + b" ".join(b"%d" % dice.randrange(256) for _ in range(16)),
        "ico": encoded(clear, "ICO", sizes=[(32, 32)]),
        "tga": encoded(image, "TGA", compression="tga_rle"),
        "jpeg 2000": encoded(image, "JPEG2000"),
    }
    if features.check("avif"):
        made["avif"] = encoded(image, "AVIF", exif=exif)
    return made


def cases(count: int, seed: int) -> Iterator[Case]:
    """Any number of cases; the same seed gives the same ones."""
    dice = random.Random(seed)
    pool = seeds()
    special = [*disguises(), *bombs()][: count // 12]  # the costly ones, at the end, only among thousands
    for number in range(count):
        if number < len(special):
            yield special[number]
            continue
        name = dice.choice(list(pool))
        mutate = dice.choice(_MUTATIONS)
        yield Case(f"{mutate.__name__.strip('_')}: {name}", mutate(pool[name], dice, pool))


_Pool = dict[str, bytes]


def _flipped_bits(data: bytes, dice: random.Random, pool: _Pool) -> bytes:  # noqa: ARG001 - all mutations are alike
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _damaged_header(data: bytes, dice: random.Random, pool: _Pool) -> bytes:  # noqa: ARG001
    changed = bytearray(data)
    for _ in range(dice.choice((1, 2, 4))):
        changed[dice.randrange(min(len(changed), 200))] = dice.choice((0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)))
    return bytes(changed)


def _cut_off(data: bytes, dice: random.Random, pool: _Pool) -> bytes:  # noqa: ARG001
    return data[: dice.randrange(len(data))]


def _with_a_gap(data: bytes, dice: random.Random, pool: _Pool) -> bytes:  # noqa: ARG001
    begin = dice.randrange(len(data))
    return data[:begin] + data[begin + dice.randrange(1, 200) :]


def _with_a_repeat(data: bytes, dice: random.Random, pool: _Pool) -> bytes:  # noqa: ARG001
    begin = dice.randrange(len(data))
    piece = data[begin : begin + dice.randrange(1, 400)]
    return data[:begin] + piece * dice.choice((2, 3, 50)) + data[begin + len(piece) :]


def _overwritten(data: bytes, dice: random.Random, pool: _Pool) -> bytes:  # noqa: ARG001
    begin, length = dice.randrange(len(data)), dice.randrange(1, 64)
    filler = dice.choice((bytes(length), b"\xff" * length, dice.randbytes(length)))
    return data[:begin] + filler + data[begin + length :]


def _spliced(data: bytes, dice: random.Random, pool: _Pool) -> bytes:
    other = pool[dice.choice(list(pool))]
    return data[: dice.randrange(1, len(data))] + other[dice.randrange(len(other)) :]


def _noise_after_magic(data: bytes, dice: random.Random, pool: _Pool) -> bytes:  # noqa: ARG001
    return data[: dice.choice((2, 4, 8, 12, 16, 32))] + dice.randbytes(dice.randrange(2000))


def _other_size(data: bytes, dice: random.Random, pool: _Pool) -> bytes:  # noqa: ARG001
    """Other dimensions where the header has them; checksums are made right."""
    wide, high = dice.choice(_SIDES), dice.choice((*_SIDES, 56))
    changed = bytearray(data)
    if data.startswith(_PNG_START):
        changed[16:24] = struct.pack(">II", wide, high)
        changed[29:33] = struct.pack(">I", zlib.crc32(changed[12:29]))
    elif data.startswith(b"\xff\xd8"):
        frame = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
        changed[frame + 5 : frame + 9] = struct.pack(">HH", high & 0xFFFF, wide & 0xFFFF)
    elif data.startswith((b"II", b"MM")):
        first = struct.unpack("<I", data[4:8])[0] if data.startswith(b"II") else 8
        for entry in range(first + 2, min(first + 2 + 12 * 20, len(data) - 12), 12):
            if struct.unpack("<H", data[entry : entry + 2])[0] in (256, 257, 273, 278, 279):
                changed[entry + 8 : entry + 12] = struct.pack("<I", dice.choice((wide, high)))
    else:
        places = {b"GIF8": (6, "<HH", 0xFFFF), b"BM": (18, "<II", 2**32 - 1), b"RIFF": (24, "<II", 2**32 - 1)}
        for start, (at, form, most) in places.items():
            if data.startswith(start):
                changed[at : at + struct.calcsize(form)] = struct.pack(form, min(wide, most), min(high, most))
    return bytes(changed)


_MUTATIONS: tuple[Callable[[bytes, random.Random, _Pool], bytes], ...] = (
    _flipped_bits,
    _flipped_bits,
    _damaged_header,
    _cut_off,
    _with_a_gap,
    _with_a_repeat,
    _overwritten,
    _spliced,
    _noise_after_magic,
    _other_size,
)


def disguises() -> Iterator[Case]:
    """Files that are not pictures, whatever their names suggest."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("dog.jpg", bytes(10**6))
    for name, data in {
        "zip": archive.getvalue(),
        "pdf": b"%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nendobj\n%%EOF",
        "svg": b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "ha">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
        "html": b"<!DOCTYPE html><html><body><img src='file:///etc/passwd'></body></html>",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(/etc/passwd) (r) file\nshowpage\n",
        "eps in dos": struct.pack("<IIIIIIIH", 0xC6D3D0C5, 30, 60, 0, 0, 0, 0, 0) + b"%!PS-Adobe-3.0 EPSF-3.0\n" * 4,
        "film": b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(500),
        "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500),
        "avif": b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(500),
        "jxl": b"\xff\x0a" + bytes(100),
        "text": b"dog.jpg\n",
        "pickle": b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94.",
        "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
        "wmf": b"\xd7\xcd\xc6\x9a\x00\x00" + bytes(100),
        "nothing": b"",
        "a byte": b"\xff",
        "zeros": bytes(5000),
    }.items():
        yield Case(f"disguise: {name}", data)


def bombs() -> Iterator[Case]:
    """Little files that ask for much memory or time."""
    dense = zlib.compress(bytes(200_000_000), 9)  # 200 kB
    small = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(16 * 49))
    for kind, chunk in {
        "iCCP": b"profile\0\0" + dense,
        "zTXt": b"Comment\0\0" + dense,
        "iTXt": b"Comment\0\1\0\0\0" + dense,
        "eXIf": b"MM\0*\0\0\0\x08\xff\xff" + bytes(100_000),
    }.items():
        yield Case(f"bomb: png {kind}", png((b"IHDR", small), (kind.encode(), chunk), (b"IDAT", pixels)))
    yield Case("bomb: png pixels", png((b"IHDR", small), (b"IDAT", dense)))
    yield Case("bomb: png chunks", png((b"IHDR", small), *[(b"tEXt", b"k\0v")] * 50_000, (b"IDAT", pixels)))
    control = struct.pack(">II", 2**31 - 1, 0)
    yield Case("bomb: apng frames", png((b"IHDR", small), (b"acTL", control), (b"IDAT", pixels)))
    progressive = encoded(Image.new("L", (1200, 1200), 7), "JPEG", progressive=True)
    scan = progressive[progressive.rfind(b"\xff\xda") : -2]
    yield Case("bomb: jpeg scans", progressive[:-2] + scan * 20_000 + progressive[-2:])
    yield Case("bomb: jpeg size", _jpeg_that_claims(9_459, 9_459))
    yield Case("bomb: jpeg previews", b"\xff\xd8" + b"\xff\xe1\xff\xfeExif\0\0" + bytes(65_526) + _JPEG_ENDS)
    yield Case("bomb: tiff loop", _tiff([(256, 4, 1, 16), (257, 4, 1, 16), (259, 3, 1, 1)], following=8))
    yield Case("bomb: tiff strips", _tiff([(256, 4, 1, 9_000), (257, 4, 1, 9_000), (273, 4, 2**28, 8)]))
    yield Case("bomb: tiff lzw", _tiff([(256, 4, 1, 9_400), (257, 4, 1, 9_400), (259, 3, 1, 5), (273, 4, 1, 8)]))
    screen = struct.pack("<HHBBB", 65_535, 65_535, 0, 0, 0)
    yield Case("bomb: gif screen", b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\2\x44\1\0;")
    yield Case("bomb: gif frames", b"GIF89a\1\0\1\0\0\0\0" + b"!\xf9\4\0\0\0\0\0" * 200_000)
    yield Case("bomb: webp canvas", _riff(b"VP8X", struct.pack("<I", 16) + b"\xff\xff\xff" * 2))
    yield Case("bomb: webp nested", _riff(b"ANMF", _riff(b"ANMF", _riff(b"ANMF", bytes(100)))))
    yield Case("bomb: ppm digits", b"P2\n1 1\n" + b"9" * 1_000_000)
    yield Case(
        "bomb: tga runs", struct.pack("<BBBHHBHHHHBB", 0, 0, 10, 0, 0, 0, 0, 0, 9_400, 9_400, 24, 0) + b"\xff\0" * 9
    )
    yield Case("bomb: strip", encoded(Image.new("1", (4_000_000, 1)), "PNG"))
    yield Case(
        "bomb: ico", struct.pack("<HHH", 0, 1, 65_535) + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 40, 6) * 2000
    )
    yield Case("bomb: png texts", png((b"IHDR", small), *[(b"zTXt", b"k\0\0" + zlib.compress(bytes(900_000)))] * 200))
    largest = struct.pack(">IIBBBBB", 9_459, 9_459, 1, 0, 0, 0, 0)
    yield Case("bomb: png largest", png((b"IHDR", largest), (b"IDAT", zlib.compress(bytes(9_459 * 1_184)))))
    yield Case("bomb: tiff tags", b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 270, 2, 2**31, 8) * 65_535)
    yield Case("bomb: plain ppm", b"P3\n9000 9000\n255\n" + b"1 " * 1_000_000)


_JPEG_ENDS = encoded(Image.new("L", (16, 16)), "JPEG")[2:]


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks, with right checksums, and its end."""
    return _PNG_START + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in (*chunks, (b"IEND", b""))
    )


def _jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encoded(Image.new("RGB", (16, 16)), "JPEG"))
    frame = data.find(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _tiff(entries: list[tuple[int, int, int, int]], *, following: int = 0) -> bytes:
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", following)


def _riff(name: bytes, content: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", len(content) + 12) + b"WEBP" + name + struct.pack("<I", len(content)) + content
