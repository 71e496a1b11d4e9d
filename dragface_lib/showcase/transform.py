"""A photo in drag: find its faces, align them as in training, translate them, put them back.

    picture = transform("selfie.jpg")                          # the starter called classic
    picture = transform("selfie.jpg", load_generator("runs/mine/generator.safetensors"), strength=0.8)

The command `python -m dragface_lib transform` and the widget call the same functions.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import torch
from PIL import Image
from torchvision.transforms.v2 import functional as TF

from ..crop.align import ALIGNMENT, aligned_face, apply, similarity
from ..crop.find import Face, find_faces
from ..crop.landmarks import face_mask, smoothstep
from ..errors import DragFaceError
from ..images import UnreadablePhoto, open_photo
from ..model import Generator, load_look
from ..model.generator import to_unit
from .drag_photo import FACE_SIZE, DragFace, DragPhoto

Photo = str | Path | bytes | BinaryIO | Image.Image | np.ndarray
Tell = Callable[[str], None]


class NoFace(DragFaceError):
    """A photo in which no face was found."""


def example_photo() -> np.ndarray:
    """(384, 384, 3) uint8 RGB: a portrait in the public domain, from scikit-image."""
    from skimage import data  # takes a second

    return np.ascontiguousarray(data.astronaut()[:384, 40:424])


def transform(photo: Photo, generator: Generator | None = None, strength: float = 1.0) -> np.ndarray:
    """The drag version of a photo: all faces translated, everything else as it was.

    photo: a path, the bytes of a picture file, a picture of Pillow's, or (H, W, 3) uint8 RGB. generator: selfie to
    drag, the starter when None. strength: 0..1.5, how much of the change is applied; 0 returns the photo unchanged.
    Returns (H, W, 3) uint8 RGB. Raises NoFace when there is no face in it, UnreadablePhoto when it is not a
    picture, DragFaceError for a strength out of range or a generator that does not fit.
    """
    return make_drag(photo, generator).at(strength)


def make_drag(
    photo: Photo | DragPhoto, generator: Generator | None = None, tell: Tell = lambda sentence: None
) -> DragPhoto:
    """Translate the faces of a photo; the result gives the picture at any strength (see `transform`).

    photo: or what this returned for another generator: its faces are not looked for again. tell: called with a short
    sentence before each part of the work. Raises what `transform` raises.
    """
    generator = generator or load_look("classic")
    alignment = generator.metadata.get("alignment", ALIGNMENT)
    if alignment != ALIGNMENT:
        raise DragFaceError(
            f"This generator was trained on faces aligned as {alignment}, and this version aligns them as "
            f"{ALIGNMENT}: use the version that trained it, or train it again."
        )
    drags, (rgb, faces) = [], _faces_in(photo, tell)
    for number, face in enumerate(faces):
        tell("Painting" if len(faces) == 1 else f"Painting {len(faces)} faces ({number} done)")
        drags.append(_translate(rgb, face, generator))
    return DragPhoto(rgb, tuple(drags), generator.metadata.get("look", "drag"))


def crop_only(photo: Photo) -> list[np.ndarray]:
    """The aligned faces of a photo, largest first: a list of (256, 256, 3) uint8 RGB, as training sees them.

    Raises NoFace and UnreadablePhoto as `transform` does.
    """
    rgb, faces = _faces_in(photo)
    return [aligned_face(rgb, face.points, FACE_SIZE) for face in faces]


def _faces_in(photo: Photo | DragPhoto, tell: Tell = lambda sentence: None) -> tuple[np.ndarray, list[Face]]:
    """The photo as (H, W, 3) uint8 RGB, and its faces, largest first."""
    if isinstance(photo, DragPhoto):
        return photo.photo, [face.face for face in photo.faces]
    tell("Reading the photo")
    if not isinstance(photo, np.ndarray):
        rgb = open_photo(photo)
    elif photo.dtype == np.uint8 and photo.shape[2:] in ((), (3,), (4,)) and photo.ndim > 1 and photo.size:
        rgb = photo if photo.shape[2:] == (3,) else open_photo(Image.fromarray(photo))
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


def _translate(rgb: np.ndarray, face: Face, generator: Generator) -> DragFace:
    """The generator's change of a face."""
    size = generator.size
    crop = torch.from_numpy(aligned_face(rgb, face.points, FACE_SIZE)).permute(2, 0, 1)[None]
    with torch.inference_mode():
        # Resized from 256 px as in training.
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
