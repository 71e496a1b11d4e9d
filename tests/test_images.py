"""Any picture that a phone or a browser saves opens as upright RGB; everything else is a clear sentence."""

from __future__ import annotations

import io
import os
import struct
import sys
import zipfile
import zlib
from contextlib import suppress
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile
from PIL.PngImagePlugin import PngInfo

from dragface_lib.archives import members
from dragface_lib.errors import DragFaceError
from dragface_lib.images import (
    UnreadablePhoto,
    contact_sheet,
    encode_photo,
    find_photos,
    open_photo,
    photos_among,
    resize,
    save_photo,
)


@pytest.fixture(scope="module")
def astronaut(portraits) -> Image.Image:
    return Image.open(portraits["astronaut"]).convert("RGB")


def difference(found: np.ndarray, wanted: Image.Image) -> float:
    """Mean absolute difference in grey levels, 0..255."""
    wanted = np.asarray(wanted.convert("RGB"))
    assert found.shape == wanted.shape
    assert found.dtype == np.uint8
    return float(np.abs(found.astype(int) - wanted).mean())


def test_a_plain_photo_opens_from_a_path_bytes_and_a_file(portraits, astronaut):
    path = portraits["astronaut"]
    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), file):
            assert difference(open_photo(source), astronaut) < 0.5


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_upright_by_its_exif_orientation(orientation, astronaut, tmp_path):
    astronaut = astronaut.crop((100, 0, 400, 200))
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    lying = astronaut.transpose(undo[orientation]) if orientation in undo else astronaut
    lying.save(tmp_path / "turned.png", exif=exif)
    assert difference(open_photo(tmp_path / "turned.png"), astronaut) == 0


@pytest.mark.parametrize(
    ("mode", "suffix", "tolerance"),
    [
        ("P", "png", 16),
        ("P", "gif", 16),
        ("CMYK", "jpg", 3),
        ("CMYK", "tif", 1),
        ("RGBA", "png", 0),
        ("RGB", "webp", 4),
    ],
)
def test_palette_cmyk_and_transparent_pictures_keep_their_colours(mode, suffix, tolerance, astronaut, tmp_path):
    astronaut.convert(mode).save(tmp_path / f"a.{suffix}")
    assert difference(open_photo(tmp_path / f"a.{suffix}"), astronaut) <= tolerance


