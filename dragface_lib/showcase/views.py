"""What the widget shows of a photo in drag: the whole of it or its faces alone, where the generator looked, and what
is to be said about it in a sentence.

    view = painted(drag, strength=1.0, alone=True, longest_side=1000)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from matplotlib import colormaps

from ..crop.align import aligned_face, apply, interocular
from ..crop.pose import head_pose
from ..errors import DragFaceError
from ..images import contact_sheet, resize
from .blending import shrunk_matrix
from .transforming import DragFace, DragPhoto

SMALLEST_FACE, LARGEST_FACE = 256, 1024  # pixels a side of a face that is shown alone
HEAT = 0.75  # opacity of the heat map
# Beyond these a face comes out badly: degrees to the side, share of landmarks outside, pixels between the pupils.
TURNED, CUT, SMALL = 30.0, 0.15, 16.0


def only(drag: DragPhoto, chosen: Sequence[int] | None) -> DragPhoto:
    """The photo with the chosen faces alone in drag; all when None. Raises DragFaceError when none is chosen."""
    if chosen is None:
        return drag
    faces = tuple(face for number, face in enumerate(drag.faces) if number in set(chosen))
    if not faces:
        raise DragFaceError("No face is chosen: choose at least one.")
    return replace(drag, faces=faces)


def painted(drag: DragPhoto, strength: float, alone: bool = False, longest_side: int | None = None) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the photo in drag, or its faces alone; see `DragPhoto.at` for the other arguments."""
    return _framed(drag, drag.at(strength, _side(drag, alone, longest_side)), alone, longest_side)


def attention(drag: DragPhoto, alone: bool = False, longest_side: int | None = None) -> np.ndarray:
    """The same view with the CAM's heat map over each face: bright is where the generator looked most."""
    picture = drag.at(0, _side(drag, alone, longest_side))
    factor = np.array(drag.photo.shape[1::-1]) / picture.shape[1::-1]
    for face in drag.faces:
        _lay_over(picture, _heat(face), shrunk_matrix(face.matrix, factor))
    return _framed(drag, picture, alone, longest_side)


def _heat(face: DragFace) -> np.ndarray:
    """(S, S, 4) float32: the attention in colours of 0..255, and their opacity in 0..1, which fades at the border."""
    size = face.change.shape[0]
    low, high = np.percentile(face.attention, (2, 98))  # a single bright spot must not darken the rest
    looked = np.clip(resize((face.attention - low) / max(high - low, 1e-9), size, size), 0, 1)
    colours = colormaps["inferno"](looked)[:, :, :3] * 255
    from_border = np.minimum(np.arange(size), np.arange(size)[::-1]) / (size / 8)
    opacity = HEAT * np.clip(np.minimum(from_border[:, None], from_border), 0, 1)
    return np.dstack([colours, opacity]).astype(np.float32)


def _lay_over(picture: np.ndarray, layer: np.ndarray, matrix: np.ndarray) -> None:
    """Lay a layer over the picture, in place; matrix: (2, 3), from pixels of the picture to those of the layer."""
    size = layer.shape[0]
    corners = apply(cv2.invertAffineTransform(matrix), np.array([[0, 0], [size, 0], [0, size], [size, size]], float))
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, picture.shape[1::-1]).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), 0, picture.shape[1::-1]).astype(int)
    part = picture[top:bottom, left:right]
    if part.size:
        here = np.column_stack([matrix[:, :2], matrix[:, 2] + matrix[:, :2] @ (left, top)])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        warped = cv2.warpAffine(layer, here, part.shape[1::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT)
        opacity = warped[:, :, 3:]
        part[...] = (part * (1 - opacity) + warped[:, :, :3] * opacity).round()


def places(drag: DragPhoto) -> list[list[float]]:
    """Where each face lies: left, top, width and height in parts of the photo's."""
    size = np.array(drag.photo.shape[1::-1], np.float64)
    boxes = []
    for face in drag.faces:
        low, high = face.found.points.min(axis=0) / size, face.found.points.max(axis=0) / size
        low, high = np.clip([low - 0.1 * (high - low), high + 0.1 * (high - low)], 0, 1)
        boxes.append([round(float(value), 4) for value in (*low, *(high - low))])
    return boxes


def thumbnails(drag: DragPhoto, size: int = 88) -> list[np.ndarray]:
    """Each face as it was, (size, size, 3) uint8 RGB."""
    return [aligned_face(drag.photo, face.found.points, size) for face in drag.faces]


def remarks(drag: DragPhoto) -> str:
    """What a person should know about these faces, in a sentence each; empty when all is well."""
    kinds = {
        "turned far to the side, and make-up sits badly there": _is_turned,
        "cut off by the edge of the photo, so the rest is a guess": lambda drag, face: _outside(drag, face) > CUT,
        "very small: a larger photo shows more": lambda drag, face: interocular(face.found.points) < SMALL,
        "made up already in the eyes of this look, which changes little then": lambda drag, face: face.cam_logit < 0,
    }
    sentences = []
    for remark, holds in kinds.items():
        numbers = [str(number + 1) for number, face in enumerate(drag.faces) if holds(drag, face)]
        if numbers and len(drag.faces) == 1:
            sentences.append(f"This face is {remark}.")
        elif len(numbers) == 1:
            sentences.append(f"Face {numbers[0]} is {remark}.")
        elif numbers:
            sentences.append(f"Faces {', '.join(numbers[:-1])} and {numbers[-1]} are {remark}.")
    return " ".join(sentences)


def _is_turned(_: DragPhoto, face: DragFace) -> bool:
    return abs(head_pose(face.found)[0]) > TURNED


def _outside(drag: DragPhoto, face: DragFace) -> float:
    """Share of a face's landmarks outside the photo."""
    points = face.found.points
    return float(((points < 0) | (points >= drag.photo.shape[1::-1])).any(axis=1).mean())


def _side(drag: DragPhoto, alone: bool, longest_side: int | None) -> int | None:
    """The photo's longest side from which a view of `longest_side` can be made without enlarging anything twice."""
    if not alone or longest_side is None:
        return longest_side
    smallest = min(interocular(face.found.points) for face in drag.faces) * 4
    return math.ceil(max(drag.photo.shape[:2]) * min(1.0, longest_side / smallest))


def _framed(drag: DragPhoto, picture: np.ndarray, alone: bool, longest_side: int | None) -> np.ndarray:
    """The picture (the photo at any size) itself, or its faces side by side."""
    if not alone:
        return picture
    scale = np.array(picture.shape[1::-1]) / drag.photo.shape[1::-1]
    points = [(face.found.points + 0.5) * scale - 0.5 for face in drag.faces]
    columns = math.ceil(math.sqrt(len(points)))
    most = min(LARGEST_FACE, (longest_side or columns * LARGEST_FACE) // columns)
    size = int(np.clip(4 * max(interocular(p) for p in points), min(SMALLEST_FACE, most), most))
    faces = [aligned_face(picture, p, size) for p in points]
    return faces[0] if len(faces) == 1 else contact_sheet(faces, columns, size)
