"""Photos are stored without what cameras and people wrote into them: place, time, names, previews.

    stored = without_metadata(data, open_photo(data))

A JPEG keeps its pixels bit for bit and its colour profile. Other formats are encoded again.
"""

from __future__ import annotations

import re
from contextlib import suppress

import numpy as np

from ..images import UnreadablePhoto, encode_photo, open_photo

QUALITY = 95  # of photos that have to be encoded again
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # the first marker that is no part of a JPEG's pixels


def without_metadata(data: bytes, rgb: np.ndarray) -> bytes:
    """The photo's file without metadata. rgb: the photo as `open_photo` gave it, upright.

    A JPEG that would show something else without its metadata, as it lies on its side, is encoded again like other
    formats: a PNG as PNG, all else as JPEG.
    """
    with suppress(UnreadablePhoto, ValueError, IndexError):
        stripped = _pixels_of_jpeg(data)
        if np.array_equal(open_photo(stripped), rgb):
            return stripped
    return encode_photo(rgb, "PNG" if data.startswith(b"\x89PNG") else "JPEG", QUALITY)


def _pixels_of_jpeg(data: bytes) -> bytes:
    """The segments of a JPEG that its pixels need. Raises ValueError or IndexError for any other file."""
    kept, start = data[:2], 2
    while data[start : start + 2] != b"\xff\xd9":
        if kept[:2] != b"\xff\xd8" or data[start] != 0xFF:
            raise ValueError("not a JPEG")
        marker, end = data[start + 1], start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if marker == 0xDA:  # pixels follow
            scan_end = SCAN_END.search(data, end)
            end = scan_end.start() if scan_end else len(data)
        name = data[start + 4 : end]
        needed = name.startswith(b"ICC_PROFILE\0") or name[:5] in (b"JFIF\0", b"Adobe") and len(name) < 16
        if needed or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            kept += data[start:end]
        start = end
    return kept + b"\xff\xd9"
