"""Where on an aligned crop the face is: what the showcase puts back, and what discriminators look at.

mask = face_mask(found.points, similarity(found.points, 256), 256)      a face of a photo
mask = mask_of_face(face)                                               a face on disk, already aligned
"""

from __future__ import annotations

import cv2
import numpy as np

from .align import EYES, apply
from .landmarks import CONTOURS, SURE, Landmarks

HAIRLINE = tuple(range(134, 145))  # landmarks from the left temple over the forehead to the right temple
FOREHEAD = 0.9  # how far from the eyes to the hairline the mask reaches: the points there are the roughest
BROWS = 1.1  # and how far beyond the brows at least: on a turned head they end close to the outline
MASK_SIZE = 256  # pixels a side in which a mask is drawn
# In parts of the crop's side. The mask falls from 1 this far inside the outline of the face …
INSIDE, OUTSIDE = 0.045, 0.015  # … to 0 this far outside it;
BORDER = (0.02, 0.1)  # and from 1 to 0 between these distances to the border of the crop
# Of a crop in which the landmark network sees no face, or sees one elsewhere, this is taken: most faces lie in it.
CENTRE, RADII = (0.5, 0.56), (0.26, 0.36)
MISPLACED = 0.05  # of the side: how far from their places the eyes may be found


def face_mask(points: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Where on a crop the face is: (size, size) float32, 1 on it, 0 outside, soft between.

    points: (189, 2) landmarks in pixels of the photo; matrix: (2, 3), photo to crop of `size` pixels.
    The face is the hull of the jaw and the forehead, brows and temples included.
    """
    on_crop = (apply(matrix, np.asarray(points, np.float64)) + 0.5) / size  # 0..1
    eyes = on_crop[:2].mean(axis=0)
    forehead = eyes + FOREHEAD * (on_crop[list(HAIRLINE)] - eyes)
    brows = eyes + BROWS * (on_crop[list(CONTOURS["left_brow_top"] + CONTOURS["right_brow_top"])] - eyes)
    outline = np.concatenate([on_crop[list(CONTOURS["jaw"])], forehead, brows]).clip(-1, 2)
    hull = cv2.convexHull((outline * MASK_SIZE).round().astype(np.int32))
    face = cv2.fillConvexPoly(np.zeros((MASK_SIZE, MASK_SIZE), np.uint8), hull, 1)
    inward = cv2.distanceTransform(face, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - face, cv2.DIST_L2, 5)
    mask = smooth_step(inward / MASK_SIZE, -OUTSIDE, INSIDE)
    to_side = np.minimum(np.arange(MASK_SIZE), np.arange(MASK_SIZE)[::-1]) / MASK_SIZE
    mask *= smooth_step(np.minimum.outer(to_side, to_side), *BORDER)
    return cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


def mask_of_face(face: np.ndarray) -> np.ndarray:
    """The same mask for an aligned face (S, S, 3) uint8 RGB, by the landmarks found on it: (S, S) float32, 0..1.

    Where they are not found, in paintings or behind hands, a soft ellipse at the usual place.
    """
    size, points = face.shape[0], points_on_face(face)
    if points is not None:
        return face_mask(points, np.eye(2, 3), size)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    radius = np.hypot((x - CENTRE[0]) / RADII[0], (y - CENTRE[1]) / RADII[1])
    return smooth_step(1 - radius, -OUTSIDE / RADII[0], INSIDE / RADII[0]).astype(np.float32)


def points_on_face(face: np.ndarray) -> np.ndarray | None:
    """Landmarks (189, 2) of an aligned face (S, S, 3), in its pixels; None where no face is seen in its place."""
    points, sureness = Landmarks.load().look_at_crop(face)
    off = np.abs((points[:2] + 0.5) / len(face) - EYES).max()
    return points if sureness >= SURE and off <= MISPLACED else None


def smooth_step(value: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below `low`, 1 above `high`, 3t^2 - 2t^3 between."""
    t = ((value - low) / (high - low)).clip(0, 1)
    return t * t * (3 - 2 * t)
