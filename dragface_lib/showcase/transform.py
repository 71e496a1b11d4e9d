"""A photo in drag: find its faces, align them as in training, translate them, put them back.

    picture = transform("selfie.jpg")                          # the starter called classic
    picture = transform("selfie.jpg", load_generator("runs/mine/generator.safetensors"), strength=0.8)

The command `python -m dragface_lib transform` and the widget call the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torchvision.transforms.v2 import functional as TF

from ..crop.align import ALIGNMENT, aligned_face, apply, similarity
from ..crop.find import Face, find_faces
from ..crop.masks import face_mask
from ..errors import DragFaceError
from ..images import UnreadablePhoto, encode_photo, open_photo, resize
from ..model import Generator
from ..model.generator import to_unit
from .blend import add_change, change_between, shrunk_matrix
from .looks import load_look

STRONGEST = 1.5
FACE_SIZE = 256  # pixels of the crops that training reads

Photo = str | Path | bytes | BinaryIO | np.ndarray
Tell = Callable[[str], None]


class NoFace(DragFaceError):
    """A photo in which no face was found."""


class DragFace(NamedTuple):
    """A translated face: where it is, and what to add to the photo there.

    matrix: (2, 3), from pixels of the photo to those of the change; change: (S, S, 3) float32, -255..255,
    already faded out by the mask of the face. attention: (S/4, S/4) float32, 0 or more, where the generator looked.
    cam_logit: how sure the generator is that this is a bare face; below 0 it takes it for made up, and changes little.
    """

    face: Face
    matrix: np.ndarray
    change: np.ndarray
    attention: np.ndarray
    cam_logit: float


@dataclass(frozen=True)
class DragPhoto:
    """A photo and the changes that make it drag: one translation serves every strength and every size.

    photo: (H, W, 3) uint8 RGB as it was; faces: largest first; look: what the generator calls its style.
    """

    photo: np.ndarray
    faces: tuple[DragFace, ...]
    look: str = "drag"

    def at(self, strength: float = 1.0, longest_side: int | None = None) -> np.ndarray:
        """The whole photo with the drag at `strength` (0 the photo itself, 1 as learned, at most 1.5).

        longest_side: shrink the picture to this many pixels first. Returns (height, width, 3) uint8 RGB, a
        new array. Raises DragFaceError for a strength out of range.
        """
        strength = checked_strength(strength)
        height, width = self.photo.shape[:2]
        scale = (longest_side or max(height, width)) / max(height, width)
        smaller = max(1, round(height * scale)), max(1, round(width * scale))
        picture = resize(self.photo, *smaller) if scale < 1 else self.photo.copy()
        factor = np.array([width, height]) / picture.shape[1::-1]
        for face in self.faces if strength else ():
            add_change(picture, face.change * np.float32(strength), shrunk_matrix(face.matrix, factor))
        return picture

    def before_after(self, longest_side: int = 800) -> np.ndarray:
        """The photo and its drag side by side, each at most so large, with a white gap: (H, W, 3) uint8 RGB."""
        before, after = (self.at(strength, longest_side) for strength in (0, 1))
        return np.hstack([before, np.full((len(before), 8, 3), 255, np.uint8), after])


def example_photo() -> np.ndarray:
    """(384, 384, 3) uint8 RGB: a portrait in the public domain, from scikit-image."""
    from skimage import data  # takes a second

    return np.ascontiguousarray(data.astronaut()[:384, 40:424])


def checked_strength(strength: float) -> float:
    """The strength, or DragFaceError when it is out of range."""
    if not 0 <= strength <= STRONGEST:  # also refuses NaN
        raise DragFaceError(f"The strength {strength} is out of range: choose 0 to {STRONGEST}, where 1 is normal.")
    return float(strength)


def transform(photo: Photo, generator: Generator | None = None, strength: float = 1.0) -> np.ndarray:
    """The drag version of a photo: all faces translated, everything else as it was.

    photo: a path, the bytes of a picture file, or (H, W, 3) uint8 RGB. generator: selfie to drag, the
    starter when None. strength: 0..1.5, how much of the change is applied; 0 returns the photo unchanged.
    Returns (H, W, 3) uint8 RGB. Raises NoFace when there is no face in it, UnreadablePhoto when it is not a
    picture, DragFaceError for a strength out of range or a generator that does not fit.
    """
    checked_strength(strength)
    return make_drag(photo, generator).at(strength)


def make_drag(photo: Photo, generator: Generator | None = None, tell: Tell = lambda sentence: None) -> DragPhoto:
    """Translate the faces of a photo; the result gives the picture at any strength (see `transform`).

    tell: called with a short sentence before each part of the work. Raises what `transform` raises.
    """
    rgb, faces = _faces_in(photo, tell)
    return _translated(rgb, faces, generator, tell)


def repaint(drag: DragPhoto, generator: Generator | None = None, tell: Tell = lambda sentence: None) -> DragPhoto:
    """The same photo by another generator; its faces are not looked for again. See `make_drag`."""
    return _translated(drag.photo, [face.face for face in drag.faces], generator, tell)


def crop_only(photo: Photo) -> list[np.ndarray]:
    """The aligned faces of a photo, largest first: a list of (256, 256, 3) uint8 RGB, as training sees them.

    Raises NoFace and UnreadablePhoto as `transform` does.
    """
    rgb, faces = _faces_in(photo)
    return [aligned_face(rgb, face.points, FACE_SIZE) for face in faces]


def _faces_in(photo: Photo, tell: Tell = lambda sentence: None) -> tuple[np.ndarray, list[Face]]:
    """The photo as (H, W, 3) uint8 RGB, and its faces, largest first."""
    tell("Reading the photo")
    if not isinstance(photo, np.ndarray):
        rgb = open_photo(photo)
    elif photo.dtype == np.uint8 and photo.shape[2:] in ((), (3,), (4,)) and photo.ndim > 1 and photo.size:
        rgb = photo if photo.shape[2:] == (3,) else open_photo(encode_photo(photo, "PNG"))
    else:
        raise UnreadablePhoto(
            f"An array of shape {photo.shape} and type {photo.dtype} is no photo: use (height, width, 3) uint8 RGB."
        )
    tell("Looking for faces")
    faces = find_faces(rgb)
    if not faces:
        name = photo if isinstance(photo, (str, Path)) else getattr(photo, "name", "this photo")
        raise NoFace(f"No face was found in {name}: choose one in which a face looks towards the camera.")
    return rgb, faces


def _translated(rgb: np.ndarray, faces: list[Face], generator: Generator | None, tell: Tell) -> DragPhoto:
    generator = generator or load_look("classic")
    alignment = generator.metadata.get("alignment", ALIGNMENT)
    if alignment != ALIGNMENT:
        raise DragFaceError(
            f"This generator was trained on faces aligned as {alignment}, and this version aligns them as "
            f"{ALIGNMENT}: use the version that trained it, or train it again."
        )
    drags = []
    for number, face in enumerate(faces):
        tell("Painting" if len(faces) == 1 else f"Painting {len(faces)} faces ({number} done)")
        drags.append(_translate(rgb, face, generator))
    return DragPhoto(rgb, tuple(drags), generator.metadata.get("look", "drag"))


def _translate(rgb: np.ndarray, face: Face, generator: Generator) -> DragFace:
    """What the generator changes on a face."""
    size = generator.size
    crop = torch.from_numpy(aligned_face(rgb, face.points, FACE_SIZE)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        # From 256 px by the very function that training resizes with.
        bare = to_unit(TF.resize(crop, [size, size], antialias=True))  # (1, 3, S, S)
        drag = generator(bare.to(next(generator.parameters()).device))
        painted, logits, attention = (part[0].float().cpu() for part in drag)
    if not torch.isfinite(painted).all():
        raise DragFaceError("This generator returns no picture (its training broke down): choose an earlier one.")
    before, after = (((x + 1) * 127.5).permute(1, 2, 0).numpy() for x in (bare[0], painted))
    matrix = similarity(face.points, size)
    change = change_between(before, after, redrawn=generator.form == "published")
    change *= face_mask(apply(matrix, face.points), size)[:, :, None]
    return DragFace(face, matrix, change, attention[0].numpy(), float(logits[1]))
