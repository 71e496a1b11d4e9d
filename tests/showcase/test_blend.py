import cv2
import numpy as np
import pytest

from dragface_lib.showcase.drag_photo import add_change, shrunk_matrix
from dragface_lib.showcase.transform import change_between


def test_no_change_leaves_the_photo_alone(astronaut):
    photo = astronaut.copy()
    add_change(photo, np.zeros((64, 64, 3), np.float32), np.eye(2, 3))
    assert np.array_equal(photo, astronaut)


def test_a_change_outside_the_photo_is_left_out(astronaut):
    photo = astronaut.copy()
    change = np.zeros((64, 64, 3), np.float32)
    change[20:40, 20:40] = 50
    add_change(photo, change, np.array([[1.0, 0, 900], [0, 1.0, 0]]))
    assert np.array_equal(photo, astronaut)


@pytest.mark.parametrize("side", [24, 40, 64, 150, 400, 1000])
def test_a_change_in_the_middle_stays_in_the_middle_at_every_size(side):
    """Half a pixel off, at any of the resizings on the way, and the picture would no longer mirror itself."""
    change = np.zeros((64, 64, 3), np.float32)
    change[16:-16, 16:-16] = 120
    change = cv2.GaussianBlur(change, (0, 0), 1.5)
    photo = np.full((side, side, 3), 100, np.uint8)
    add_change(photo, change, shrunk_matrix(np.eye(2, 3), np.array([64 / side, 64 / side])))
    assert photo[side // 2, side // 2, 0] == 220
    # The warp knows 32 positions between two pixels: on the steepest slope that is two or three values.
    assert np.abs(photo.astype(int) - photo[::-1, ::-1]).max() <= 3


def test_paint_on_a_redrawn_face_comes_along_sharply():
    rng = np.random.default_rng(0)
    before = 120 + rng.normal(0, 8, (64, 64, 3)).astype(np.float32)  # skin with its texture
    after = cv2.GaussianBlur(before, (0, 0), 3)
    after[30:33, 10:54] = 10  # a drawn line on blurred skin
    change = change_between(before, after, redrawn=True)
    painted = before + change
    assert painted[31, 20:44].mean() < 40
    assert painted[45:].std() > 0.8 * before[45:].std()
    assert np.array_equal(change_between(before, after, redrawn=False), after - before)
