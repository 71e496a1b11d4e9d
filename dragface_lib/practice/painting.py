"""Paint drag make-up on a photo, given the landmarks of its face.

    makeup = draw_makeup("classic", seed=3)
    painted = paint(photo, points, makeup, seed=3)
    painted.photo, painted.mask

Nothing outside the mask changes by a single bit.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from ..crop.align import interocular
from ..crop.landmarks import POINTS
from ..errors import DragFaceError
from .canvas import EYE_OUTLINES, LIP_OUTLINES, Canvas, resized, to_rgb
from .eyes import cover_brows, paint_eyes
from .lips import paint_lips
from .looks import Makeup, draw_makeup
from .skin import SIDES, Skin, foundation, sculpt, study_skin

SMALLEST = 32.0  # Minimum distance of the pupils in pixels.
TURNED = 0.5  # Maximum of `Box.turned`, about 35 degrees: beyond, the far eye's landmarks lie beside the face.
MOST_OUTSIDE = 0.15  # Maximum share of the landmarks outside the photo.
WORKING = (110.0, 300.0)  # Distances of the pupils, in pixels, at which faces are painted; others are resized.
CHEEK_SEEN = 0.1  # Minimum share of skin on a cheek: 0 on a portrait turned by 60 degrees, 0.17 by 35 degrees.
EYE_CONTRAST = 0.25  # Minimum contrast of an eye or its lashes to the skin's lightness; 0.46 is the usual minimum.
LIP_PINKNESS = 1.5  # Minimum pinkness of lips against skin, in CIELAB units.
MOUTH_DARKNESS = 0.3  # Minimum darkness between lips that are not pink, as a share of the skin's lightness.


class Unpaintable(DragFaceError):
    """A face on which make-up would not look right; the reason is a sentence."""


class Painted(NamedTuple):
    """photo: (H, W, 3) uint8 RGB. mask: (H, W) float32, 1 on the face, 0 where make-up changes nothing."""

    photo: np.ndarray
    mask: np.ndarray


def paint(
    photo: np.ndarray,
    points: np.ndarray,
    look: str | Makeup = "classic",
    seed: int | None = 0,
    turned: float = 0.0,
) -> Painted:
    """Put the face of (H, W, 3) uint8 RGB into drag: the same picture for the same arguments.

    points: (189, 2) landmarks in pixels of the photo. look: a make-up, or a look's name, of which `seed` draws one
    (None: its own). turned: `Box.turned`. Raises Unpaintable for a face that is too small, cut off, turned too far
    (by TURNED, or until one cheek is out of sight), or has an eye or the mouth covered; DragFaceError for photos and
    landmarks of the wrong shape.
    """
    makeup = draw_makeup(look, seed) if isinstance(look, str) else look
    points = check_face(photo, points, turned)
    rng = np.random.default_rng([0 if seed is None else seed, 7])
    box = _box(points, photo.shape)
    part, eyes = photo[box], interocular(points)
    # A whole number, or one over one.
    scale = float(np.ceil(WORKING[0] / eyes) / np.ceil(eyes / WORKING[1]))
    local = (points - [box[1].start, box[0].start] + 0.5) * scale - 0.5
    shape = tuple(max(1, round(side * scale)) for side in part.shape[:2])
    large = np.clip(resized(part.astype(np.float32) / 255, shape, cv2.INTER_CUBIC), 0, 1)
    canvas = Canvas.of(large, local, turned)
    before = canvas.lab.copy()
    skin = study_skin(canvas)
    _check_visible(canvas, skin)
    cover_brows(canvas, skin, rng)
    foundation(canvas, skin, makeup)
    sculpt(canvas, skin, makeup)
    paint_eyes(canvas, skin, makeup, rng)
    paint_lips(canvas, skin, makeup)
    canvas.lay(before, skin.frame)
    # The change is added to the photo: resizing costs the photo no sharpness.
    change = resized(to_rgb(canvas.lab) - to_rgb(before), part.shape[:2])
    mask = np.zeros(photo.shape[:2], np.float32)
    mask[box] = np.clip(resized(skin.oval, part.shape[:2]), 0, 1)
    change *= mask[box][..., None] > 0
    result = photo.copy()
    result[box] = np.clip(part + np.round(change * 255), 0, 255).astype(np.uint8)
    return Painted(result, mask)


def check_face(photo: np.ndarray, points: np.ndarray, turned: float) -> np.ndarray:
    """The points as (189, 2) float64; raises as `paint` does for what can be told without colours."""
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        raise DragFaceError(f"The photo is {photo.dtype} of shape {photo.shape}: give (height, width, 3) uint8 RGB.")
    points = np.asarray(points, np.float64)
    if points.shape != (POINTS, 2) or not np.isfinite(points).all():
        raise DragFaceError(f"The landmarks have shape {points.shape}: give ({POINTS}, 2) pixels, all of them numbers.")
    outside = np.any((points < -0.5) | (points > np.array(photo.shape[1::-1]) - 0.5), axis=1)
    if outside[:109].any() or outside.mean() > MOST_OUTSIDE:
        raise Unpaintable("The landmarks lie outside the picture: the face is cut off.")
    eyes = interocular(points)
    if eyes < SMALLEST:
        raise Unpaintable(f"The face is too small: {eyes:.0f} pixels between the eyes, {SMALLEST:.0f} are needed.")
    if abs(turned) > TURNED:
        raise Unpaintable("The face is turned too far to the side.")
    return points


def _check_visible(canvas: Canvas, skin: Skin) -> None:
    """Raise Unpaintable where a cheek, an eye or the mouth is hidden, by colour: landmarks are found there too."""
    p = canvas.points
    for side, (edges, mouth, eye, *_) in SIDES.items():
        corners = np.array([p[eye] + [0, 0.15], *p[list(edges[1:4])], p[mouth] + [0.12 * side, 0]])
        cheek = canvas.fill([corners]) > 0.5
        if cheek.any() and skin.likeness[cheek].mean() < CHEEK_SEEN:
            raise Unpaintable("One side of the face is not seen: it is turned too far, or something hangs before it.")
    differs = canvas.blur(canvas.lab, 0.012) - skin.base
    for outline in EYE_OUTLINES:
        where = canvas.grow(canvas.points[list(outline)], 0.03) > 0.5
        if np.percentile(np.abs(differs[where, 0]), 90) < EYE_CONTRAST * skin.tone[0]:
            raise Unpaintable("An eye is not seen: something of the colour of skin, perhaps a hand, is before it.")
    lips = canvas.fill([canvas.points[list(LIP_OUTLINES[0])]]) > 0.5
    pink = np.percentile(differs[lips, 1] - 0.6 * differs[lips, 2], 88)
    if pink < LIP_PINKNESS and np.percentile(-differs[lips, 0], 95) < MOUTH_DARKNESS * skin.tone[0]:
        raise Unpaintable("The mouth is not seen: something of the colour of skin, perhaps a hand, is before it.")


def _box(points: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns of the photo that hold the face, with a margin."""
    face = points[:145]  # without the outline of hair and shoulders
    margin = 0.35 * interocular(points)
    low = np.clip(np.floor(face.min(0) - margin), 0, None).astype(int)
    high = np.ceil(face.max(0) + margin).astype(int) + 1
    return slice(low[1], min(high[1], shape[0])), slice(low[0], min(high[0], shape[1]))
