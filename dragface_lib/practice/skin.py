"""Skin: where it is and of what colour, foundation on it, and contour, blush and highlight that give it cheekbones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike

from ..crop.landmarks import CONTOURS, HAIRLINE, OVAL, smoothstep
from .canvas import BROW_OUTLINES, EYE_OUTLINES, LIP_OUTLINES, Canvas, smooth_curve
from .features import Mouth, find_frame, find_mouth
from .looks import Makeup

FRINGE = 0.35  # How far hair is followed down over a brow, in interocular distances.
EDGE = 0.07  # Width of the edge of the face over which make-up fades out, in interocular distances.
FOUNDATION = 0.8  # How far foundation evens out blotches and shadows, 0..1.
HIGHLIGHT = 1.1  # Strength of the highlight.
WARMTH = (4.5, 3.0)  # CIELAB a and b added to contour, which looks like dirt without them.
NOSTRILS = ((63, 64, 179, 180, 55, 181, 182, 69, 68),)
LIDS_TO_BROWS = ((18, 19, 20, 21, 22, 76, 84, 83), (27, 26, 25, 24, 23, 77, 85, 86))
# Of each side: the edge from temple to ear, the corner of the mouth, the outer corner of the eye, the end of the
# brow at the nose, the side of the nose, the lower lid, the hairline at the temple.
SIDES = {
    -1: ((109, 185, 110, 186, 111), 87, 18, 76, (50, 51, 52, 53, 54), (28, 29, 30), (134, 135)),
    1: ((112, 187, 113, 188, 114), 93, 27, 77, (56, 57, 58, 59, 60), (33, 32, 31), (144, 143)),
}
# An airbrushed stroke: its layer, the points of its curve, and radius and weight at its first and its last point.
Stroke = tuple[str, Sequence | np.ndarray, tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Skin:
    """What the painter knows about the bare face; (h, w) float32 in 0..1 unless said.

    oval: the face. likeness: how much a pixel looks like this face's skin. base: (h, w, 3) CIELAB of the skin as if
    it had no brows, eyes, lips or hair. tone: (3,) its median. free: where no hair falls over the face.
    openings: the eyes between the lids, and the opening of the mouth. mouth: the lips' edges. frame: the frame of
    the glasses.
    """

    oval: np.ndarray
    likeness: np.ndarray
    base: np.ndarray
    tone: np.ndarray
    free: np.ndarray
    openings: np.ndarray
    mouth: Mouth
    frame: np.ndarray

    @property
    def worn(self) -> np.ndarray:
        """(h, w): where powder and foundation go."""
        return self.oval * self.likeness

    @property
    def lightness(self) -> float:
        """From the darkest skin (0) to the lightest (1)."""
        return float(np.clip((self.tone[0] - 25) / 50, 0, 1))


def study_skin(canvas: Canvas) -> Skin:
    """Measure where the skin is, how it is lit, and its colour."""
    oval, features = _oval(canvas), _features(canvas)
    plain = (oval > 0.9) & (features < 0.05) & (canvas.y > -0.1)
    sample = canvas.lab[plain] if plain.sum() > 50 else canvas.lab[oval > 0.5]
    tone = np.median(sample, axis=0)
    spread = np.median(np.abs(sample - tone), axis=0) * 1.48
    lab, far = canvas.blur(canvas.lab, 0.012), np.zeros_like(canvas.x)
    # Light falls unevenly: lightness may differ more than colour.
    for n, (least, share) in enumerate(((13.0, 1.3), (7.0, 1.8), (8.0, 1.8))):
        far += ((lab[..., n] - tone[n]) / max(least, share * spread[n])) ** 2
    alike = smoothstep(3.3, 1.9, np.sqrt(far)).astype(np.float32)
    weights = alike * (1 - features) * oval
    near = canvas.spread(canvas.lab, weights + 1e-5, 0.07)
    wide = canvas.spread(canvas.lab, weights + 1e-4, 0.30)
    enough = smoothstep(0.05, 0.35, canvas.blur(weights, 0.07))[..., None]
    base = (near * enough + wide * (1 - enough)).astype(np.float32)
    mouth = find_mouth(canvas, base, tone)
    eyes = [canvas.points[list(eye)] for eye in EYE_OUTLINES]
    openings = [np.concatenate([smooth_curve(eye[:5]), smooth_curve(eye[[4, 5, 6, 7, 0]])]) for eye in eyes]
    openings = canvas.fill([*openings, mouth.opening] if mouth.is_open else openings)
    likeness = canvas.blur(np.maximum(alike, features * (alike > 0.3)), 0.015)
    # Hair hardly ever hangs between lashes and brow: dark pixels there are shade.
    lids = canvas.fill([canvas.points[list(hull)] for hull in LIDS_TO_BROWS])
    lids = np.max([lids, *(canvas.grow(eye, 0.14) for eye in eyes)], axis=0)
    seen = np.maximum(alike, np.maximum(lids, _features(canvas, 0.6)))
    seen = seen * (1 - _fringe(canvas, alike, seen))
    free = smoothstep(0.3, 0.7, canvas.blur(seen, 0.02)).astype(np.float32)
    return Skin(oval, likeness.astype(np.float32), base, tone, free, openings, mouth, find_frame(canvas, base, tone))


def _oval(canvas: Canvas) -> np.ndarray:
    """(h, w) float32: 1 on the face, 0 outside its outline, fading within it."""
    outline = canvas.points[list(OVAL)]
    # On the far side of a turned head the landmarks lie beyond the cheek, which ends soon after the eye.
    corner = canvas.points[18 if canvas.turned < 0 else 27, 0]
    beyond = np.clip((outline[:, 0] - corner) * np.sign(corner), 0, None)
    outline[:, 0] -= np.sign(corner) * beyond * (1 - canvas.far_side)
    inside = cv2.distanceTransform((canvas.fill([outline]) > 0.99).astype(np.uint8), cv2.DIST_L2, 5) / canvas.unit
    return smoothstep(0.0, EDGE, inside).astype(np.float32)


def _features(canvas: Canvas, margin: float = 1.0) -> np.ndarray:
    """(h, w): eyes, brows, nostrils and lips with a margin: they say nothing about the skin."""
    parts = ((BROW_OUTLINES, 0.08), (EYE_OUTLINES, 0.09), (LIP_OUTLINES, 0.06), (NOSTRILS, 0.05))
    grown = [canvas.grow(canvas.points[list(part)], width * margin) for outlines, width in parts for part in outlines]
    return np.max(grown, axis=0)


def _fringe(canvas: Canvas, alike: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """(h, w) of 0 or 1: hair that hangs over the brows from above, followed downwards from pixel to pixel."""
    hair = ((alike < 0.5) & (canvas.y < canvas.points[[20, 25], 1].min() - 0.05)).astype(np.uint8)
    hanging = hair * (seen < 0.5)
    from_above = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0]], np.uint8)
    for _ in range(round(FRINGE * canvas.unit)):
        hanging = np.minimum(cv2.dilate(hanging, from_above), hair)
    return hanging.astype(np.float32)


def foundation(canvas: Canvas, skin: Skin, makeup: Makeup) -> None:
    """Even out blotches and soften shadows, keep pores: bilateral smoothing of lightness, colour drawn together."""
    lab = canvas.lab
    diameter = max(5, 2 * round(0.04 * canvas.unit) + 1)
    base = cv2.bilateralFilter(lab, min(diameter, 21), 9.0, 0.035 * canvas.unit)
    broad = canvas.spread(lab, skin.worn + 1e-4, 0.12)
    fine = lab[..., 0] - canvas.blur(lab[..., 0], 0.008)
    even = base.astype(np.float32)
    # Blotches, bags and folds are larger than pores and smaller than the shape of the face.
    even[..., 0] += FOUNDATION * 0.42 * np.clip(broad[..., 0] - base[..., 0], -14, 14) + 0.5 * fine
    even[..., 1:] += FOUNDATION * 0.65 * (broad[..., 1:] - base[..., 1:])
    even[..., 1:] += FOUNDATION * 0.35 * np.clip(skin.tone[1:] - broad[..., 1:], -8, 8)
    # Dark skin becomes luminous by warmth: a paler foundation would grey it.
    even[..., 0] += makeup.lightness * (0.35 + 0.65 * skin.lightness) + 1.2
    pale = float(np.clip((22 - np.hypot(*skin.tone[1:])) / 40, 0, 0.25)) * skin.lightness
    even[..., 1:] *= (makeup.chroma if skin.lightness > 0.5 else 0.6 + 0.4 * makeup.chroma) * (1 + pale)
    canvas.lay(even, skin.worn * (1 - skin.openings) * 0.9)


def pigment(
    canvas: Canvas, skin: Skin, colour: ArrayLike, cover: np.ndarray, shading: float = 0.7, texture: float = 0.4
) -> None:
    """Lay opaque colour over the face, with a share of the light (shading) and of the texture below it.

    colour: (3,) or (h, w, 3) CIELAB. cover: (h, w) in 0..1.
    """
    light = np.clip(skin.base[..., 0] - skin.tone[0], -25, 18)
    fine = np.clip(canvas.lab[..., 0] - canvas.blur(canvas.lab[..., 0], 0.02), -8, 8)
    aim = np.full_like(canvas.lab, colour)
    # On dark skin the same pot of colour looks deeper; pigment brighter than the light allows looks pasted on.
    deeper = aim[..., 0] * (0.84 + 0.16 * skin.lightness)
    aim[..., 0] = deeper + shading * light * (0.3 + aim[..., 0] / 100) + texture * fine
    canvas.lay(aim, cover.astype(np.float32))


def sculpt(canvas: Canvas, skin: Skin, makeup: Makeup) -> None:
    """Airbrush contour, blush and highlight along the bones, on skin only."""
    layers = {name: np.zeros_like(canvas.x) for name in ("contour", "highlight", "blush")}
    for name, points, radius, weight in _strokes(canvas, skin):
        curve = smooth_curve(np.array(points), 24) if len(points) > 1 else np.array(points)
        radii, weights = (np.linspace(*values, len(curve)) for values in (radius, weight))
        np.maximum(layers[name], canvas.airbrush(curve, radii, weights), layers[name])
    worn = skin.worn * (1 - skin.openings)
    contour, highlight, blush = (layer * worn for layer in layers.values())
    lab = canvas.lab
    contour *= makeup.contour * (1 - 0.7 * highlight)
    lab[..., 0] -= (8.0 + 0.15 * skin.tone[0]) * contour
    lab[..., 1] += WARMTH[0] * contour
    lab[..., 2] += (WARMTH[1] + 4.0 * skin.lightness) * contour
    # Blush adds colour and hardly changes lightness, so that it shows on every skin. Dark skin takes more of it.
    tint = np.asarray(makeup.blush) / max(1.0, np.hypot(*makeup.blush[1:]))
    blush *= makeup.blush_strength
    lab[..., 0] -= (2.0 + 4.0 * skin.lightness) * blush
    for channel in (1, 2):
        lab[..., channel] += (21 + 7 * (1 - skin.lightness)) * tint[channel] * blush
    highlight = highlight * HIGHLIGHT
    lab[..., 0] += (11.0 + 0.12 * (75 - skin.tone[0])) * highlight * np.clip((100 - lab[..., 0]) / 25, 0, 1)
    lab[..., 2] += (1 - skin.lightness) * 4 * highlight


def _strokes(canvas: Canvas, skin: Skin) -> Iterator[Stroke]:
    p = canvas.points
    # On a turned head the hairline's landmarks are a guess.
    frontal = max(0.0, 1 - 3 * abs(canvas.turned))
    for side, (edges, corner, outer, inner, nose, lid, temple) in SIDES.items():
        edge, mouth, eye, brow = p[list(edges)], p[corner], p[outer], p[inner]
        ear = (edge[2] + edge[3]) / 2 * [0.97, 1]
        halfway = [0.55 * mouth[0] + 0.45 * edge[3, 0], 0.45 * ear[1] + 0.55 * (mouth[1] - 0.16)]
        yield "contour", [ear, halfway, mouth + [0.17 * side, -0.22]], (0.095, 0.05), (1.0, 0.25)
        yield "contour", [edge[0], *p[list(temple)]], (0.11, 0.11), (0.75 * frontal, 0.75 * frontal)
        bridge = p[list(nose)] + [0.045 * side, 0]
        yield "contour", bridge, (0.035, 0.042), (0.5, 0.85)
        socket = [(brow[0] + bridge[0, 0]) / 2, brow[1] + 0.15]
        yield "contour", [brow + [0.05 * side, 0.06], socket, bridge[0]], (0.045, 0.045), (0.55, 0.55)
        # Swept from the cheek up to the temple: a round spot would make a doll of the face.
        apple = np.array([0.92 * eye[0], 0.49 * mouth[1]])
        rise = [apple, [1.18 * eye[0], apple[1] - 0.13], [0.97 * edge[1, 0], eye[1] + 0.12]]
        yield "blush", rise, (0.082, 0.085), (0.65, 1.1)
        bone = [eye + [-0.06 * side, 0.31], eye + [0.09 * side, 0.22], eye + [0.20 * side, 0.06]]
        yield "highlight", bone, (0.05, 0.042), (0.5, 1.0)
        yield "highlight", p[list(lid)] * [0.96, 1] + [0, 0.16], (0.065, 0.065), (0.75, 0.75)
    yield "contour", p[list(CONTOURS["jaw"])], (0.085, 0.085), (0.8, 0.8)
    yield "contour", p[list(HAIRLINE)], (0.11, 0.11), (0.55 * frontal, 0.55 * frontal)
    yield "contour", skin.mouth.bottom[23:24] + [0, 0.09], (0.06, 0.06), (0.45, 0.45)
    yield "highlight", (p[[50, 51, 52, 53]] + p[[56, 57, 58, 59]]) / 2, (0.024, 0.024), (0.7, 1.0)
    yield "highlight", (p[[54]] + p[[60]]) / 2, (0.038, 0.038), (0.9, 0.9)
    between = (p[76] + p[77]) / 2
    yield "highlight", [between, 0.45 * between + 0.55 * p[139]], (0.06, 0.15), (0.5, 0.5)
    yield "highlight", skin.mouth.top[23:24] - [0, 0.055], (0.032, 0.032), (0.8, 0.8)
    yield "highlight", p[[175]], (0.085, 0.085), (0.55, 0.55)
