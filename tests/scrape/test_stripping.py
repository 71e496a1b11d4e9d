"""What is stored shows the photo and tells nothing else about whoever took it."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from dragface_lib.images import UnreadablePhoto, open_photo
from dragface_lib.scrape.download import without_metadata

SECRET = b"52.5200N by Anna"


@pytest.fixture(scope="module")
def picture(portraits) -> Image.Image:
    with Image.open(portraits["astronaut"]) as opened:
        return opened.convert("RGB").resize((96, 64))


def exif(orientation: int = 1) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    tags[0x013B] = SECRET.decode()  # Artist
    tags.get_ifd(0x8825)[0x001D] = SECRET.decode()  # GPSDateStamp
    return tags


def saved(picture: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def strip(data: bytes) -> bytes:
    return without_metadata(data, open_photo(data))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}, {"restart_marker_blocks": 2}])
def test_a_jpeg_loses_exif_xmp_comments_and_what_hangs_behind_it_but_no_bit_of_its_pixels(picture, options):
    clean = saved(picture, "JPEG", **options)
    data = saved(picture, "JPEG", exif=exif(), comment=SECRET, xmp=b"<x>" + SECRET, **options)
    iptc = b"\xff\xed" + (2 + len(SECRET)).to_bytes(2, "big") + SECRET
    data = data[:2] + iptc + data[2:] + b"behind the end: " + clean + SECRET
    stored = strip(data)
    assert data.count(SECRET) >= 5
    assert SECRET not in stored
    assert stored == strip(stored) == clean
    assert np.array_equal(open_photo(stored), open_photo(data))


def test_a_jpeg_without_metadata_stays_byte_for_byte_and_a_colour_profile_stays(picture, portraits):
    data = portraits["astronaut"].read_bytes()
    assert strip(data) == data
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    stored = strip(saved(picture, "JPEG", icc_profile=profile, exif=exif()))
    assert Image.open(io.BytesIO(stored)).info["icc_profile"] == profile
    assert SECRET not in stored


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_that_lies_on_its_side_is_stored_upright(picture, orientation):
    data = saved(picture, "JPEG", exif=exif(orientation), quality=95)
    stored = strip(data)
    assert SECRET not in stored
    found = open_photo(stored).astype(int)
    assert found.shape == open_photo(data).shape
    assert np.abs(found - open_photo(data)).mean() < 3
    assert ImageOps.exif_transpose(Image.open(io.BytesIO(stored))).size == found.shape[1::-1]


def test_png_webp_and_avif_lose_their_metadata(picture):
    told = PngImagePlugin.PngInfo()
    told.add_text("Author", SECRET.decode())
    png = saved(picture, "PNG", pnginfo=told, exif=exif())
    assert SECRET not in (stored := strip(png))
    assert np.array_equal(open_photo(stored), np.asarray(picture))
    for data in (saved(picture, "WEBP", exif=exif(), lossless=True), saved(picture, "AVIF", exif=exif())):
        assert SECRET in data
        assert SECRET not in (stored := strip(data))
        assert np.abs(open_photo(stored).astype(int) - open_photo(data)).mean() < 3


@pytest.mark.parametrize(
    ("marker", "name"),
    [(0xE0, b"JFIF\0" + bytes(20)), (0xE0, b"JFXX\0"), (0xEE, b"Adobe" + bytes(20)), (0xE2, b"ICC_PROFILE\0\1\1")]
    + [(0xE2, b"ICC_PROFILE\0\1\1\0\0\0\x40" + bytes(32) + b"acsp"), (0xED, b"Adobe_CM")],
)
def test_a_jpeg_segment_that_is_not_what_it_claims_is_left_out(picture, marker, name):
    content = name + SECRET
    data = saved(picture, "JPEG")
    longer = data[:2] + bytes([0xFF, marker]) + (2 + len(content)).to_bytes(2, "big") + content + data[2:]
    assert strip(longer) == data


def test_chunks_of_png_and_webp_that_nobody_knows_are_left_out(picture):
    png = saved(picture, "PNG")
    private = struct.pack(">I", len(SECRET)) + b"prVt" + SECRET
    end = png.index(b"IEND") - 4
    png = png[:end] + private + struct.pack(">I", zlib.crc32(private[4:])) + png[end:]
    webp = saved(picture, "WEBP", lossless=True)
    unknown = b"prVt" + struct.pack("<I", len(SECRET)) + SECRET
    webp = webp[:4] + struct.pack("<I", len(webp) - 8 + len(unknown)) + webp[8:] + unknown
    for data, allowed in ((png, 0), (webp, 3)):
        assert np.array_equal(open_photo(data), np.asarray(picture))
        assert SECRET not in (stored := strip(data))
        assert np.abs(open_photo(stored).astype(int) - np.asarray(picture)).mean() <= allowed


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_what_hangs_behind_a_picture_is_left_out(picture, format):
    assert SECRET not in strip(saved(picture, format) + SECRET)


def test_a_jpeg_against_the_rules_is_encoded_again(picture):
    data = saved(picture, "JPEG", exif=exif())
    broken = data[:2] + b"\x00\x00" + data[2:]
    assert SECRET not in without_metadata(b"\xff\xd8\xff" + broken[3:], np.asarray(picture))


@pytest.mark.parametrize(
    ("data", "part"), [(b"%!PS-Adobe", "not a picture"), (b"\n <!DOCTYPE html>", "a web page"), (b"", "is empty")]
)
def test_what_is_no_photo_is_named(data, part):
    with pytest.raises(UnreadablePhoto, match=part):
        open_photo(data)
