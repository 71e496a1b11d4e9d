"""What the metadata of a finished picture says, and what of the photo it no longer says."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import ExifTags, Image

from dragface_lib.__main__ import main
from dragface_lib.errors import DragFaceError
from dragface_lib.images import encode_photo, format_of, open_photo
from dragface_lib.showcase import provenance

DESCRIPTION, SOFTWARE = ExifTags.Base.ImageDescription, ExifTags.Base.Software
SOURCE_TYPE = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


def told(data):
    """Description, software, XMP description and DigitalSourceType of a picture's file."""
    picture = Image.open(io.BytesIO(data))
    picture.load()
    if picture.format == "PNG":
        described, xmp = (picture.text["Description"], picture.text["Software"]), picture.text["XML:com.adobe.xmp"]
    else:
        exif, xmp = picture.getexif(), picture.info["xmp"].decode()
        assert set(exif) == {DESCRIPTION, SOFTWARE}  # no place, no camera, no time
        described = exif[DESCRIPTION], exif[SOFTWARE]
    tree = ElementTree.fromstring(xmp.split("?>", 1)[1].rsplit("<?", 1)[0])
    sources = [value for element in tree.iter() for name, value in element.attrib.items() if name == SOURCE_TYPE]
    return (*described, "".join(tree.itertext()).strip(), *sources)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_picture_says_that_it_is_no_photograph_and_keeps_its_pixels(astronaut, format):
    data = provenance.encode(astronaut, format, "classic")
    said = "Made with DragFace, look classic: not a photograph."
    assert told(data) == (said, "DragFace", said, COMPOSITE)
    plain = encode_photo(astronaut, format, provenance.QUALITY)
    assert np.array_equal(open_photo(data), open_photo(plain))
    assert len(data) - len(plain) < 2000


def test_a_look_of_any_text_is_told_in_one_line(astronaut):
    look = "Ünïcode <&\"' 東京\n\0" + "x" * 300
    for format in ("JPEG", "PNG", "WEBP"):
        *_, said, source = told(provenance.encode(astronaut[:9, :9], format, look))
        assert source == COMPOSITE
        assert "look Ünïcode <&\"' 東京 xxx" in said
        assert len(said) < 160
    assert provenance.sentence("  ") == provenance.sentence("drag")


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_phones_photo_loses_place_and_camera(portraits, generator, tmp_path, suffix):
    photo = Image.open(portraits["astronaut"])
    exif = photo.getexif()
    exif[ExifTags.Base.Make] = "SecretPhone"
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude] = (52.0, 31.0, 12.0)
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSDateStamp] = "2026:01:02"
    photo.save(tmp_path / f"phone{suffix}", exif=exif, quality=90)
    assert b"SecretPhone" in (tmp_path / f"phone{suffix}").read_bytes()
    assert main(["transform", str(tmp_path / f"phone{suffix}"), "-o", str(tmp_path / f"drag{suffix}")]) == 0
    data = (tmp_path / f"drag{suffix}").read_bytes()
    assert b"SecretPhone" not in data
    assert b"2026:01:02" not in data
    assert told(data)[0] == "Made with DragFace, look classic: not a photograph."  # the starter's look


def test_a_file_of_another_kind_is_refused(astronaut, tmp_path):
    with pytest.raises(DragFaceError, match=r"drag\.gif"):
        format_of(tmp_path / "drag.gif")
    with pytest.raises(DragFaceError, match="cannot be saved as JPEG"):
        provenance.encode(np.zeros((1, 70_000, 3), np.uint8), "JPEG", "classic")
