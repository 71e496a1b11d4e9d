"""What the widget shows of a photo in drag: all of it or its faces alone, the heat map, and remarks on the faces.

picture = view(drag, strength=1.0, alone=True, longest_side=1000)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from matplotlib import colormaps

from ..crop.align import aligned_face, interocular
from ..crop.measure import head_pose
from ..errors import DragFaceError
from ..images import contact_sheet, resize
from .blend import shrunk_matrix
from .transform import DragFace, DragPhoto

MIN_FACE, MAX_FACE = 256, 1024  # pixels a side of a face that is shown alone
CLOSER = 4  # how much larger the photo is made of which faces are shown alone
HEAT = 0.75  # opacity of the heat map
MAX_YAW = 30.0  # degrees to the side, beyond which make-up sits badly
MAX_OUTSIDE = 0.15  # share of the landmarks that may lie outside the photo
MIN_EYES = 16.0  # pixels between the pupils, below which a face is too small


def only(drag: DragPhoto, chosen: Sequence[int] | None) -> DragPhoto:
    """The photo with the chosen faces alone in drag; all when None. Raises DragFaceError when none is chosen."""
    if chosen is None:
        return drag
    if not chosen:
        raise DragFaceError("No face is chosen: choose at least one.")
    return replace(drag, faces=tuple(drag.faces[number] for number in chosen))


def view(
    drag: DragPhoto, strength: float, alone: bool = False, longest_side: int | None = None, heat: bool = False
) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the photo in drag, or its faces alone; see `DragPhoto.at` for strength and longest_side.

    heat: with the CAM's heat map over each face: bright is where the generator looked most.
    """
    picture = drag.at(strength, longest_side and longest_side * (CLOSER if alone else 1))
    factor = np.array(drag.photo.shape[1::-1]) / picture.shape[1::-1]
    for face in drag.faces if heat else ():
        matrix, flags = shrunk_matrix(face.matrix, factor), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        layer = cv2.warpAffine(_heat(face), matrix, picture.shape[1::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT)
        opacity = layer[:, :, 3:]
        picture = (picture * (1 - opacity) + layer[:, :, :3] * opacity).round().astype(np.uint8)
    if not alone:
        return picture
    points = [(face.face.points + 0.5) / factor - 0.5 for face in drag.faces]
    columns = math.ceil(math.sqrt(len(points)))
    size = int(np.clip(4 * max(interocular(p) for p in points), MIN_FACE, MAX_FACE))
    if longest_side:
        size = min(size, longest_side // columns)
    return contact_sheet([aligned_face(picture, p, size) for p in points], columns, size)


def _heat(face: DragFace) -> np.ndarray:
    """(S, S, 4) float32: the attention in colours of 0..255, and their opacity in 0..1, which fades at the border."""
    size = face.change.shape[0]
    low, high = np.percentile(face.attention, (2, 98))  # a single bright spot must not darken the rest
    looked = np.clip(resize((face.attention - low) / max(high - low, 1e-9), size, size), 0, 1)
    colours = colormaps["inferno"](looked)[:, :, :3] * 255
    from_border = np.minimum(np.arange(size), np.arange(size)[::-1]) / (size / 8)
    opacity = HEAT * np.minimum.outer(from_border, from_border).clip(0, 1)
    return np.dstack([colours, opacity]).astype(np.float32)


def remarks(drag: DragPhoto) -> str:
    """What a person should know about these faces, in a sentence each; empty when all is well."""
    numbers: dict[str, list[str]] = {}
    for number, face in enumerate(drag.faces, 1):
        for remark in _remarks_on(face, drag.photo):
            numbers.setdefault(remark, []).append(str(number))
    if len(drag.faces) == 1:
        return " ".join(f"This face is {remark}." for remark in numbers)
    return " ".join(f"Face {', '.join(faces)}: {remark}." for remark, faces in numbers.items())


def _remarks_on(face: DragFace, photo: np.ndarray) -> list[str]:
    points = face.face.points
    outside = ((points < 0) | (points >= photo.shape[1::-1])).any(axis=1).mean()
    remarks = {
        "turned far to the side, and make-up sits badly there": abs(head_pose(face.face)[0]) > MAX_YAW,
        "cut off by the edge of the photo, so the rest is a guess": outside > MAX_OUTSIDE,
        "very small: a larger photo shows more": interocular(points) < MIN_EYES,
        "made up already in the eyes of this look, which changes little then": face.cam_logit < 0,
    }
    return [remark for remark, holds in remarks.items() if holds]
