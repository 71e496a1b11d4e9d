"""Find the faces in a photo, with landmarks: what cropping and the showcase both start from.

for found in find_faces(rgb):
    face = crop_face(rgb, similarity(found.points))
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .align import apply
from .detect import Detector, Face, at_detection_size, open_detector
from .landmarks import SURE, Landmarks

TURNS = (-40.0, 40.0)  # degrees: how heads are held that it does not recognise upright
SURE_TURNED = 0.9  # more looks are more chances to err,
BOX_TURNED = 0.85  # so the detector must be sure too: what the Haar cascade takes for faces in leaves scores less
GOOD = 0.97  # a face as sure as this, not leaning by more than half a quarter turn: the photo is the right way up
BOX_ON_ITS_SIDE = 0.7  # of a box in a photo that had to be turned; Haar's boxes of real faces have 0.7 to 0.9 mostly


class FoundFace(NamedTuple):
    """A face in a photo: the detector's box, (189, 2) landmarks in pixels of the photo, sureness 0..1.

    quarters: how many quarter turns clockwise the photo lies turned. Box and landmarks are in its pixels as they are.
    """

    box: Face
    points: np.ndarray
    sureness: float
    quarters: int = 0


def find_faces(rgb: np.ndarray, detector: Detector | None = None) -> list[FoundFace]:
    """Faces in (H, W, 3) uint8 RGB, largest first; boxes in which the landmark network sees no face are left out.

    A photo in which no good face is seen may lie on its side or upside down: it is looked at that way too.
    detector: `open_detector()` when None.
    """
    detector = detector or open_detector()
    upright = _faces(rgb, detector.find(rgb))
    if _holds_a_good_one(upright):
        return upright
    small, scale = at_detection_size(rgb)
    seen = [upright]
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(small, quarters))
        boxes = [_turned_back(box, quarters, small.shape, scale) for box in detector.find(turned)]
        faces = _faces(rgb, [box for box in boxes if box.score >= BOX_ON_ITS_SIDE], quarters)
        seen.append(faces if _holds_a_good_one(faces) else [face for face in faces if face.sureness >= SURE_TURNED])
    return max(seen, key=lambda faces: sum(face.sureness for face in faces if _stands(face)))


def _faces(rgb: np.ndarray, boxes: list[Face], quarters: int = 0) -> list[FoundFace]:
    landmarks = Landmarks.load()
    faces: list[FoundFace] = []
    proposed = [_look(landmarks, rgb, box, quarters) for box in boxes]
    for found in sorted(proposed, key=lambda face: -face.sureness):
        if found.sureness >= SURE and not any(_share_an_eye(found, other) for other in faces):
            faces.append(found)
    return sorted(faces, key=lambda face: -interocular(face.points))


def _look(landmarks: Landmarks, rgb: np.ndarray, box: Face, quarters: int) -> FoundFace:
    found = FoundFace(box, *landmarks.look(rgb, box, 90.0 * quarters), quarters)
    if found.sureness < SURE and box.score > BOX_TURNED:
        looks = (landmarks.look(rgb, box, 90.0 * quarters + turn) for turn in TURNS)
        turned = max(looks, key=lambda located: located.sureness)
        if turned.sureness >= SURE_TURNED:
            return FoundFace(box, *turned, quarters)
    return found


def _turned_back(box: Face, quarters: int, shape: tuple[int, ...], scale: float) -> Face:
    """A box of a small photo, `shape` before it was turned, in pixels of the whole photo as it lies."""
    height, width = shape[:2]
    # From the turned photo to the one that lies, where pixel centres are at whole numbers, as numpy.rot90 has it.
    back = {
        1: np.array([[0.0, -1, width - 1], [1, 0, 0]]),
        2: np.array([[-1.0, 0, width - 1], [0, -1, height - 1]]),
        3: np.array([[0.0, 1, 0], [-1, 0, height - 1]]),
    }[quarters]
    corners = np.array([[box.x, box.y], [box.x + box.width, box.y + box.height]]) - 0.5
    corners = (apply(back, corners) + 0.5) / scale
    points = None if box.points is None else (apply(back, np.asarray(box.points, np.float64)) + 0.5) / scale - 0.5
    low, high = corners.min(0), corners.max(0)
    (x, y), (width, height) = low.tolist(), (high - low).tolist()
    return Face(x, y, width, height, box.score, box.turned, points)


def lean(face: FoundFace) -> float:
    """Degrees by which a head leans clockwise, -180..180, beside a photo that may itself lie turned."""
    across = face.points[1] - face.points[0]
    return float((np.degrees(np.arctan2(across[1], across[0])) - 90 * face.quarters + 180) % 360 - 180)


def _holds_a_good_one(faces: list[FoundFace]) -> bool:
    return any(face.sureness >= GOOD and _stands(face) for face in faces)


def _stands(face: FoundFace) -> bool:
    return abs(lean(face)) <= 45


def interocular(points: np.ndarray) -> float:
    """Distance of the pupils, in the unit of `points` (N, 2)."""
    return float(np.linalg.norm(points[1] - points[0]))


def _share_an_eye(one: FoundFace, other: FoundFace) -> bool:
    """True for one face proposed twice, or half of it taken for a whole one: the surer of the two is right."""
    apart = np.linalg.norm(one.points[:2, None] - other.points[None, :2], axis=-1).min()
    return bool(apart < 0.3 * max(interocular(one.points), interocular(other.points)))
