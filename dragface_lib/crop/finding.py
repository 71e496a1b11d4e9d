"""Find the faces in a photo, with landmarks: what cropping and the showcase both start from.

for found in find_faces(rgb):
    face = crop_face(rgb, similarity(found.points))
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .detect import Detector, Face, open_detector
from .landmarks import SURE, Landmarks

TURNS = (-40.0, 40.0)  # degrees: how heads are held that it does not recognise upright
SURE_TURNED = 0.9  # more looks are more chances to err,
BOX_TURNED = 0.85  # so the detector must be sure too: what the Haar cascade takes for faces in leaves scores less


class FoundFace(NamedTuple):
    """A face in a photo: the detector's box, (189, 2) landmarks in pixels of the photo, sureness 0..1."""

    box: Face
    points: np.ndarray
    sureness: float


def find_faces(rgb: np.ndarray, detector: Detector | None = None) -> list[FoundFace]:
    """Faces in (H, W, 3) uint8 RGB, largest first; boxes in which the landmark network sees no face are left out.

    detector: `open_detector()` when None.
    """
    landmarks = Landmarks.load()
    faces: list[FoundFace] = []
    proposed = [_look(landmarks, rgb, box) for box in (detector or open_detector()).find(rgb)]
    for found in sorted(proposed, key=lambda face: -face.sureness):
        if found.sureness >= SURE and not any(_share_an_eye(found, other) for other in faces):
            faces.append(found)
    return sorted(faces, key=lambda face: -interocular(face.points))


def _look(landmarks: Landmarks, rgb: np.ndarray, box: Face) -> FoundFace:
    found = FoundFace(box, *landmarks.look(rgb, box))
    if found.sureness < SURE and box.score > BOX_TURNED:
        turned = max((landmarks.look(rgb, box, turn) for turn in TURNS), key=lambda located: located.sureness)
        if turned.sureness >= SURE_TURNED:
            return FoundFace(box, *turned)
    return found


def interocular(points: np.ndarray) -> float:
    """Distance of the pupils, in the unit of `points` (N, 2)."""
    return float(np.linalg.norm(points[1] - points[0]))


def _share_an_eye(one: FoundFace, other: FoundFace) -> bool:
    """True for one face proposed twice, or half of it taken for a whole one: the surer of the two is right."""
    apart = np.linalg.norm(one.points[:2, None] - other.points[None, :2], axis=-1).min()
    return bool(apart < 0.3 * max(interocular(one.points), interocular(other.points)))
