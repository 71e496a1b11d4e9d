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
from scipy.interpolate import PchipInterpolator

from ..crop.align import interocular
from ..crop.landmarks import POINTS, smoothstep
from ..errors import DragFaceError
from .canvas import EYE_OUTLINES, LIP_OUTLINES, Canvas, normals, resized, ribbon, to_rgb
from .eyes import cover_brows, paint_eyes
from .features import Mouth
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

ALONG = np.linspace(0, 1, 48)  # Along each edge of the mouth, from its left corner to its right one.
# How much of the overline each part of an edge gets: most at the cupid's bow and the middle, none in the corners.
UPPER_OVERLINE = PchipInterpolator([0, 0.12, 0.33, 0.5, 0.67, 0.88, 1], [0, 0.7, 1.25, 0.8, 1.25, 0.7, 0])(ALONG)
LOWER_OVERLINE = PchipInterpolator([0, 0.15, 0.5, 0.85, 1], [0, 0.5, 1.0, 0.5, 0])(ALONG)
# Strokes of gloss on each lip: where along it they start and end, their width and their strength.
LOWER_GLOSS = ((0.31, 0.46, 0.018, 0.9), (0.52, 0.69, 0.022, 1.0))
UPPER_GLOSS = ((0.30, 0.42, 0.012, 0.75), (0.58, 0.70, 0.012, 0.75))


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
    eyes, face = interocular(points), points[:145]  # Without the outline of hair and shoulders.
    left, top = np.clip(np.floor(face.min(0) - 0.35 * eyes), 0, None).astype(int)
    right, bottom = np.ceil(face.max(0) + 0.35 * eyes).astype(int) + 1
    box = slice(top, bottom), slice(left, right)
    part = photo[box]
    # A whole number, or one over one.
    scale = float(np.ceil(WORKING[0] / eyes) / np.ceil(eyes / WORKING[1]))
    local = (points - [left, top] + 0.5) * scale - 0.5
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
    _paint_lips(canvas, skin, makeup)
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


def _paint_lips(canvas: Canvas, skin: Skin, makeup: Makeup) -> None:
    """Over-lined, with a darker liner, a lighter middle and gloss. Teeth and an open mouth stay as they are."""
    mouth, lab = skin.mouth, canvas.lab
    # The outer edges move outwards; thin lips get more.
    upper, lower = (float(np.max(low[:, 1] - high[:, 1])) for high, low in (mouth[:2], mouth[2:]))
    above = UPPER_OVERLINE * (makeup.overline + 0.6 * np.clip(0.10 - upper, 0, 0.06))
    below = LOWER_OVERLINE * (makeup.overline + 0.6 * np.clip(0.13 - lower, 0, 0.08))
    top, bottom = mouth.top - normals(mouth.top) * above[:, None], mouth.bottom + normals(mouth.bottom) * below[:, None]
    mouth = mouth._replace(top=top, bottom=bottom)
    whole = canvas.fill([mouth.outline])
    cover = whole
    if mouth.is_open:
        opening = canvas.fill([mouth.opening])
        cover = whole * (1 - opening)
        # The landmarks are a little off: near the opening, pale or black pixels are no lip.
        near = canvas.blur(cv2.dilate(opening, np.ones((3, 3), np.uint8)), 0.03)
        teeth = smoothstep(9, 4, lab[..., 1] - 0.35 * skin.tone[1]) * smoothstep(0.9, 1.05, lab[..., 0] / skin.tone[0])
        dark = smoothstep(0.42, 0.30, lab[..., 0] / skin.tone[0])
        cover = cover * (1 - smoothstep(0.05, 0.3, near) * np.maximum(teeth, dark))
    cover = canvas.blur(cover, 0.006) * np.maximum(skin.oval, 0)

    # The liner lies at the edge of the painted lips, the lightest colour in their middle.
    depth = cv2.distanceTransform((whole > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / canvas.unit
    inside = smoothstep(0.008, 0.062, canvas.blur(depth.astype(np.float32), 0.006))
    left, right = mouth.top[0, 0], mouth.top[-1, 0]
    across = np.abs(canvas.x - (left + right) / 2) / max((right - left) / 2, 0.1)
    colour = np.full_like(lab, makeup.lip_liner)
    inside = inside * smoothstep(1.08, 0.62, across)
    colour += inside[..., None] * (np.asarray(makeup.lip, np.float32) - colour)
    colour[..., 0] += 7 * smoothstep(0.65, 0.1, across) * inside

    original = lab[..., 0]
    lips = cover > 0.5
    usual = float(np.median(original[lips])) if lips.any() else float(skin.tone[0])
    broad = canvas.blur(original, 0.03)
    fine = np.clip(original - broad, -9, 12)
    shape = np.clip(broad - usual, -22, 10)
    deeper = colour[..., 0] * (0.86 + 0.14 * skin.lightness)
    colour[..., 0] = deeper + 0.55 * shape * (0.4 + colour[..., 0] / 90) + 0.7 * fine
    if not mouth.is_open:
        seam = canvas.fill([ribbon((mouth.top_inner + mouth.bottom_inner) / 2, 0.014)])
        colour[..., 0] -= 14 * canvas.blur(seam, 0.006) * smoothstep(1.05, 0.8, across)
    canvas.lay(colour, 0.95 * cover)
    _gloss(canvas, makeup, mouth, cover, fine)


def _gloss(canvas: Canvas, makeup: Makeup, mouth: Mouth, cover: np.ndarray, fine: np.ndarray) -> None:
    """Light on wet lips: a broken band on the lower one, two short strokes below the peaks of the upper one."""
    light = np.zeros_like(canvas.x)
    lower = mouth.bottom_inner * 0.56 + mouth.bottom * 0.44
    upper = mouth.top * 0.55 + mouth.top_inner * 0.45
    for lip, strokes in ((lower, LOWER_GLOSS), (upper, UPPER_GLOSS)):
        for start, end, width, strength in strokes:
            part = lip[(start <= ALONG) & (end >= ALONG)]
            widths = width * np.sin(np.linspace(0.15, np.pi - 0.15, len(part))) ** 0.7
            light = np.maximum(light, strength * canvas.fill([ribbon(part, widths)]))
    sheen = canvas.airbrush(lower[14:34], 0.035, 0.35)
    light = canvas.blur(light, 0.011) * (0.85 + np.clip(fine / 12, -0.4, 0.4)) + sheen * 0.5
    light = np.clip(light * makeup.gloss * cover, 0, 1)
    canvas.lab[..., 0] += 40 * light * np.clip((100 - canvas.lab[..., 0]) / 60, 0, 1)
    canvas.lab[..., 1:] *= (1 - 0.5 * light)[..., None]
