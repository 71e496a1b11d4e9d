"""The frame of a pair of glasses, which make-up leaves free.

Frames may be dark, of metal or of tortoiseshell, and wrinkles are dark lines too. So two signs must agree: a bar
across the nose without the redness of a fold, and a thin line around each eye, alike on both sides.
"""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
from scipy.ndimage import grey_closing

from ..crop.masks import smoothstep
from .canvas import Canvas, ribbon

# Darkness is a share of the skin's lightness, chroma of the skin's chroma; lengths are interocular distances.
BAR_DARKNESS = 0.1  # Minimum of the bar across the nose.
BAR_CHROMA = 1.0  # Maximum of the bar across the nose.
CLEAR_DARKNESS = 0.2  # Minimum of a bar that needs no rims beside it.
CLEAR_CHROMA = 0.45  # Maximum of a bar that needs no rims beside it.
RIM_SCORE = 0.75  # Minimum score of the rims beside other bars, 0..1.
RIM_WIDTH = 0.045  # Width of the widest rim.
RIM_DARKNESS = 0.20  # Darker rims score no more.
RIM_TOP = 0.14  # Minimum height of a rim above the pupil: lashes lie lower.
RIM_STRIP = 0.10  # Width of the strip around a rim where the frame is searched.
ARM_STRIP = 0.16  # Width of the strip around an arm where the frame is searched.
BRIDGE_STRIP = 0.22  # Width of the strip around the bridge where the frame is searched.
RIM_ANGLES = np.linspace(0, 2 * np.pi, 56, endpoint=False)
BELOW_BROWS = np.sin(RIM_ANGLES) > -0.35  # Brow hairs are dark lines too.
PUPILS = ((0, -1), (1, 1))  # Number of each pupil's landmark, and the direction of x away from the nose.


def _rims() -> np.ndarray:
    """(N, 56, 2): shapes that a rim may have around a pupil, x outwards from the nose."""
    across, down = np.cos(RIM_ANGLES), np.sin(RIM_ANGLES)
    shapes = []
    for x, y, half_width, half_height, power in product(
        np.linspace(-0.02, 0.14, 5),
        np.linspace(0.02, 0.20, 7),
        np.linspace(0.34, 0.48, 7),
        np.linspace(0.21, 0.35, 7),
        (2.0, 3.2),
    ):
        if half_height - y >= RIM_TOP:
            radius = (np.abs(across / half_width) ** power + np.abs(down / half_height) ** power) ** (-1 / power)
            shapes.append(np.stack([x + radius * across, y + radius * down], 1))
    return np.array(shapes)


def find_frame(canvas: Canvas, base: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """(h, w) float32 in 0..1: the frame of the glasses; zeros on a face without. base, tone: see `Skin`."""
    no_frame = np.zeros_like(canvas.x)
    darkness, chroma = _bar(canvas, tone)
    if darkness < BAR_DARKNESS or chroma > BAR_CHROMA:
        return no_frame
    lightness = canvas.blur(canvas.lab[..., 0], 0.004)
    size = 2 * round(RIM_WIDTH / 2 * canvas.unit) + 1
    lines = cv2.morphologyEx(lightness, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    lines = canvas.blur(np.clip(lines / (RIM_DARKNESS * tone[0]), 0, 1), 0.008)
    shapes = _rims()
    along = np.stack([canvas.sample(lines, shapes * [side, 1] + canvas.points[eye]) for eye, side in PUPILS])
    below = along[..., BELOW_BROWS]
    scores = 0.5 * np.minimum(below, 0.6).mean((0, 2)) / 0.6 + 0.5 * (below > 0.25).mean((0, 2))
    if scores.max() < RIM_SCORE and (darkness < CLEAR_DARKNESS or chroma > CLEAR_CHROMA):
        return no_frame
    # Among the likely shapes, the whole rims decide.
    whole = np.where(scores > scores.max() - 0.12, np.minimum(along, 0.6).mean((0, 2)), -1)
    strips, inner = [], []
    for eye, side in PUPILS:
        rim = shapes[whole.argmax()] * [side, 1] + canvas.points[eye]
        strips.append(ribbon(np.concatenate([rim, rim[:2]]), RIM_STRIP))
        inner.append(rim[np.argmin(rim[:, 0] * side)] - [0, 0.06])
        outer = rim[np.argmax(rim[:, 0] * side)] - [0, 0.1]
        strips.append(ribbon(np.array([outer, outer + [0.5 * np.sign(outer[0]), 0]]), ARM_STRIP))
    strips.append(ribbon(np.array(inner), BRIDGE_STRIP))
    near = np.max([canvas.fill([strip]) for strip in strips], axis=0)
    darker = 1 - lightness / np.maximum(base[..., 0], 1)
    return canvas.blur(near * np.maximum(smoothstep(0.35, 0.5, darker), smoothstep(0.3, 0.5, lines)), 0.006)


def _bar(canvas: Canvas, tone: np.ndarray) -> tuple[float, float]:
    """Darkness and chroma of the darkest line across the nose between the eyes."""
    lab = canvas.blur(canvas.lab, 0.012)
    darkness, chroma = [], []
    for x in np.linspace(-0.07, 0.07, 5):
        values = canvas.sample(lab, np.stack([np.full(27, x), np.linspace(-0.2, 0.32, 27)], 1)[None])[0]
        depth = grey_closing(values[:, 0], 7) - values[:, 0]
        darkness.append(depth.max() / tone[0])
        chroma.append(np.hypot(*values[depth.argmax(), 1:]) / max(np.hypot(*tone[1:]), 1.0))
    return float(np.median(darkness)), float(np.median(chroma))
