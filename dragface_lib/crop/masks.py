"""Soft masks of the face on an aligned crop, for the showcase and the discriminators.

mask = face_mask(points, 256)     by landmarks in pixels of the crop
mask = mask_of_face(face)         of a face on disk, already aligned
"""

from __future__ import annotations

import cv2
import numpy as np

from .align import EYES
from .landmarks import CONTOURS, FACE_CONFIDENCE, HAIRLINE, Landmarks

FOREHEAD = 0.9  # end of the mask, from the eyes to the hairline, whose landmarks are the roughest
BROWS = 1.1  # least end of the mask, from the eyes to the brows; on a turned head these lie on the outline
MASK_SIZE = 256  # pixels of the side at which a mask is drawn
# Lengths below are in sides of the crop.
INSIDE = 0.045  # distance inside the outline from which the mask is 1
OUTSIDE = 0.015  # distance outside the outline from which the mask is 0
BORDER = (0.02, 0.1)  # distances from the crop's border between which the mask rises from 0 to 1
CENTRE, RADII = (0.5, 0.56), (0.26, 0.36)  # the ellipse that is used without landmarks
MISPLACED = 0.05  # largest distance of the eyes from their places


def face_mask(points: np.ndarray, size: int) -> np.ndarray:
    """Where on a crop of `size` pixels the face is: (size, size) float32, 1 on it, 0 outside, soft between.

    points: (189, 2) landmarks in pixels of the crop. The face is the hull of jaw, forehead, brows and temples.
    """
    points = (np.asarray(points, np.float64) + 0.5) / size
    eyes = points[:2].mean(axis=0)
    forehead = eyes + FOREHEAD * (points[list(HAIRLINE)] - eyes)
    brows = eyes + BROWS * (points[list(CONTOURS["left_brow_top"] + CONTOURS["right_brow_top"])] - eyes)
    outline = np.concatenate([points[list(CONTOURS["jaw"])], forehead, brows]).clip(-1, 2)
    hull = cv2.convexHull((outline * MASK_SIZE).round().astype(np.int32))
    face = cv2.fillConvexPoly(np.zeros((MASK_SIZE, MASK_SIZE), np.uint8), hull, 1)
    inward = cv2.distanceTransform(face, cv2.DIST_L2, 5) - cv2.distanceTransform(1 - face, cv2.DIST_L2, 5)
    mask = smoothstep(-OUTSIDE, INSIDE, inward / MASK_SIZE)
    to_side = np.minimum(np.arange(MASK_SIZE), np.arange(MASK_SIZE)[::-1]) / MASK_SIZE
    mask *= smoothstep(*BORDER, np.minimum.outer(to_side, to_side))
    return cv2.resize(mask.astype(np.float32), (size, size), interpolation=cv2.INTER_AREA)


def mask_of_face(face: np.ndarray) -> np.ndarray:
    """The same mask for an aligned face (S, S, 3) uint8 RGB, by the landmarks found on it: (S, S) float32, 0..1.

    Where they are not found, in paintings or behind hands, a soft ellipse at the usual place.
    """
    size, points = face.shape[0], points_on_face(face)
    if points is not None:
        return face_mask(points, size)
    y, x = (np.mgrid[0:size, 0:size] + 0.5) / size
    radius = np.hypot((x - CENTRE[0]) / RADII[0], (y - CENTRE[1]) / RADII[1])
    return smoothstep(-OUTSIDE / RADII[0], INSIDE / RADII[0], 1 - radius).astype(np.float32)


def points_on_face(face: np.ndarray) -> np.ndarray | None:
    """Landmarks (189, 2) of an aligned face (S, S, 3), in its pixels; None where no face is seen in its place."""
    points, confidence = Landmarks.load().locate_aligned(face)
    off = np.abs((points[:2] + 0.5) / len(face) - EYES).max()
    return points if confidence >= FACE_CONFIDENCE and off <= MISPLACED else None


def smoothstep(low: float, high: float, values: np.ndarray) -> np.ndarray:
    """0 below `low`, 1 above `high` (the other way round where low > high), and 3t^2 - 2t^3 between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)
