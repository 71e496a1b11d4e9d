"""Any picture that a phone or a browser saves opens as upright RGB; everything else is a clear sentence."""

from __future__ import annotations

import io
import os

import numpy as np
import pytest
from PIL import Image, ImageCms

from dragface_lib.errors import DragFaceError
from dragface_lib.images import (
    UnreadablePhoto,
    contact_sheet,
    encode_photo,
    find_photos,
    open_photo,
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


def test_a_photo_in_a_wider_colour_space_is_brought_to_srgb(tmp_path):
    """A profile whose primaries are sRGB's in another order: red comes out as green if it is heeded."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile = profile.replace(b"rXYZ", b"tmpX", 1).replace(b"gXYZ", b"rXYZ", 1).replace(b"tmpX", b"gXYZ", 1)
    profile = profile.replace("sRGB".encode("utf-16-be"), "none".encode("utf-16-be"))
    for mode in ("RGB", "RGBA"):
        Image.new(mode, (8, 8), "red").save(tmp_path / "wide.png", icc_profile=bytes(profile))
        assert np.abs(open_photo(tmp_path / "wide.png")[0, 0].astype(int) - [0, 255, 0]).max() <= 2


def test_a_16_bit_picture_keeps_its_brightness(astronaut, tmp_path):
    grey = astronaut.convert("L")
    Image.fromarray(np.asarray(grey).astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert difference(open_photo(tmp_path / "deep.png"), grey) < 1


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
    for name in ("b.JPG", "sub/a.png", ".hidden.jpg", "text.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert find_photos(tmp_path) == [tmp_path / "b.JPG", tmp_path / "sub" / "a.png"]
    with pytest.raises(DragFaceError, match="is not a folder"):
        find_photos(tmp_path / "nowhere")


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
