"""A pair of glasses: whether one is worn, and where its frame lies, which no make-up covers.

Frames may be dark, of metal or of tortoiseshell; wrinkles are thin and dark as well. So two signs must agree: a bar
across the nose without the redness of a fold, and a thin line around each eye, alike on both sides.
"""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
from scipy.ndimage import grey_closing

from ..crop.masks import smoothstep
from .canvas import Canvas, ribbon

BAR = 0.1  # of skin's lightness by which the bar over the nose is darker,
BAR_COLOUR = 1.0  # of skin's chroma that it has at most,
RIM = 0.75  # and how much of the two rims there must be, 0..1; but a bar
PLAIN_BAR = (0.2, 0.45)  # so dark and so colourless is enough
LINE, DEEP = 0.045, 0.20  # widest rim in interocular distances, and of skin's lightness: deeper ones count the same
BAND, ARM = 0.10, 0.16  # full width of the strip around a rim and around an arm in which the frame is looked for
TOP = 0.14  # at least, of a rim above the pupil: lower down there are lashes
ANGLES = np.linspace(0, 2 * np.pi, 56, endpoint=False)
SEEN = np.sin(ANGLES) > -0.35  # below the brows, whose hairs are lines too


def _rims() -> np.ndarray:
    """(N, 56, 2): shapes that a rim may have around a pupil, x outwards from the nose, in interocular distances."""
    across, down = np.cos(ANGLES), np.sin(ANGLES)
    shapes = []
    for x, y, half_width, half_height, power in product(
        np.linspace(-0.02, 0.14, 5),
        np.linspace(0.02, 0.20, 7),
        np.linspace(0.34, 0.48, 7),
        np.linspace(0.21, 0.35, 7),
        (2.0, 3.2),
    ):
        if half_height - y < TOP:
            continue
        radius = (np.abs(across / half_width) ** power + np.abs(down / half_height) ** power) ** (-1 / power)
        shapes.append(np.stack([x + radius * across, y + radius * down], 1))
    return np.array(shapes)


def find_frame(canvas: Canvas, base: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """(h, w) float32 in 0..1: the frame of the glasses; zeros on a face without. base, tone: see `Skin`."""
    none = np.zeros(canvas.shape, np.float32)
    dark, colour = _bar(canvas, tone)
    if dark < BAR or colour > BAR_COLOUR:
        return none
    lightness = canvas.blur(canvas.lab[..., 0], 0.004)
    size = 2 * round(LINE / 2 * canvas.unit) + 1
    lines = cv2.morphologyEx(lightness, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    lines = canvas.blur(np.clip(lines / (DEEP * tone[0]), 0, 1), 0.008)
    shapes = _rims()
    found = np.stack(
        [_along(canvas, lines, shapes * [side, 1] + canvas.points[eye]) for eye, side in ((0, -1), (1, 1))]
    )
    seen = found[..., SEEN]
    scores = 0.5 * np.minimum(seen, 0.6).mean((0, 2)) / 0.6 + 0.5 * (seen > 0.25).mean((0, 2))
    if scores.max() < RIM and (dark < PLAIN_BAR[0] or colour > PLAIN_BAR[1]):
        return none
    # Which of the likely ones it is, both whole rims say.
    whole = np.where(scores > scores.max() - 0.12, np.minimum(found, 0.6).mean((0, 2)), -1)
    strips, ends = [], []
    for eye, side in ((0, -1), (1, 1)):
        rim = shapes[whole.argmax()] * [side, 1] + canvas.points[eye]
        closed = np.concatenate([rim, rim[:2]])
        strips.append(ribbon(closed, np.full(len(closed), BAND)))
        ends.append((rim[np.argmin(rim[:, 0] * side)], rim[np.argmax(rim[:, 0] * side)]))
    (left_in, left_out), (right_in, right_out) = ends
    bridge = np.array([left_in, right_in]) - [0, 0.06]
    strips.append(ribbon(bridge, np.full(2, 0.22)))
    for out in (left_out, right_out):
        arm = np.array([out - [0, 0.1], out + [0.5 * np.sign(out[0]), -0.1]])
        strips.append(ribbon(arm, np.full(2, ARM)))
    near = np.max([canvas.fill([strip]) for strip in strips], axis=0)
    darker = 1 - lightness / np.maximum(base[..., 0], 1)
    frame = np.maximum(smoothstep(0.35, 0.5, darker), smoothstep(0.3, 0.5, lines))
    return canvas.blur(near * frame, 0.006)


def _along(canvas: Canvas, values: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """`values` (h, w) at the points of `curves` (N, M, 2): (N, M), 0 outside."""
    pixels = canvas.pixels(curves.reshape(-1, 2)).reshape(curves.shape).astype(np.float32)
    return cv2.remap(values, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR)


def _bar(canvas: Canvas, tone: np.ndarray) -> tuple[float, float]:
    """How much darker than skin is the darkest line across the nose between the eyes, and how colourful."""
    lab = canvas.blur(canvas.lab, 0.012)
    darker, colour = [], []
    for x in np.linspace(-0.07, 0.07, 5):
        column = canvas.pixels(np.stack([np.full(27, x), np.linspace(-0.2, 0.32, 27)], 1)).astype(np.float32)
        values = cv2.remap(lab, column[None, :, 0], column[None, :, 1], cv2.INTER_LINEAR)[0]
        depth = grey_closing(values[:, 0], 7) - values[:, 0]
        darker.append(depth.max() / tone[0])
        colour.append(np.hypot(*values[depth.argmax(), 1:]) / max(np.hypot(*tone[1:]), 1.0))
    return float(np.median(darker)), float(np.median(colour))
