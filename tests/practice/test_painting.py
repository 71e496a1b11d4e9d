"""Make-up lands on the face, shows on every skin, keeps teeth, and is the same again for the same seed."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dragface_lib.errors import DragFaceError
from dragface_lib.practice import LOOKS, Unpaintable, draw_makeup, paint
from dragface_lib.practice.canvas import Canvas
from dragface_lib.practice.eyes import cover_brows
from dragface_lib.practice.skin import study_skin


def lab(photo):
    return cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def change(before, after, where):
    """Mean colour change in CIELAB units."""
    return float(np.linalg.norm(lab(after) - lab(before), axis=-1)[where].mean())


def shape_of(photo, points, numbers):
    mask = np.zeros(photo.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(points[list(numbers)]).astype(np.int32)], 1)
    return mask > 0


def lids(photo, points):
    left = (18, 19, 20, 21, 22, 38, 37, 36, 35, 34)
    right = (23, 24, 25, 26, 27, 43, 42, 41, 40, 39)
    return shape_of(photo, points, left) | shape_of(photo, points, right)


def lips(photo, points):
    canvas = Canvas.of(photo.astype(np.float32) / 255, points)
    mouth = study_skin(canvas).mouth
    return (canvas.fill([mouth.outline]) - canvas.fill([mouth.opening])) > 0.9


def teeth(photo, points):
    canvas = Canvas.of(photo.astype(np.float32) / 255, points)
    opening = canvas.fill([study_skin(canvas).mouth.opening]) > 0.9
    return cv2.erode(opening.astype(np.uint8), np.ones((3, 3))) > 0


@pytest.mark.parametrize("look", LOOKS)
def test_every_look_shows_on_lips_and_lids_and_nowhere_else(sitter, look):
    painted = paint(sitter.photo, sitter.points, look, seed=1)
    assert change(sitter.photo, painted.photo, lips(*sitter)) > 12
    assert change(sitter.photo, painted.photo, lids(*sitter)) > 12
    outside = painted.mask == 0
    assert outside.mean() > 0.5
    assert (painted.photo[outside] == sitter.photo[outside]).all()


def test_the_same_seed_paints_the_same_picture_and_another_another(astronaut):
    first, again = (paint(*astronaut, "neon", seed=5).photo for _ in range(2))
    assert (first == again).all()
    assert (paint(*astronaut, "neon", seed=6).photo != first).any()


def test_the_make_up_is_the_same_whatever_the_resolution(astronaut):
    photo, points = astronaut
    twice = cv2.resize(photo, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    large = paint(twice, points * 2 + 0.5, "classic", None).photo
    small, mask = paint(photo, points, "classic", None)
    reduced = cv2.resize(large, photo.shape[1::-1], interpolation=cv2.INTER_AREA)
    assert change(small, reduced, mask > 0.5) < 3


def test_the_teeth_of_an_open_mouth_stay_as_they_are(sitter):
    where = teeth(*sitter)
    assert where.sum() > 40  # the astronaut smiles
    painted = paint(*sitter, "classic", seed=0).photo
    assert change(sitter.photo, painted, where) < 5


def test_the_eyes_themselves_are_not_painted(sitter):
    iris = shape_of(*sitter, range(2, 10)) | shape_of(*sitter, range(10, 18))
    painted = paint(*sitter, "classic", seed=0).photo
    assert change(sitter.photo, painted, iris) < 8


def test_foundation_keeps_the_colour_of_the_skin(sitter):
    """Dark skin is not greyed and light skin not turned orange."""
    photo, points = sitter
    forehead = shape_of(photo, points, (76, 138, 140, 77))
    painted = paint(photo, points, draw_makeup("classic"), seed=0).photo
    before, after = (np.median(lab(picture)[forehead], axis=0) for picture in (photo, painted))
    assert np.abs(after - before).max() < 8
    assert np.hypot(*after[1:]) > 0.85 * np.hypot(*before[1:])


def test_the_natural_brows_are_covered(sitter):
    """No darker than the skin around, and without hairs."""
    photo, points = sitter
    brow = shape_of(photo, points, (72, 73, 74, 75, 84, 83)) | shape_of(photo, points, (78, 79, 80, 81, 86, 85))
    canvas = Canvas.of(photo.astype(np.float32) / 255, points)
    skin, before = study_skin(canvas), canvas.lab[..., 0].copy()
    cover_brows(canvas, skin, np.random.default_rng(0))
    after, bare = canvas.lab[..., 0], skin.base[..., 0]
    assert np.abs(after - bare)[brow].mean() < 0.5 * np.abs(before - bare)[brow].mean()
    assert np.abs(cv2.Laplacian(after - before, cv2.CV_32F))[brow].mean() > 1


def test_a_fringe_stays_in_front_of_the_brows(astronaut):
    photo, points = astronaut
    hair = shape_of(photo, points + [0, -6], (71, 72, 73, 74, 84, 83)) | shape_of(
        photo, points, (134, 136, 138, 74, 72)
    )
    combed = photo.copy()
    combed[hair] = 30, 22, 20
    painted = paint(combed, points, "classic", seed=0).photo
    inside = cv2.erode(hair.astype(np.uint8), np.ones((7, 7))) > 0
    assert change(combed, painted, inside) < 3
    bare = inside & shape_of(photo, points + [0, -6], (71, 72, 73, 74, 84, 83))
    assert change(photo, paint(photo, points, "classic", seed=0).photo, bare) > 12


def test_the_frame_of_glasses_stays_in_front_of_the_make_up(sitter):
    """Rims of tortoiseshell, drawn: those of the one real pair at hand are of the colour of skin."""
    photo, points = sitter
    unit = float(np.linalg.norm(points[1] - points[0]))
    line, frame = max(2, round(0.04 * unit)), np.zeros(photo.shape[:2], np.uint8)
    rims = [np.round(points[eye] + [side * 0.06 * unit, 0.10 * unit]).astype(int) for eye, side in ((0, -1), (1, 1))]
    for middle in rims:
        cv2.ellipse(frame, middle.tolist(), (round(0.38 * unit), round(0.27 * unit)), 0, 0, 360, 1, line)
    (left, y), (right, _) = rims
    cv2.line(frame, (left + round(0.36 * unit), y), (right - round(0.36 * unit), y), 1, line)
    worn = photo.copy()
    worn[frame > 0] = 40, 30, 28
    painted = paint(worn, points, "classic", seed=0).photo
    upper = (frame > 0) & lids_and_above(photo, points)
    assert upper.sum() > 30
    bare = change(photo, paint(photo, points, "classic", seed=0).photo, upper)
    assert bare > 12
    assert change(worn, painted, upper) < 0.4 * bare
    assert change(worn, painted, lids(photo, points) & (cv2.dilate(frame, np.ones((5, 5))) == 0)) > 12


def lids_and_above(photo, points):
    return shape_of(photo, points, (18, 20, 22, 76, 74, 72)) | shape_of(photo, points, (23, 25, 27, 81, 79, 77))


def test_a_face_with_glasses_is_painted(hopper):
    painted = paint(*hopper, "classic", seed=0)
    assert change(hopper.photo, painted.photo, lips(*hopper)) > 12


def test_faces_that_cannot_be_painted_are_refused_with_a_reason(astronaut):
    photo, points = astronaut
    with pytest.raises(Unpaintable, match="outside the picture"):
        paint(photo, points + [photo.shape[1] * 0.6, 0])
    small = 25 / float(np.linalg.norm(points[1] - points[0]))
    with pytest.raises(Unpaintable, match="too small: 2. pixels"):
        paint(photo, (points - points.mean(0)) * small + points.mean(0))
    with pytest.raises(Unpaintable, match="turned"):
        paint(photo, points, turned=-0.9)
    with pytest.raises(DragFaceError, match="189"):
        paint(photo, points[:68])
    with pytest.raises(DragFaceError, match="uint8"):
        paint(photo / 255, points)
    with pytest.raises(DragFaceError, match="classic, neon, goth, glitter"):
        paint(photo, points, "disco")


def held_before(sitter, numbers, colour=None):
    """The photo with something before the part of the face about these landmarks; of the colour of skin if None."""
    photo, points = sitter
    skin = np.median(photo[shape_of(photo, points, (76, 138, 140, 77))], axis=0)
    shape = cv2.dilate(shape_of(photo, points, numbers).astype(np.uint8), np.ones((15, 15)))[..., None]
    shape = cv2.GaussianBlur(shape.astype(np.float32), (0, 0), 2)[..., None]
    fingers = 0.95 + 0.05 * np.cos(np.arange(photo.shape[1]) * 0.6)[None, :, None]
    return np.round(photo + shape * ((skin * fingers if colour is None else colour) - photo)).astype(np.uint8)


@pytest.mark.parametrize(
    ("numbers", "colour", "reason"),
    [
        ((18, 19, 20, 21, 22, 30, 29, 28), None, "An eye is not seen"),
        ((87, 88, 90, 92, 93, 107, 106, 105), None, "The mouth is not seen"),
        ((18, 185, 110, 186, 111, 87), (120, 140, 190), "turned too far"),
    ],
)
def test_a_face_behind_a_hand_or_turned_away_is_refused_whatever_the_detector_says(sitter, numbers, colour, reason):
    with pytest.raises(Unpaintable, match=reason):
        paint(held_before(sitter, numbers, colour), sitter.points)


def test_a_closed_eye_is_painted(astronaut):
    """Landmarks of upper and lower lashes on one line."""
    photo, points = astronaut
    shut = points.copy()
    for upper, lower in (((19, 20, 21), (28, 29, 30)), ((24, 25, 26), (31, 32, 33))):
        shut[list(upper)] = shut[list(lower)]
    painted = paint(photo, shut, "classic", seed=0)
    assert np.isfinite(painted.mask).all()
    assert change(photo, painted.photo, lids(photo, shut)) > 12


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_is_drawn_by_seed(look):
    assert draw_makeup(look, 3) == draw_makeup(look, 3)
    assert draw_makeup(look, 3) != draw_makeup(look, 4)
