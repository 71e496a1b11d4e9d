import io
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from dragface_lib.crop.align import apply, interocular, similarity
from dragface_lib.crop.find import find_faces
from dragface_lib.crop.landmarks import face_mask
from dragface_lib.errors import DragFaceError
from dragface_lib.images import UnreadablePhoto, encode_photo, save_photo
from dragface_lib.model import Generator, Translation
from dragface_lib.showcase import transform as transforming
from dragface_lib.showcase.transform import crop_only, make_drag, transform


@pytest.fixture
def astronaut_faces(astronaut):
    return find_faces(astronaut)


@pytest.fixture
def found(monkeypatch):
    """Function that makes the showcase find exactly these faces."""
    return lambda faces: monkeypatch.setattr(transforming, "find_faces", lambda rgb: list(faces))


def drawn(images):
    """What a generator returns that draws these images."""
    size = images.shape[-1] // 4
    return Translation(images, torch.zeros(len(images), 2), torch.ones(len(images), 1, size, size))


def difference(one, other):
    return np.abs(one.astype(int) - other.astype(int)).max(axis=2)


def test_the_face_changes_and_everything_else_keeps_every_pixel(astronaut, generator, astronaut_faces):
    picture = transform(astronaut, generator)
    points = astronaut_faces[0].points
    matrix = similarity(points, 256)
    on_photo = cv2.warpAffine(face_mask(apply(matrix, points), 256), matrix, (512, 512), flags=cv2.WARP_INVERSE_MAP)
    near_the_mask = cv2.dilate((on_photo > 0).astype(np.uint8), np.ones((9, 9))) > 0
    changed = difference(picture, astronaut)
    assert (picture.shape, picture.dtype) == (astronaut.shape, np.uint8)
    assert changed[on_photo > 0.99].mean() > 5
    assert changed[~near_the_mask].max() == 0
    assert (changed > 0).mean() < 0.1


def test_the_change_fades_out_without_a_seam(astronaut, generator, found, astronaut_faces):
    flat = np.full_like(astronaut, 128)
    found(astronaut_faces)
    torch.manual_seed(0)
    brighter = Generator(64, 4, 1)
    brighter.forward = lambda faces: drawn(faces + 0.4)
    change = transform(flat, brighter).astype(int)[:, :, 0] - 128
    assert change.max() >= 50
    assert max(np.abs(np.diff(change, axis=axis)).max() for axis in (0, 1)) <= change.max() / 4


def test_paint_lies_exactly_where_the_face_was_taken_from(astronaut, found, astronaut_faces):
    """A generator that subtracts the face from itself leaves an even grey where it was, if nothing has moved."""
    found(astronaut_faces)
    subtracting = Generator(64, 4, 1)
    subtracting.forward = lambda faces: drawn(torch.zeros_like(faces))
    soft = cv2.GaussianBlur(astronaut, (0, 0), 4)  # no finer than the crop shows it
    grey = transform(soft, subtracting)
    (x, y), reach = astronaut_faces[0].points[:2].mean(axis=0).astype(int), 30
    around_the_eyes = slice(y - 10, y + reach), slice(x - reach, x + reach)
    assert soft[around_the_eyes].std() > 25
    assert np.abs(grey[around_the_eyes].astype(int) - 127.5).mean() < 3


def test_strength_0_returns_the_photo_bit_for_bit(astronaut, generator):
    picture = transform(astronaut, generator, strength=0)
    assert np.array_equal(picture, astronaut)
    assert picture is not astronaut


def test_the_change_grows_with_the_strength(astronaut, generator):
    drag = make_drag(astronaut, generator)
    amounts = [difference(drag.at(strength), astronaut).mean() for strength in (0.25, 0.5, 1.0, 1.5)]
    assert amounts == sorted(amounts)
    assert amounts[1] == pytest.approx(amounts[2] / 2, rel=0.15)


@pytest.mark.parametrize("strength", [-0.1, 1.6, float("nan")])
def test_a_strength_out_of_range_is_refused(astronaut, generator, strength):
    with pytest.raises(DragFaceError, match="strength"):
        transform(astronaut, generator, strength=strength)


def test_another_generator_paints_the_same_faces_without_looking_for_them_again(astronaut, generator, published, found):
    drag = make_drag(astronaut, generator)
    found([])
    again = make_drag(drag, published)
    assert difference(again.at(1), drag.at(1)).max() > 10
    assert np.array_equal(make_drag(again, generator).at(1), drag.at(1))


