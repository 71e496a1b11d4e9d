"""Skin: where it is, what colour it has, foundation on it, and how colour is laid over it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..crop.landmarks import OVAL
from ..crop.masks import smoothstep
from .canvas import Canvas, smooth_curve
from .glasses import find_frame
from .looks import Makeup
from .mouth import Mouth, find_mouth

FRINGE = 0.35  # how far down hair is followed over a brow, in interocular distances
EDGE = 0.07  # over which the make-up fades out within the oval


@dataclass(frozen=True)
class Skin:
    """What the painter knows about the bare face; all of them (h, w) float32 but tone.

    oval: the face, 1 well inside, 0 outside. likeness: how much a pixel looks like this face's skin, 0..1.
    base: (h, w, 3) CIELAB of the skin as if there were no brows, eyes, lips or hair on it. tone: (3,) its median.
    mouth: the lips' edges. openings: the eyes between the lids and what is seen between the lips.
    free: where no hair falls over the face, as far as colour tells. frame: of the glasses, where a pair is worn.
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
        """(h, w): where powder and foundation go: on skin, in the oval, not on hair or frames."""
        return self.oval * self.likeness

    @property
    def lightness(self) -> float:
        """Of the skin, 0..1: from the darkest to the lightest."""
        return float(np.clip((self.tone[0] - 25) / 50, 0, 1))


def face_oval(canvas: Canvas) -> np.ndarray:
    """(h, w) float32: 1 on the face, 0 outside its outline, fading within it. It never reaches beyond the jaw."""
    outline = canvas.points[list(OVAL)].copy()
    # On the far side of a turned head the landmarks reach beyond the cheek: it ends soon after the eye.
    corner = canvas.points[18, 0] if canvas.turned < 0 else canvas.points[27, 0]
    beyond = np.clip((outline[:, 0] - corner) * np.sign(corner), 0, None)
    outline[:, 0] -= np.sign(corner) * beyond * np.clip(2.2 * (abs(canvas.turned) - 0.06), 0, 0.7)
    hard = canvas.fill([outline])
    inside = cv2.distanceTransform((hard > 0.99).astype(np.uint8), cv2.DIST_L2, 5) / canvas.unit
    return smoothstep(0.0, EDGE, inside).astype(np.float32)


def eye_openings(canvas: Canvas) -> np.ndarray:
    """(h, w) float32: 1 where the eye itself is seen between the lids."""
    p = canvas.points
    left = np.concatenate([smooth_curve(p[[18, 19, 20, 21, 22]]), smooth_curve(p[[22, 30, 29, 28, 18]])])
    right = np.concatenate([smooth_curve(p[[23, 24, 25, 26, 27]]), smooth_curve(p[[27, 33, 32, 31, 23]])])
    return canvas.fill([left, right])


def _features(canvas: Canvas, margin: float = 1.0) -> np.ndarray:
    """(h, w): eyes, brows, nostrils and lips with a margin around: what says nothing about the skin."""
    p = canvas.points
    cover = np.zeros(canvas.shape, np.float32)
    for brow in ((71, 72, 73, 74, 75, 76, 84, 83), (77, 78, 79, 80, 81, 82, 86, 85)):
        cover = np.maximum(cover, grown(canvas, p[list(brow)], 0.08 * margin))
    for eye in ((18, 19, 20, 21, 22, 30, 29, 28), (23, 24, 25, 26, 27, 33, 32, 31)):
        cover = np.maximum(cover, grown(canvas, p[list(eye)], 0.09 * margin))
    lips = (87, 88, 89, 90, 91, 92, 93, 108, 107, 106, 105, 104)
    cover = np.maximum(cover, grown(canvas, p[list(lips)], 0.06 * margin))
    return np.maximum(cover, grown(canvas, p[[63, 64, 179, 180, 55, 181, 182, 69, 68]], 0.05 * margin))


def grown(canvas: Canvas, shape: np.ndarray, margin: float) -> np.ndarray:
    """Cover (h, w) of a polygon in face coordinates with a margin around it, in interocular distances."""
    size = 2 * max(1, round(margin * canvas.unit)) + 1
    return cv2.dilate(canvas.fill([shape]), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))


