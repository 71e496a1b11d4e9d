"""The landmark network: its file of weights, mirrored photos, heads held at a slant."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from detecting import DETECTOR
from skimage import data

from dragface_lib.crop.align import apply, interocular
from dragface_lib.crop.detect import Box, open_detector
from dragface_lib.crop.find import find_faces
from dragface_lib.crop.landmarks import Landmarks


@pytest.fixture(scope="module")
def astronaut():
    photo = np.ascontiguousarray(data.astronaut())
    return photo, find_faces(photo, open_detector(DETECTOR))[0]


def test_left_and_right_points_are_paired():
    mirror = Landmarks.load().network.mirror.numpy()
    assert (mirror[mirror] == np.arange(189)).all()
    assert {0: 1, 18: 27, 71: 82, 87: 93, 111: 114}.items() <= dict(enumerate(mirror)).items()


def test_the_mirrored_photo_has_the_mirrored_points(astronaut):
    photo, face = astronaut
    width, landmarks = photo.shape[1], Landmarks.load()
    box = face.box._replace(x=width - face.box.x - face.box.width)
    mirrored, _ = landmarks.locate(np.ascontiguousarray(photo[:, ::-1]), box)
    mirrored = mirrored[landmarks.network.mirror.numpy()]
    mirrored[:, 0] = width - 1 - mirrored[:, 0]
    assert np.linalg.norm(mirrored - face.points, axis=1).max() < 0.01 * interocular(face.points)


@pytest.mark.parametrize("degrees", [-50, 50])
def test_a_head_held_at_a_slant_is_found(astronaut, degrees):
    class Boxes:
        name = "boxes"

        def find(self, rgb, *how):
            return [box]

    photo, face = astronaut
    x, y, width, height, *_ = box = face.box
    turn = cv2.getRotationMatrix2D((x + width / 2, y + height / 2), degrees, 1.0)
    photo = cv2.warpAffine(photo, turn, photo.shape[1::-1], borderMode=cv2.BORDER_REFLECT)
    slanted = find_faces(photo, Boxes())[0]
    expected = apply(turn, face.points[:2])
    assert np.linalg.norm(slanted.points[:2] - expected, axis=1).max() < 0.08 * interocular(face.points)


def test_a_box_far_outside_the_photo_gives_finite_points():
    points, _ = Landmarks.load().locate(np.zeros((40, 40, 3), np.uint8), Box(500.0, -300.0, 4.0, 4.0, 1.0))
    assert np.isfinite(points).all()