def test_each_face_says_where_the_generator_looked_and_whether_it_is_bare(astronaut, generator, found, astronaut_faces):
    found(astronaut_faces)
    (face,) = make_drag(astronaut, generator).faces
    crop = torch.from_numpy(crop_only(astronaut)[0]).permute(2, 0, 1)[None]
    crop = torch.nn.functional.interpolate(crop.float(), (64, 64), mode="bilinear", antialias=True) / 127.5 - 1
    expected = generator(crop)
    assert face.attention.shape == (16, 16)
    assert face.attention == pytest.approx(expected.attention[0, 0].numpy(), abs=0.05)
    assert face.cam_logit == pytest.approx(float(expected.cam_logits[0, 1]), abs=0.05)


def test_a_tilted_head_gets_the_same_paint(astronaut, generator, found, astronaut_faces):
    turn = cv2.getRotationMatrix2D((224, 128), 30, 1)
    turned = cv2.warpAffine(astronaut, turn, (512, 512), flags=cv2.INTER_CUBIC)
    upright = transform(astronaut, generator).astype(np.float32) - astronaut
    face = astronaut_faces[0]
    found([face._replace(points=apply(turn, face.points))])
    tilted = transform(turned, generator).astype(np.float32) - turned
    expected = cv2.warpAffine(upright, turn, (512, 512))
    assert np.corrcoef(tilted.ravel(), expected.ravel())[0, 1] > 0.97


@pytest.mark.parametrize("quarters", [1, 3])
def test_a_photo_on_its_side_stays_so_and_gets_the_same_paint(quarters, astronaut, generator):
    turned = np.ascontiguousarray(np.rot90(astronaut, quarters))
    upright = np.rot90(transform(astronaut, generator), quarters).astype(np.float32) - turned
    lying = transform(turned, generator).astype(np.float32) - turned
    assert np.corrcoef(lying.ravel(), upright.ravel())[0, 1] > 0.97
    (across, down), _ = cv2.phaseCorrelate(*(change.mean(axis=2) for change in (upright, lying)))
    assert max(abs(across), abs(down)) < 0.5


@pytest.mark.parametrize("scale", [0.25, 6])
def test_paint_keeps_its_place_and_colour_at_every_photo_size(scale, astronaut, generator, found, astronaut_faces):
    face = astronaut_faces[0]
    resized = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    normal = transform(astronaut, generator).astype(np.float32) - astronaut
    found([face._replace(points=(face.points + 0.5) * scale - 0.5)])
    change = transform(resized, generator).astype(np.float32) - resized
    comparable = [cv2.resize(c, (128, 128), interpolation=cv2.INTER_AREA) for c in (normal, change)]
    assert np.corrcoef(*(c.ravel() for c in comparable))[0, 1] > 0.95
    assert np.abs(comparable[1]).mean() == pytest.approx(np.abs(comparable[0]).mean(), rel=0.1)


def test_a_photo_comes_as_path_bytes_array_or_picture_of_pillow(astronaut, generator, tmp_path):
    save_photo(tmp_path / "selfie.png", astronaut)
    expected = transform(astronaut, generator)
    assert np.array_equal(transform(tmp_path / "selfie.png", generator), expected)
    assert np.array_equal(transform(str(tmp_path / "selfie.png"), generator), expected)
    assert np.array_equal(transform(encode_photo(astronaut, "PNG"), generator), expected)
    assert np.array_equal(transform(Image.fromarray(astronaut), generator), expected)
    assert np.array_equal(transform(Image.open(tmp_path / "selfie.png"), generator), expected)
    assert transform(Image.fromarray(astronaut).convert("CMYK"), generator).shape == expected.shape
    lying, exif = Image.fromarray(np.ascontiguousarray(np.rot90(astronaut))), Image.Exif()
    exif[0x0112] = 6
    lying.save(tmp_path / "lying.png", exif=exif)
    assert np.array_equal(transform(Image.open(tmp_path / "lying.png"), generator), expected)
    (tmp_path / "cut.png").write_bytes(encode_photo(astronaut, "PNG")[:9000])
    with pytest.raises(UnreadablePhoto, match="damaged"):
        transform(Image.open(tmp_path / "cut.png"), generator)


def test_a_grey_array_becomes_colour(astronaut, generator):
    picture = transform(astronaut[:, :, 1], generator)
    assert picture.shape == astronaut.shape
    assert np.ptp(picture.astype(int), axis=2).max() > 5


def test_transparency_is_laid_over_white(astronaut, generator):
    opacity = np.full((512, 512, 1), 255, np.uint8)
    opacity[400:] = 0
    picture = transform(np.concatenate([astronaut, opacity], axis=2), generator)
    assert (picture[400:] == 255).all()


