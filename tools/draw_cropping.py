"""Draw the README's picture of what cropping does, from two portraits in the public domain.

PYTHONPATH=. python tools/draw_cropping.py docs/crop.jpg
"""

from __future__ import annotations

import sys

import cv2
import numpy as np
from matplotlib.cbook import get_sample_data
from skimage import data

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face, apply, similarity
from dragface_lib.crop.find import Face
from dragface_lib.crop.landmarks import CONTOURS
from dragface_lib.crop.masks import face_mask
from dragface_lib.images import contact_sheet, open_photo, save_photo

SIDE, LINE = 480, (236, 64, 160)


def marked(photo: np.ndarray, found: Face) -> np.ndarray:
    """The photo with the face's landmarks and the frame of its crop."""
    picture, width = photo.copy(), max(2, round(photo.shape[1] / 250))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * SIDE - 0.5
    frame = apply(cv2.invertAffineTransform(similarity(found.points, SIDE)), corners)
    cv2.polylines(picture, [frame.round().astype(np.int32)], True, (255, 255, 255), width, cv2.LINE_AA)
    for name, contour in CONTOURS.items():
        line = found.points[list(contour)].round().astype(np.int32)
        cv2.polylines(picture, [line], "iris" in name, LINE, width // 2 or 1, cv2.LINE_AA)
    return picture


def main(path: str) -> None:
    """Draw it."""
    portraits = [
        np.ascontiguousarray(data.astronaut()),
        open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False)),
    ]
    cells = []
    for photo in portraits:
        found = find_faces(photo)[0]
        face = aligned_face(photo, found.points, SIDE)
        on_grey = face_mask(apply(similarity(found.points, SIDE), found.points), SIDE)[..., None]
        cells += [marked(photo, found), face, np.uint8(face * on_grey + 128 * (1 - on_grey))]
    captions = ["landmarks, and what is cut out", "aligned", "what discriminators see"] * 2
    save_photo(path, contact_sheet(cells, columns=3, cell=320, captions=captions), quality=88)


if __name__ == "__main__":
    main(sys.argv[1])