def icc_profile(gamma: float, grey: bool = False) -> bytes:
    """A profile that calls itself sRGB and has its primaries, but values are light ** (1 / gamma)."""

    def xyz(*values: float) -> bytes:
        return b"XYZ " + struct.pack(">4x3i", *(round(value * 65536) for value in values))

    curve = b"curv" + struct.pack(">4xIH2x", 1, round(gamma * 256))
    tags = {b"desc": b"desc" + struct.pack(">4xI5s78x", 5, b"sRGB\0"), b"wtpt": xyz(0.9642, 1, 0.8249)}
    if grey:
        tags[b"kTRC"] = curve
    else:
        tags |= {b"rXYZ": xyz(0.4361, 0.2225, 0.0139), b"gXYZ": xyz(0.3851, 0.7169, 0.0971)}
        tags |= {b"bXYZ": xyz(0.1431, 0.0606, 0.7141), b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, content, start = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name + struct.pack(">II", start + len(content), len(data))
        content += data
    head = struct.pack(">I4xI4s4s4s", start + len(content), 0x02100000, b"mntr", b"GRAY" if grey else b"RGB ", b"XYZ ")
    head = head.ljust(36, b"\0") + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head.ljust(128, b"\0") + table + content


def encoded(picture: Image.Image, format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    picture.save(file, format, **options)
    return file.getvalue()


def with_chunks(png: bytes, **chunks: bytes) -> bytes:
    """A PNG with chunks after its first."""
    added = (
        struct.pack(">I", len(d)) + k.encode() + d + struct.pack(">I", zlib.crc32(k.encode() + d))
        for k, d in chunks.items()
    )
    return png[:33] + b"".join(added) + png[33:]


def with_gamma(picture: Image.Image, gamma: float) -> Image.Image:
    """What a picture's light is when its values are stored as light ** (1 / gamma)."""
    values = np.asarray(picture) / 255
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return Image.fromarray((255 * light ** (1 / gamma)).round().astype(np.uint8))


COLOURS = {  # of a picture: how it is stored, and the largest mean difference to what it shows
    "linear light called sRGB": (lambda p: encoded(with_gamma(p, 1), icc_profile=icc_profile(1)), 2),
    "gamma 1.8 with alpha": (
        lambda p: encoded(with_gamma(p, 1.8).convert("RGBA"), icc_profile=icc_profile(1.8)),
        1,
    ),
    "a JPEG": (lambda p: encoded(with_gamma(p, 1.8), "JPEG", quality=97, icc_profile=icc_profile(1.8)), 3),
    "a WebP": (lambda p: encoded(with_gamma(p, 1.8), "WEBP", lossless=True, icc_profile=icc_profile(1.8)), 1),
    "a TIFF": (lambda p: encoded(with_gamma(p, 1.8), "TIFF", icc_profile=icc_profile(1.8)), 1),
    "a palette": (lambda p: encoded(with_gamma(p, 1.8).quantize(256), icc_profile=icc_profile(1.8)), 9),
    "a broken profile": (lambda p: encoded(p, icc_profile=icc_profile(1)[:150]), 0),
    "no profile at all": (lambda p: encoded(p, icc_profile=b"no profile" * 20), 0),
    "grey's profile on colours": (lambda p: encoded(p, icc_profile=icc_profile(1, grey=True)), 0),
    "the gamma of linear light": (lambda p: with_chunks(encoded(with_gamma(p, 1)), gAMA=struct.pack(">I", 100_000)), 2),
    "the gamma of old Macs": (lambda p: with_chunks(encoded(with_gamma(p, 1.8)), gAMA=struct.pack(">I", 55_556)), 1),
    "the usual gamma": (lambda p: with_chunks(encoded(p), gAMA=struct.pack(">I", 45_455)), 0),
    "a gamma beside sRGB": (lambda p: with_chunks(encoded(p), gAMA=struct.pack(">I", 100_000), sRGB=b"\0"), 0),
    "no gamma": (lambda p: with_chunks(encoded(p), gAMA=bytes(4)), 0),
}


@pytest.mark.parametrize("stored", COLOURS)
def test_colours_are_those_that_profile_and_gamma_mean(stored, astronaut):
    store, tolerance = COLOURS[stored]
    assert difference(open_photo(store(astronaut)), astronaut) <= tolerance


def test_a_profile_with_other_primaries_counts():
    """A profile whose primaries are sRGB's in another order: red comes out as green if it is heeded."""
    profile = icc_profile(2.2).replace(b"rXYZ", b"tmpX", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"tmpX", b"gXYZ", 1)
    for mode in ("RGB", "RGBA"):
        data = encoded(Image.new(mode, (8, 8), "red"), icc_profile=profile)
        assert np.abs(open_photo(data)[0, 0].astype(int) - [0, 255, 0]).max() <= 2


GREYS = {  # how a grey picture `g` of gamma 1.8 is stored
    "grey": lambda g: g,
    "grey with alpha": lambda g: g.convert("LA"),
    "a palette of greys": lambda g: g.convert("P"),
    "16 bits": lambda g: Image.fromarray(np.asarray(g).astype(np.uint16) * 257),
}


@pytest.mark.parametrize("stored", GREYS)
@pytest.mark.parametrize("grey", [True, False], ids=["grey profile", "colour profile"])
def test_greys_are_those_that_the_profile_means(stored, grey, astronaut):
    bare = astronaut.convert("L")
    data = encoded(GREYS[stored](with_gamma(bare, 1.8)), icc_profile=icc_profile(1.8, grey))
    assert difference(open_photo(data), bare) <= 1


DEEP = {  # type of the values, and what white is
    "floats to 1": (np.float32, 1),
    "floats to 255": (np.float32, 255),
    "floats to 65535": (np.float32, 65535),
    "32 bits, 8 used": (np.int32, 255),
    "32 bits, 16 used": (np.int32, 65535),
    "32 bits": (np.uint32, 2**32 - 1),
    "16 bits": (np.uint16, 65535),
}


@pytest.mark.parametrize("values", DEEP)
def test_grey_of_more_than_8_bits_keeps_its_brightness(values, astronaut):
    grey = astronaut.convert("L")
    kind, white = DEEP[values]
    deep = (np.asarray(grey) / 255 * white).astype(kind)
    deep = deep.view(np.int32) if kind is np.uint32 else deep
    assert difference(open_photo(encoded(Image.fromarray(deep), "TIFF")), grey) < 1


def test_floats_beyond_white_are_white_and_what_is_no_number_is_black():
    values = np.array([[0, 1, 2, -1, np.nan, np.inf]], np.float32)
    assert open_photo(encoded(Image.fromarray(values), "TIFF"))[0, :, 0].tolist() == [0, 255, 255, 0, 0, 0]


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_without_exif_the_orientation_of_xmp_counts(format, astronaut):
    upright = astronaut.crop((100, 0, 400, 200))
    text = PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    options = {"PNG": {"pnginfo": text}, "TIFF": {"tiffinfo": {700: XMP}}}.get(format, {"xmp": XMP})
    assert difference(open_photo(encoded(upright.rotate(90, expand=True), format, **options)), upright) < 6


@pytest.mark.parametrize("kind", ["text", "xmp", "profile"])
def test_a_png_with_much_text_or_a_large_profile_opens(kind, astronaut):
    text, options = PngInfo(), {}
    if kind == "profile":
        options = {"icc_profile": icc_profile(2.2) + bytes(3_000_000)}
    elif kind == "text":
        text.add_text("Comment", "a" * 3_000_000, zip=True)
    else:
        text.add_itxt("XML:com.adobe.xmp", XMP.decode() + " " * 3_000_000, zip=True)
    small = astronaut.crop((0, 0, 90, 60))
    shown = open_photo(encoded(small, pnginfo=text, **options))
    assert shown.shape == ((90, 60, 3) if kind == "xmp" else (60, 90, 3))


def test_texts_of_a_png_have_an_upper_limit():
    bomb = with_chunks(encoded(Image.new("L", (8, 8))), zTXt=b"a\0\0" + zlib.compress(bytes(70_000_000), 1))
    with pytest.raises(UnreadablePhoto, match="damaged"):
        open_photo(bomb)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}], ids=str)
