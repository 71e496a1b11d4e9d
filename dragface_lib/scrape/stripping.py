"""Photos are stored without what cameras and people wrote into them: place, time, names, previews.

    stored = without_metadata(data, open_photo(data))

A JPEG loses its EXIF, XMP, IPTC and comments and keeps its pixels bit for bit; colour profiles stay. Other formats are
encoded again.
"""

from __future__ import annotations

import re
from contextlib import suppress
from io import BytesIO

import numpy as np
from PIL import Image

from ..errors import DragFaceError
from ..images import encode_photo

SIGNS = {  # what a file begins with; nothing else is stored
    "JPEG": re.compile(rb"\xff\xd8\xff"),
    "PNG": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "WebP": re.compile(rb"RIFF....WEBP", re.DOTALL),
    "AVIF": re.compile(rb"....ftypavi[fs]", re.DOTALL),
    "HEIC": re.compile(rb"....ftyp(hei[cxms]|hev[cx]|mif1|msf1)", re.DOTALL),
}
ORIENTATION = 0x0112
QUALITY = 95  # of photos that have to be encoded again


def check_format(name: str, data: bytes) -> str:
    """Which of SIGNS the bytes are; raises DragFaceError, naming the photo, for anything else."""
    for format, sign in SIGNS.items():
        if sign.match(data):
            return format
    if not data:
        raise DragFaceError(f"{name} is empty (0 bytes): fetch it again.")
    if data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
        raise DragFaceError(f"{name} is a web page, not a picture: look for the picture's own address there.")
    raise DragFaceError(f"{name} is not a picture in one of the formats that are stored: {', '.join(SIGNS)}.")


def without_metadata(data: bytes, rgb: np.ndarray) -> bytes:
    """The photo's file without metadata. rgb: the photo as `open_photo` gave it, upright.

    A JPEG that lies on its side is encoded again, like other formats: a PNG as PNG, all else as JPEG.
    """
    if SIGNS["JPEG"].match(data) and not _lies_on_its_side(data):
        with suppress(IndexError, ValueError):  # it opens, but not by the rules
            return _plain_jpeg(data)
    return encode_photo(rgb, "PNG" if SIGNS["PNG"].match(data) else "JPEG", QUALITY)


def _lies_on_its_side(data: bytes) -> bool:
    try:
        with Image.open(BytesIO(data), formats=("JPEG", "MPO")) as picture:
            return picture.getexif().get(ORIENTATION, 1) != 1
    except Exception:  # EXIF that cannot be read says nothing
        return False


def _plain_jpeg(data: bytes) -> bytes:
    """The segments that the pixels need: not APP1 and the like, no comments, nothing behind the end.

    Raises ValueError or IndexError when the file is not made of segments to its end.
    """
    kept, position = data[:2], 2
    while True:
        if data[position] != 0xFF:
            raise ValueError("no marker")
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
        marker = data[position + 1]
        if marker == 0xD9:
            return kept + data[position : position + 2]
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xDA:  # the pixels, up to the next marker that is no part of them
            after = re.compile(rb"\xff[^\x00\xd0-\xd7]").search(data, end)
            if after is None:
                raise ValueError("no end")
            end = after.start()
        segment = data[position:end]
        needed = segment[4:].startswith(b"ICC_PROFILE\0") or segment[4:9] in (b"JFIF\0", b"Adobe") and len(segment) < 20
        if needed or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept += segment
        position = end
