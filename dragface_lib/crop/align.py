"""Where a face lies in its crop: eyes level, at fixed places, a quarter of the crop's width apart.

    face = aligned_face(photo, points, 256)
    matrix = similarity(points, 256)        the same geometry as a matrix, to go back to the photo

Training and showcase use these same functions; `ALIGNMENT` names the geometry in every generator file.
"""

from __future__ import annotations

import cv2
import numpy as np

ALIGNMENT = "eyes-0.25-0.46"
EYES = np.array([[0.375, 0.46], [0.625, 0.46]])  # left and right pupil in the unit square


def aligned_face(photo: np.ndarray, points: np.ndarray, size: int = 256) -> np.ndarray:
    """The aligned crop (size, size, 3) of the face with landmarks `points` (N, 2) in a photo (H, W, 3) uint8 RGB."""
    return crop_face(photo, similarity(points, size), size)


def similarity(points: np.ndarray, size: int = 256, eyes: np.ndarray = EYES) -> np.ndarray:
    """Turn, scale and shift that bring the eyes to their places: (2, 3) float64, photo to crop pixels.

    points: (N, 2) in pixels of the photo, of which 0 and 1 are the pupils. eyes: (2, 2), their places in the unit
    square. Pixel centres are at whole numbers, as in OpenCV.
    """
    left, right = np.asarray(points, np.float64)[:2]
    target = eyes * size - 0.5
    source, goal = right - left, target[1] - target[0]
    # Points as complex numbers: a similarity is z -> turn * z + shift.
    turn = complex(*goal) / complex(*source)
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.column_stack([linear, target[0] - linear @ left])


def crop_face(rgb: np.ndarray, matrix: np.ndarray, size: int = 256) -> np.ndarray:
    """Cut the crop that `matrix` (photo to crop pixels) describes out of (H, W, 3) uint8 RGB.

    Reflects the photo at its borders, and averages when shrinking, so that large photos do not alias.
    Returns (size, size, 3) uint8.
    """
    scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    square = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    corners = apply(cv2.invertAffineTransform(matrix), square)
    margin = 2 + 2 / scale
    first, last, end = corners.min(0) - margin, corners.max(0) + margin, np.array(rgb.shape[1::-1]) - 1
    # Take only the part that is needed: the crop, and beyond a border the strip that is mirrored there.
    low = np.clip(np.floor(np.minimum(first, 2 * end - last)), 0, end).astype(int)
    high = np.clip(np.ceil(np.maximum(last, -first)), low, end).astype(int) + 1
    # Keep its size even while it is halved: OpenCV halves even sizes some twenty times as fast as odd ones.
    spare = -(high - low) % 2 ** int(np.clip(np.ceil(np.log2(0.6 / scale)), 0, 12))
    before = np.minimum(spare, low)
    low, high = low - before, np.minimum(high + spare - before, end + 1)
    part = rgb[low[1] : high[1], low[0] : high[0]]
    matrix = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ low])
    while scale < 0.6 and min(part.shape[:2]) > 1:
        height, width = part.shape[:2]
        small = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
        part = cv2.resize(part, small, interpolation=cv2.INTER_AREA)
        factor = np.array([width / small[0], height / small[1]])
        # Pixel centres: x_large = (x_small + 0.5) * factor - 0.5
        matrix = np.column_stack([matrix[:, :2] * factor, matrix[:, 2] + matrix[:, :2] @ ((factor - 1) / 2)])
        scale *= 2
    return cv2.warpAffine(part, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (N, 2) moved by a (2, 3) matrix."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def interocular(points: np.ndarray) -> float:
    """Distance of the pupils, in the unit of `points` (N, 2)."""
    return float(np.linalg.norm(points[1] - points[0]))