def study_skin(canvas: Canvas) -> Skin:
    """Find out where the skin is, how it is lit, and what colour it has."""
    oval, features = face_oval(canvas), _features(canvas)
    plain = (oval > 0.9) & (features < 0.05) & (canvas.y > -0.1)
    sample = canvas.lab[plain] if plain.sum() > 50 else canvas.lab[oval > 0.5]
    tone = np.median(sample, axis=0)
    spread = np.median(np.abs(sample - tone), axis=0) * 1.48
    lab = canvas.blur(canvas.lab, 0.012)
    # Light falls unevenly, so lightness may differ much; colour hardly does.
    far = ((lab[..., 0] - tone[0]) / max(13.0, 1.3 * spread[0])) ** 2
    far += ((lab[..., 1] - tone[1]) / max(7.0, 1.8 * spread[1])) ** 2
    far += ((lab[..., 2] - tone[2]) / max(8.0, 1.8 * spread[2])) ** 2
    alike = smoothstep(3.3, 1.9, np.sqrt(far)).astype(np.float32)
    weights = alike * (1 - features) * oval
    near = canvas.spread(canvas.lab, weights + 1e-5, 0.07)
    wide = canvas.spread(canvas.lab, weights + 1e-4, 0.30)
    enough = smoothstep(0.05, 0.35, canvas.blur(weights, 0.07))[..., None]
    base = (near * enough + wide * (1 - enough)).astype(np.float32)
    mouth = find_mouth(canvas, base, tone)
    openings = eye_openings(canvas)
    if mouth.is_open:
        openings = np.maximum(openings, canvas.fill([mouth.opening]))
    likeness = canvas.blur(np.maximum(alike, features * (alike > 0.3)), 0.015)
    # Between lashes and brow it may be dark with shade, but hair hardly ever hangs there.
    p = canvas.points
    lids = canvas.fill([p[list(hull)] for hull in ((18, 19, 20, 21, 22, 76, 84, 83), (27, 26, 25, 24, 23, 77, 85, 86))])
    for eye in ((18, 19, 20, 21, 22, 30, 29, 28), (23, 24, 25, 26, 27, 33, 32, 31)):
        lids = np.maximum(lids, grown(canvas, p[list(eye)], 0.14))
    drawn = np.maximum(alike, np.maximum(lids, _features(canvas, 0.6)))
    drawn = drawn * (1 - _fringe(canvas, alike, drawn))
    free = smoothstep(0.3, 0.7, canvas.blur(drawn, 0.02)).astype(np.float32)
    return Skin(oval, likeness.astype(np.float32), base, tone, free, openings, mouth, find_frame(canvas, base, tone))


def _fringe(canvas: Canvas, alike: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """(h, w) of 0 or 1: hair that hangs from above the brows over them, followed downwards from pixel to pixel."""
    hair = (alike < 0.5) & (canvas.y < canvas.points[[20, 25], 1].min() - 0.05)
    hair = hair.astype(np.uint8)
    hanging = hair * (drawn < 0.5)
    from_above = np.array([[1, 1, 1], [0, 1, 0], [0, 0, 0]], np.uint8)
    for _ in range(round(FRINGE * canvas.unit)):
        hanging = np.minimum(cv2.dilate(hanging, from_above), hair)
    return hanging.astype(np.float32)


def foundation(canvas: Canvas, skin: Skin, makeup: Makeup, rng: np.random.Generator) -> None:
    """Even out blotches and soften shadows, keep pores: bilateral smoothing of lightness, colour drawn together."""
    lab = canvas.lab
    diameter = max(5, 2 * round(0.04 * canvas.unit) + 1)
    base = cv2.bilateralFilter(lab, min(diameter, 21), 9.0, 0.035 * canvas.unit)
    broad = canvas.spread(lab, skin.worn + 1e-4, 0.12)
    fine = lab[..., 0] - canvas.blur(lab[..., 0], 0.008)
    even = base.astype(np.float32)
    # Between pores and the shape of the face lie blotches, bags and folds: those are covered.
    even[..., 0] += makeup.foundation * 0.42 * np.clip(broad[..., 0] - base[..., 0], -14, 14) + 0.5 * fine
    even[..., 1:] += makeup.foundation * 0.65 * (broad[..., 1:] - base[..., 1:])
    even[..., 1:] += makeup.foundation * 0.35 * np.clip(skin.tone[1:] - broad[..., 1:], -8, 8)
    # Dark skin becomes luminous by warmth, not by lightness: a paler foundation would grey it.
    even[..., 0] += makeup.lightness * (0.35 + 0.65 * skin.lightness) + 1.2
    pale = float(np.clip((22 - np.hypot(*skin.tone[1:])) / 40, 0, 0.25)) * skin.lightness
    even[..., 1:] *= (makeup.chroma if skin.lightness > 0.5 else 0.6 + 0.4 * makeup.chroma) * (1 + pale)
    cover = skin.worn * (1 - skin.openings) * 0.9
    canvas.lab[...] = lab + cover[..., None] * (even - lab)


def pigment(
    canvas: Canvas, skin: Skin, colour: np.ndarray, cover: np.ndarray, shading: float = 0.7, texture: float = 0.4
) -> None:
    """Lay opaque colour over the face: it keeps that part of the light and of the texture of what lies below.

    colour: (3,) or (h, w, 3) CIELAB. cover: (h, w) of 0..1.
    """
    light = np.clip(skin.base[..., 0] - skin.tone[0], -25, 18)
    fine = np.clip(canvas.lab[..., 0] - canvas.blur(canvas.lab[..., 0], 0.02), -8, 8)
    aim = np.empty_like(canvas.lab)
    aim[...] = colour
    # The same pot of colour looks deeper on dark skin, and brighter pigment than the light allows looks pasted on.
    deeper = 0.84 + 0.16 * skin.lightness
    aim[..., 0] = aim[..., 0] * deeper + shading * light * (0.3 + aim[..., 0] / 100) + texture * fine
    canvas.lab[...] += cover[..., None] * (aim - canvas.lab)
