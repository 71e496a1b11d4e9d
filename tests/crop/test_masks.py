"""The soft mask of the face covers what make-up may change, on photos and on faces that are aligned already."""

import cv2
import numpy as np
import pytest
from detecting import DETECTOR
from matplotlib.cbook import get_sample_data
from skimage import data

from dragface_lib.crop.align import aligned_face, apply, similarity
from dragface_lib.crop.detect import open_detector
from dragface_lib.crop.find import find_faces
from dragface_lib.crop.landmarks import CONTOURS, face_mask, mask_of_face
from dragface_lib.images import open_photo


@pytest.fixture(scope="module")
def located_faces():
    """(photo, landmarks) of the two portraits."""
    photos = [data.astronaut(), open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False))]
    return [(photo, find_faces(photo, open_detector(DETECTOR))[0].points) for photo in photos]


def at(mask, points):
    x, y = points.clip(0, len(mask) - 1).astype(np.float32).T
    return cv2.remap(mask, x, y, cv2.INTER_LINEAR)[:, 0]


@pytest.mark.parametrize("size", [64, 256])
def test_the_mask_covers_what_is_painted_and_ends_before_the_border(located_faces, size):
    for _, points in located_faces:
        on_crop = apply(similarity(points, size), points)
        mask = face_mask(on_crop, size)
        for contour in ("left_upper_lashes", "right_upper_lashes", "upper_lip_top", "lower_lip_bottom"):
            assert at(mask, on_crop[list(CONTOURS[contour])]).min() > 0.95
        for contour in ("left_brow_top", "right_brow_top"):
            assert at(mask, on_crop[list(CONTOURS[contour])]).min() > 0.5
        edge = max(1, size // 64)
        inner = mask.copy()
        inner[edge:-edge, edge:-edge] = 0
        assert inner.max() == 0
        assert mask.max() == 1
        assert mask.min() == 0


def test_wild_landmarks_still_give_a_mask_that_ends_before_the_border():
    points = np.random.default_rng(0).normal(0, 1e4, (189, 2))
    mask = face_mask(points, 128)
    assert np.isfinite(mask).all()
    assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) == 0


@pytest.mark.parametrize("size", [96, 256])
def test_an_aligned_face_has_the_mask_that_it_has_in_its_photo(located_faces, size):
    for photo, points in located_faces:
        ours = mask_of_face(aligned_face(photo, points, size))
        aim = face_mask(apply(similarity(points, size), points), size)
        assert ours.shape == (size, size)
        assert np.abs(ours - aim).mean() < 0.02
        assert np.abs(ours - mask_of_face(data.chelsea()[:size, :size])).mean() > 0.02  # of this face, not of any


def test_a_picture_without_a_face_gets_the_usual_place():
    for picture in (np.full((128, 128, 3), 128, np.uint8), data.coffee()[:128, :128]):
        mask = mask_of_face(picture)
        assert mask[70, 64] == 1
        assert max(mask[0].max(), mask[:, 0].max(), mask[:, -1].max()) == 0
        assert 0.2 < mask.mean() < 0.4