@pytest.mark.parametrize("array", [np.zeros((9, 9, 3)), np.zeros((9, 9, 2), np.uint8), np.zeros((0, 9, 3), np.uint8)])
def test_an_array_that_is_no_photo_is_refused(array, generator):
    with pytest.raises(UnreadablePhoto, match="is no photo"):
        transform(array, generator)


def test_a_broken_generator_and_one_of_another_alignment_are_refused(astronaut, generator, found, astronaut_faces):
    found(astronaut_faces)
    broken = Generator(64, 4, 1)
    broken.to_rgb[1].weight.data.fill_(float("nan"))
    with pytest.raises(DragFaceError, match="broke down"):
        transform(astronaut, broken)
    other = Generator(64, 4, 1)
    other.metadata = {"alignment": "nose-first"}
    with pytest.raises(DragFaceError, match="nose-first"):
        transform(astronaut, other)


def test_crops_are_the_aligned_faces(astronaut, hopper):
    faces = crop_only(np.hstack([astronaut, hopper[:512]]))
    assert [face.shape for face in faces] == [(256, 256, 3)] * 2
    for face in faces:
        points = find_faces(face)[0].points
        assert np.abs(points[:2] - (np.array([[0.375, 0.46], [0.625, 0.46]]) * 256 - 0.5)).max() < 0.06 * interocular(
            points
        )


def test_before_and_after_stand_side_by_side(astronaut, generator):
    drag = make_drag(astronaut, generator)
    sheet = drag.before_after()
    assert sheet.shape == (512, 512 + 8 + 512, 3)
    assert (sheet[:, 512:520] == 255).all()
    assert np.array_equal(sheet[:, 520:], drag.at(1))


def test_transform_opens_no_workspace_asks_for_no_drive_and_makes_no_folder(portraits, tmp_path):
    code = """
import sys, types
drive = types.ModuleType("google.colab.drive")
drive.mount = lambda *_: print("asked for Drive")
sys.modules |= {"google.colab": types.ModuleType("google.colab"), "google.colab.drive": drive}
from dragface_lib import transform
print(transform(sys.argv[1]).shape, *(name for name in sys.modules if name in {"dragface_lib.session", "anywidget"}))
"""
    root = Path(transforming.__file__).parents[2]
    places = {"HOME": str(tmp_path), "DRAGFACE_HOME": str(tmp_path / "home"), "PYTHONPATH": str(root)}
    told = subprocess.run(
        [sys.executable, "-c", code, str(portraits["astronaut"])],
        cwd=tmp_path,
        env=os.environ | places,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == "(512, 512, 3)\n"
    assert not list(tmp_path.iterdir())


BAD = {
    "zero.jpg": (b"", "is empty (0 bytes): copy"),
    "letter.jpg": (b"Dear Sir or Madam, " * 30, "is not a picture that can be opened: use"),
    "cup.png": (encode_photo(data.coffee(), "PNG"), "cup.png: choose one in which a face looks towards the camera"),
    "cut.png": (encode_photo(data.coffee(), "PNG")[:9000], "is damaged or cut short"),
}
ONE_SENTENCE = re.compile(r"[^\n]{20,220}[^.\n]\.")


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", ["path", "file"])
def test_a_file_that_gives_no_picture_is_one_sentence(name, kind, generator, tmp_path):
    content, said = BAD[name]
    photo = tmp_path / name
    photo.write_bytes(content)
    if kind == "file":  # as the widget passes it on
        photo = io.BytesIO(content)
        photo.name = name
    with pytest.raises(DragFaceError) as caught:
        transform(photo, generator)
    assert name in str(caught.value)
    assert said in str(caught.value)
    assert ONE_SENTENCE.fullmatch(str(caught.value)), str(caught.value)


@pytest.mark.parametrize("side", ["left", "bottom"])
def test_a_face_at_the_edge_is_painted_up_to_the_edge(astronaut, generator, found, astronaut_faces, side):
    photo, move = {
        "left": (astronaut[:, 190:], (-190, 0)),  # the face reaches from 170 to 280
        "bottom": (astronaut[:172], (0, 0)),
    }[side]
    found([face._replace(points=face.points + np.float32(move)) for face in astronaut_faces])
    changed = (make_drag(photo, generator).at(1.5) != photo).any(axis=2)
    edge = {"left": changed[:, 0], "bottom": changed[-1]}[side]
    assert edge.sum() > 10
    assert crop_only(photo)[0].shape == (256, 256, 3)
