"""A photo in drag: its faces and the change of each. It gives the picture at any strength and size.

    picture = drag.at(strength=0.8)
    picture = drag.only([0]).view(strength=1.0, alone=True, longest_side=1000)

The generator sees a face of 64 to 512 pixels, the photo may have a hundred megapixels. What is added is therefore the
change that the generator made, in the soft mask of the face: the photo keeps its own pores, lashes and grain, and where
nothing changed every pixel stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from ..crop.align import aligned_face, apply, interocular
from ..crop.find import Face
from ..crop.measure import measure
from ..errors import DragFaceError
from ..images import contact_sheet, resize

STRONGEST = 1.5
SHEET_SIDE = 800  # longest side of each half of a before/after picture
MAX_ENLARGEMENT = 4  # a change that must be enlarged more is first enlarged smoothly by this factor
FACE_SIZE = 256  # pixels of the crops of training, and of those that remarks are based on
MIN_FACE, MAX_FACE = 256, 1024  # pixels a side of a face that is shown alone
CLOSER = 4  # enlargement of the photo before faces are cut out of it to be shown alone
HEAT = 0.75  # opacity of the heat map
# Remarks on a face, and their conditions on the numbers of `measure` and two numbers of the generator.
REMARKS: dict[str, Callable[[Mapping[str, float]], bool]] = {
    "turned far to the side, and make-up sits badly there": lambda n: abs(n["yaw"]) > 30,
    "cut off by the edge of the photo, so the rest is a guess": lambda n: n["cut"] > 0.15,
    "very small: a larger photo shows more": lambda n: n["eyes"] < 16,
    "very dark: a photo in better light shows more": lambda n: n["brightness"] < 60,
    # Most faces with a phone before the mouth have more than 0.72; of other faces 3 in 100, most of them with beards.
    "partly hidden, perhaps by a phone, and make-up is painted over it": lambda n: n["covered"] > 0.72,
    # Of 255; the starters change most faces by 20 to 35.
    "hardly changed: choose another look, or more strength": lambda n: n["change"] < 5,
    "made up already in the eyes of this look, which changes little then": lambda n: n["cam_logit"] < 0,
}


class DragFace(NamedTuple):
    """A translated face: its place, and the change to add to the photo.

    matrix: (2, 3), from pixels of the photo to those of the change; change: (S, S, 3) float32, -255..255,
    already faded out by the mask of the face. attention: (S/4, S/4) float32, 0 or more, where the generator looked.
    cam_logit: the generator's certainty that this face is bare; below 0 it sees a face in make-up, and changes little.
    """

    face: Face
    matrix: np.ndarray
    change: np.ndarray
    attention: np.ndarray
    cam_logit: float


@dataclass(frozen=True)
class DragPhoto:
    """A photo and its changes: one translation serves every strength and every size.

    photo: (H, W, 3) uint8 RGB as it was; faces: largest first; look: the name of the generator's style.
    """

    photo: np.ndarray
    faces: tuple[DragFace, ...]
    look: str = "drag"

    def at(self, strength: float = 1.0, longest_side: int | None = None) -> np.ndarray:
        """The whole photo with the drag at `strength` (0 the photo itself, 1 as learned, at most 1.5).

        longest_side: shrink the picture to this many pixels first. Returns (height, width, 3) uint8 RGB, a
        new array. Raises DragFaceError for a strength out of range.
        """
        if not 0 <= strength <= STRONGEST:  # also refuses NaN
            raise DragFaceError(f"The strength {strength} is out of range: choose 0 to {STRONGEST}, where 1 is normal.")
        height, width = self.photo.shape[:2]
        scale = (longest_side or max(height, width)) / max(height, width)
        smaller = max(1, round(height * scale)), max(1, round(width * scale))
        picture = resize(self.photo, *smaller) if scale < 1 else self.photo.copy()
        factor = np.array([width, height]) / picture.shape[1::-1]
        for face in self.faces if strength else ():
            add_change(picture, face.change * np.float32(strength), shrunk_matrix(face.matrix, factor))
        return picture

    def before_after(self) -> np.ndarray:
        """The photo and its drag side by side, each at most 800 px large, with a white gap: (H, W, 3) uint8 RGB."""
        before, after = (self.at(strength, SHEET_SIDE) for strength in (0, 1))
        return np.hstack([before, np.full((len(before), 8, 3), 255, np.uint8), after])

    def only(self, chosen: Collection[int] | None) -> DragPhoto:
        """The photo with the chosen faces alone in drag; all when None. Raises DragFaceError when none is chosen."""
        if chosen is None:
            return self
        faces = tuple(face for number, face in enumerate(self.faces) if number in chosen)
        if not faces:
            raise DragFaceError("No face is chosen: choose at least one.")
        return replace(self, faces=faces)

    def view(
        self, strength: float, alone: bool = False, longest_side: int | None = None, heat: bool = False
    ) -> np.ndarray:
        """(H, W, 3) uint8 RGB: the photo in drag, or its faces alone; see `at` for strength and longest_side.

        heat: with the CAM's heat map over each face: bright is where the generator looked most.
        """
        picture = self.at(strength, longest_side and longest_side * (CLOSER if alone else 1))
        factor = np.array(self.photo.shape[1::-1]) / picture.shape[1::-1]
        for face in self.faces if heat else ():
            matrix, flags = shrunk_matrix(face.matrix, factor), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            layer = cv2.warpAffine(_heat(face), matrix, picture.shape[1::-1], flags=flags)
            opacity = layer[:, :, 3:]
            picture = (picture * (1 - opacity) + layer[:, :, :3] * opacity).round().astype(np.uint8)
        if not alone:
            return picture
        points = [(face.face.points + 0.5) / factor - 0.5 for face in self.faces]
        columns = math.ceil(math.sqrt(len(points)))
        size = int(np.clip(4 * max(interocular(p) for p in points), MIN_FACE, MAX_FACE))
        if longest_side:
            size = min(size, longest_side // columns)
        return contact_sheet([aligned_face(picture, p, size) for p in points], columns, size)

    @cached_property
    def remarks(self) -> str:
        """Remarks on these faces for the user, a sentence each; empty without any."""
        numbers: dict[str, list[str]] = {}
        for number, (face, _, change, _, cam_logit) in enumerate(self.faces, 1):
            measured = measure(self.photo, face, aligned_face(self.photo, face.points, FACE_SIZE))
            middle = slice(len(change) // 4, -len(change) // 4)  # eyes, nose and mouth lie there
            measured |= {"change": float(np.abs(change[middle, middle]).max(axis=2).mean()), "cam_logit": cam_logit}
            for remark in (remark for remark, holds in REMARKS.items() if holds(measured)):
                numbers.setdefault(remark, []).append(str(number))
        if len(self.faces) == 1:
            return " ".join(f"This face is {remark}." for remark in numbers)
        return " ".join(f"Face {', '.join(faces)}: {remark}." for remark, faces in numbers.items())


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
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP  # `matrix` maps the photo to the change
    warped = cv2.warpAffine(change, from_part, part.shape[1::-1], flags=flags, borderMode=cv2.BORDER_CONSTANT)
    part[...] = cv2.add(part, warped, dtype=cv2.CV_8U)  # rounds and saturates


def shrunk_matrix(matrix: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """The (2, 3) matrix from a resized photo to the same crop; factor: old (width, height) / new."""
    # Pixel centres: x_old = (x_new + 0.5) * factor - 0.5
    return np.column_stack([matrix[:, :2] * factor, matrix[:, 2] + matrix[:, :2] @ ((factor - 1) / 2)])


def _heat(face: DragFace) -> np.ndarray:
    """(S, S, 4) float32: the attention in colours of 0..255, and their opacity in 0..1, which fades at the border."""
    size = face.change.shape[0]
    low, high = np.percentile(face.attention, (2, 98))  # a single bright spot must not darken the rest
    looked = np.clip(resize((face.attention - low) / max(high - low, 1e-9), size, size), 0, 1)
    colours = cv2.applyColorMap((looked * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
    from_border = np.minimum(np.arange(size), np.arange(size)[::-1]) / (size / 8)
    opacity = HEAT * np.minimum.outer(from_border, from_border).clip(0, 1)
    return np.dstack([colours, opacity]).astype(np.float32)
