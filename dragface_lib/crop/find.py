"""Find the faces in a photo, with landmarks: cropping and the showcase both start here.

for face in find_faces(rgb):
    crop = aligned_face(rgb, face.points, 256)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .align import interocular
from .detect import LONGEST_SIDE, Box, Detector, open_detector
from .landmarks import FACE_CONFIDENCE, Landmarks

GOOD_CONFIDENCE = 0.97  # minimum landmark confidence of an upright face that ends the search
OTHER_CONFIDENCE = 0.9  # minimum landmark confidence for tilted crops and for the other searches
TILTS = (-40.0, 40.0)  # degrees to try for a head that is not recognised upright
TILTED_BOX_SCORE = 0.85  # minimum detector score for tilted crops
OTHER_BOX_SCORE = 0.7  # minimum detector score in the other searches; Haar gives real faces 0.7 to 0.9
CLOSE_UP_SIDE = 256  # longest side, in pixels, at which YuNet sees faces that fill the photo
CROWD_SIDE = 1280  # longest side, in pixels, at which YuNet sees faces of a fiftieth of it
# Longest side and quarter turns of the photo in each further search.
OTHER_SEARCHES = ((CLOSE_UP_SIDE, 0), (CROWD_SIDE, 0), (LONGEST_SIDE, 1), (LONGEST_SIDE, 2), (LONGEST_SIDE, 3))


class Face(NamedTuple):
    """A face in a photo.

    box: the detector's. points: (189, 2) landmarks. Both are in pixels of the photo as it lies.
    confidence: of the landmark network that this is a face, 0..1. quarters: how many quarter turns clockwise the
    photo lies turned.
    """

    box: Box
    points: np.ndarray
    confidence: float
    quarters: int = 0

    @property
    def upright(self) -> bool:
        """Whether the head leans by at most 45 degrees once the photo is turned upright."""
        x, y = self.points[1] - self.points[0]
        lean = np.degrees(np.arctan2(y, x)) - 90 * self.quarters
        return bool(abs((lean + 180) % 360 - 180) <= 45)


def find_faces(rgb: np.ndarray, detector: Detector | None = None) -> list[Face]:
    """Faces in (H, W, 3) uint8 RGB, largest first; boxes in which the landmark network sees no face are left out.

    Without a good face, the photo may be a close-up, show small faces, lie on its side or upside down: it is searched
    smaller, larger and turned. detector: `open_detector()` when None.
    """
    detector = detector or open_detector()
    best = _locate(rgb, detector.find(rgb))
    if _has_good_face(best):
        return best
    for longest_side, quarters in OTHER_SEARCHES:
        boxes = detector.find(rgb, longest_side, quarters)
        faces = _locate(rgb, [box for box in boxes if box.score >= OTHER_BOX_SCORE], quarters)
        if not _has_good_face(faces):
            faces = [face for face in faces if face.confidence >= OTHER_CONFIDENCE]
        best = max(best, faces, key=lambda faces: sum(face.confidence for face in faces if face.upright))
    return best


def _locate(rgb: np.ndarray, boxes: list[Box], quarters: int = 0) -> list[Face]:
    """The faces in these boxes, largest first, without duplicates."""
    faces: list[Face] = []
    located = [_locate_in(rgb, box, quarters) for box in boxes]
    for face in sorted(located, key=lambda face: -face.confidence):
        if face.confidence >= FACE_CONFIDENCE and not any(_share_an_eye(face, known) for known in faces):
            faces.append(face)
    return sorted(faces, key=lambda face: -interocular(face.points))


def _locate_in(rgb: np.ndarray, box: Box, quarters: int) -> Face:
    def at(tilt: float) -> Face:
        return Face(box, *Landmarks.load().locate(rgb, box, 90.0 * quarters + tilt), quarters)

    face = at(0.0)
    if face.confidence < FACE_CONFIDENCE and box.score > TILTED_BOX_SCORE:
        surest = max(map(at, TILTS), key=lambda face: face.confidence)
        return surest if surest.confidence >= OTHER_CONFIDENCE else face
    return face


def _has_good_face(faces: list[Face]) -> bool:
    return any(face.confidence >= GOOD_CONFIDENCE and face.upright for face in faces)


def _share_an_eye(first: Face, second: Face) -> bool:
    """Whether two boxes show the same face, or one of them half of it: the surer one is right."""
    apart = np.linalg.norm(first.points[:2, None] - second.points[None, :2], axis=-1).min()
    return bool(apart < 0.3 * max(interocular(first.points), interocular(second.points)))
