"""Bring a change made to a small face crop back into the whole photo, and nothing else of the crop.

The generator sees a face of 64 to 512 pixels, the photo may have a hundred megapixels. What is put back is
therefore the difference between the generator's output and its input: the photo keeps its own pores, lashes
and grain, and where nothing changed, or outside the soft mask of the face, every pixel stays as it was.
"""

from __future__ import annotations

import cv2
import numpy as np

from ..crop.align import apply
from ..crop.masks import smoothstep
from ..images import resize

MAX_ENLARGEMENT = 4  # a change that is enlarged by more is first enlarged smoothly by this much


def change_between(before: np.ndarray, after: np.ndarray, redrawn: bool) -> np.ndarray:
    """What to add to a photo: (S, S, 3) float32, -255..255, from two (S, S, 3) float32 crops in 0..255.

    redrawn: the generator drew the face anew (the published form) and so blurred it. The fine detail is then
    taken from whichever of the two has more of it: painted lines come along, blurred skin does not.
    """
    change = after - before
    if not redrawn:
        return change
    sigma = before.shape[0] / 64
    detail_before, detail_after = (face - cv2.GaussianBlur(face, (0, 0), sigma) for face in (before, after))
    energy_before, energy_after = (
        cv2.GaussianBlur(np.square(detail).mean(axis=2), (0, 0), sigma) for detail in (detail_before, detail_after)
    )
    kept = smoothstep(0.3, 0.7, energy_after / (energy_before + energy_after + 1e-3))[:, :, None]
    return (change - (1 - kept) * (detail_after - detail_before)).astype(np.float32)


def add_change(photo: np.ndarray, change: np.ndarray, matrix: np.ndarray) -> None:
    """Add a change of a crop to the photo, in place.

    photo: (H, W, 3) uint8; change: (S, S, 3) float32, 0 along its border; matrix: (2, 3), photo to crop pixels.
    Pixels of the photo where the change is 0 keep their value exactly.
    """
    enlargement = 1 / np.sqrt(abs(np.linalg.det(matrix[:, :2])))  # pixels of the photo per pixel of the crop
    if enlargement < 1 or enlargement > MAX_ENLARGEMENT:
        # Averaged when shrinking, so that it does not alias; smooth when enlarging by much, as the warp
        # below only knows 32 positions between two pixels.
        size = max(1, round(change.shape[0] * min(enlargement, MAX_ENLARGEMENT)))
        factor = size / change.shape[0]
        matrix = np.column_stack([matrix[:, :2] * factor, (matrix[:, 2] + 0.5) * factor - 0.5])
        change = resize(change, size, size)
    changed = np.abs(change).max(axis=2) > 0
    if not changed.any():
        return
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    left, right, top, bottom = columns[0] - 2, columns[-1] + 2, rows[0] - 2, rows[-1] + 2
    corners = np.array([[left, top], [right, top], [left, bottom], [right, bottom]], np.float64)
    on_photo = apply(cv2.invertAffineTransform(matrix), corners)
    width_height = photo.shape[1::-1]
    x_start, y_start = np.clip(np.floor(on_photo.min(axis=0)), 0, width_height).astype(int)
    x_end, y_end = np.clip(np.ceil(on_photo.max(axis=0)) + 1, 0, width_height).astype(int)
    if x_start >= x_end:
        return
    part = photo[y_start:y_end, x_start:x_end]
    from_part = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ (x_start, y_start)])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP  # the matrix leads from the photo to the change
    warped = cv2.warpAffine(change, from_part, part.shape[1::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT)
    part[...] = cv2.add(part, warped, dtype=cv2.CV_8U)  # rounds and saturates


def shrunk_matrix(matrix: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix that leads from a resized photo to the same crop; factor: old (width, height) / new."""
    # Pixel centres: x_old = (x_new + 0.5) * factor - 0.5
    return np.column_stack([matrix[:, :2] * factor, matrix[:, 2] + matrix[:, :2] @ ((factor - 1) / 2)])