def test_a_jpeg_that_lacks_only_its_end_marker_opens(options, astronaut):
    whole = encoded(astronaut, "JPEG", quality=90, **options)
    for missing in (1, 2):
        assert np.array_equal(open_photo(whole[:-missing]), open_photo(whole))
    for missing in (5, 50, 500, len(whole) // 2):
        with pytest.raises(UnreadablePhoto, match="cut short"):
            open_photo(whole[:-missing])


@pytest.mark.filterwarnings("ignore")  # Pillow's
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_a_damaged_picture_opens_or_is_a_sentence(format, astronaut):
    rng = np.random.default_rng(0)
    whole = encoded(astronaut.resize((48, 32)), format)
    for _ in range(100):
        damaged = bytearray(whole)
        for place in (rng.integers(len(whole)), rng.integers(min(64, len(whole)))):
            damaged[place : place + rng.integers(8)] = rng.bytes(rng.integers(8))
        with suppress(UnreadablePhoto):
            assert open_photo(bytes(damaged)).shape[2:] == (3,)


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_a_heic_photo_opens_with_a_decoder_and_names_it_without(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    with pytest.raises(UnreadablePhoto, match="HEIC.*pip install pillow-heif"):
        open_photo(HEIC)

    class Decoder(ImageFile.ImageFile):
        format = "HEIF"

        def _open(self):
            self._mode, self._size = "RGB", (4, 3)

        def load(self):
            self.im = Image.new("RGB", (4, 3), "red").im

    monkeypatch.setattr(Image, "ID", [*Image.ID, "HEIF"])
    decoder = SimpleNamespace(
        register_heif_opener=lambda: monkeypatch.setitem(
            Image.OPEN, "HEIF", (Decoder, lambda start: start[4:12] == b"ftypheic")
        )
    )
    monkeypatch.setitem(sys.modules, "pillow_heif", decoder)
    assert (open_photo(HEIC) == (255, 0, 0)).all()


def test_a_dark_16_bit_picture_stays_dark(tmp_path):
    Image.fromarray(np.full((20, 20), 2570, np.uint16)).save(tmp_path / "dark.png")
    assert set(np.unique(open_photo(tmp_path / "dark.png"))) == {10}


def test_of_an_animation_the_first_frame_is_taken(astronaut, tmp_path):
    astronaut.save(tmp_path / "a.webp", save_all=True, append_images=[Image.new("RGB", astronaut.size, "red")] * 2)
    assert difference(open_photo(tmp_path / "a.webp"), astronaut) < 6


def test_transparency_is_laid_over_white(tmp_path):
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert open_photo(tmp_path / "clear.png").min() == 255


BAD = {
    "text.jpg": "is not a picture",
    "empty.jpg": "is empty",
    "cut.jpg": "is damaged or cut short",
    "head.jpg": "is not a picture",
    "folder.jpg": "is a folder",
    "large.png": "100 megapixels allowed",
    "bomb.png": "100 megapixels allowed",
    "missing.jpg": "does not exist",
    "pipe.jpg": "is not a file",
}


@pytest.fixture(scope="module")
def bad_files(portraits, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    photo = portraits["astronaut"].read_bytes()
    (folder / "text.jpg").write_text("This is not a picture.")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "cut.jpg").write_bytes(photo[: len(photo) // 2])
    (folder / "head.jpg").write_bytes(photo[:3])
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    Image.new("1", (10_001, 10_000)).save(folder / "large.png")
    Image.new("1", (20_000, 20_000)).save(folder / "bomb.png")
    return folder


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_opened_is_one_sentence_that_names_the_file(name, bad_files):
    with pytest.raises(UnreadablePhoto) as caught:
        open_photo(bad_files / name)
    text = str(caught.value)
    assert text.startswith(str(bad_files / name))
    assert BAD[name] in text
    assert "\n" not in text


def test_a_photo_of_fifty_megapixels_still_opens():
    photo = io.BytesIO()
    Image.new("1", (8_192, 6_144)).save(photo, "PNG")
    assert open_photo(photo.getvalue()).shape == (6_144, 8_192, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_a_saved_photo_opens_again(suffix, astronaut, tmp_path):
    save_photo(tmp_path / f"a{suffix}", np.asarray(astronaut))
    with Image.open(tmp_path / f"a{suffix}") as picture:
        assert picture.format == {".jpg": "JPEG", ".png": "PNG", ".webp": "WEBP"}[suffix]
    assert difference(open_photo(tmp_path / f"a{suffix}"), astronaut) < 4


def test_an_unknown_suffix_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(DragFaceError, match=r"\.jpg, \.png or \.webp"):
        save_photo(tmp_path / "a.txt", np.zeros((4, 4, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_encoded_photos_carry_no_metadata(astronaut):
    assert not Image.open(io.BytesIO(encode_photo(np.asarray(astronaut)))).getexif()


def test_photos_are_found_in_subfolders_sorted_and_hidden_files_left_out(tmp_path):
    for name in ("b.JPG", "sub/a.png", ".hidden.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_photos(tmp_path) == [tmp_path / "b.JPG", tmp_path / "sub" / "a.png"]
    with pytest.raises(DragFaceError, match="is not a folder"):
        find_photos(tmp_path / "nowhere")


def test_what_is_no_photo_is_counted_and_named(tmp_path, capsys):
    photos = [f"a{suffix}" for suffix in (".HEIC", ".heif", ".hif", ".jfif", ".jpe", ".mpo", ".tiff")]
    for name in photos:
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in find_photos(tmp_path)] == photos
    assert capsys.readouterr().err == ""
    for names, said in (
        (["notes.txt"], "1 file is no photo: notes.txt\n"),
        (["a.mp4", "b.docx"], "3 files are no photos: a.mp4, b.docx, notes.txt\n"),
        (["c"], "4 files are no photos: a.mp4, b.docx, c, …\n"),
    ):
        for name in names:
            (tmp_path / name).write_bytes(b"x")
        assert len(find_photos(tmp_path)) == len(photos)
        assert capsys.readouterr().err == said
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.jfif", "sub/a.jfif")
        archive.writestr("sub/list.txt", "text")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert photos_among(member.filename for member in members(archive)) == ["sub/a.jfif"]
    assert capsys.readouterr().err == "1 file is no photo: list.txt\n"


def test_resizing_keeps_the_mean_colour(astronaut):
    photo = np.asarray(astronaut)
    for height, width in ((64, 48), (700, 900)):
        small = resize(photo, height, width)
        assert small.shape == (height, width, 3)
        assert np.abs(small.mean((0, 1)) - photo.mean((0, 1))).max() < 1


def test_a_contact_sheet_holds_every_picture_with_its_caption(astronaut):
    red, photo = np.full((30, 10, 3), (255, 0, 0), np.uint8), np.asarray(astronaut)
    sheet = contact_sheet([photo, red, photo], columns=2, cell=64, captions=["a", "a very long caption indeed", ""])
    assert sheet.shape == (2 * (64 + 14), 2 * 64, 3)
    assert (sheet[:64, 64:] == (255, 0, 0)).all(-1).sum() > 64 * 20
    assert (sheet[64:78, 66:] < 128).any()  # the caption below it
    assert (sheet[78:142, 64:] == 255).all()  # the empty fourth cell


def test_a_contact_sheet_of_nothing_is_a_white_cell():
    assert (contact_sheet([], cell=20) == 255).all()


def test_a_stream_that_cannot_go_back_is_read_whole():
    class Download(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation("seek")

    picture = np.zeros((20, 30, 3), np.uint8)
    assert open_photo(Download(encode_photo(picture, "PNG"))).shape == (20, 30, 3)
