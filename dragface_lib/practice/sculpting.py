"""Contour, blush and highlight: they turn the light on a face into cheekbones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ..crop.landmarks import CONTOURS, HAIRLINE
from .canvas import Canvas, smooth_curve
from .looks import Makeup
from .skin import Skin

# Of each side: the edge from temple to ear, the corner of the mouth, the outer corner of the eye, the end of the
# brow at the nose, the side of the nose, the lower lid, the hairline at the temple.
LANDMARKS = {
    -1: ((109, 185, 110, 186, 111), 87, 18, 76, (50, 51, 52, 53, 54), (28, 29, 30), (134, 135)),
    1: ((112, 187, 113, 188, 114), 93, 27, 77, (56, 57, 58, 59, 60), (33, 32, 31), (144, 143)),
}
HIGHLIGHT = 1.1  # Strength of the highlight.
WARMTH = (4.5, 3.0)  # CIELAB a and b added to contour, which looks like dirt without them.


# An airbrushed stroke: its layer, the points of its curve, and radius and weight at its first and its last point.
Stroke = tuple[str, Sequence | np.ndarray, tuple[float, float], tuple[float, float]]


def sculpt(canvas: Canvas, skin: Skin, makeup: Makeup) -> None:
    """Airbrush contour, blush and highlight along the bones, on skin only."""
    layers = {name: np.zeros_like(canvas.x) for name in ("contour", "highlight", "blush")}
    # On a turned head the hairline's landmarks are a guess.
    frontal = max(0.0, 1 - 3 * abs(canvas.turned))
    p = canvas.points
    for name, points, radius, weight in (*_cheek(p, -1, frontal), *_cheek(p, 1, frontal), *_middle(p, skin, frontal)):
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


def _cheek(p: np.ndarray, side: int, frontal: float) -> Iterator[Stroke]:
    edges, corner, outer, brow, nose, lid, temple = LANDMARKS[side]
    edge, mouth, eye, brow = p[list(edges)], p[corner], p[outer], p[brow]
    ear = (edge[2] + edge[3]) / 2 * [0.97, 1]
    halfway = [0.55 * mouth[0] + 0.45 * edge[3, 0], 0.45 * ear[1] + 0.55 * (mouth[1] - 0.16)]
    yield ("contour", [ear, halfway, mouth + [0.17 * side, -0.22]], (0.095, 0.05), (1.0, 0.25))
    yield ("contour", [edge[0], *p[list(temple)]], (0.11, 0.11), (0.75 * frontal, 0.75 * frontal))
    bridge = p[list(nose)] + [0.045 * side, 0]
    yield ("contour", bridge, (0.035, 0.042), (0.5, 0.85))
    socket = [(brow[0] + bridge[0, 0]) / 2, brow[1] + 0.15]
    yield ("contour", [brow + [0.05 * side, 0.06], socket, bridge[0]], (0.045, 0.045), (0.55, 0.55))
    # Swept from the cheek up to the temple: a round spot would make a doll of the face.
    apple = np.array([0.92 * eye[0], 0.49 * mouth[1]])
    rise = [apple, [1.18 * eye[0], apple[1] - 0.13], [0.97 * edge[1, 0], eye[1] + 0.12]]
    yield ("blush", rise, (0.082, 0.085), (0.65, 1.1))
    bone = [eye + [-0.06 * side, 0.31], eye + [0.09 * side, 0.22], eye + [0.20 * side, 0.06]]
    yield ("highlight", bone, (0.05, 0.042), (0.5, 1.0))
    yield ("highlight", p[list(lid)] * [0.96, 1] + [0, 0.16], (0.065, 0.065), (0.75, 0.75))


def _middle(p: np.ndarray, skin: Skin, frontal: float) -> Iterator[Stroke]:
    yield ("contour", p[list(CONTOURS["jaw"])], (0.085, 0.085), (0.8, 0.8))
    yield ("contour", p[list(HAIRLINE)], (0.11, 0.11), (0.55 * frontal, 0.55 * frontal))
    yield ("contour", skin.mouth.bottom[23:24] + [0, 0.09], (0.06, 0.06), (0.45, 0.45))
    yield ("highlight", (p[[50, 51, 52, 53]] + p[[56, 57, 58, 59]]) / 2, (0.024, 0.024), (0.7, 1.0))
    yield ("highlight", (p[[54]] + p[[60]]) / 2, (0.038, 0.038), (0.9, 0.9))
    between = (p[76] + p[77]) / 2
    yield ("highlight", [between, 0.45 * between + 0.55 * p[139]], (0.06, 0.15), (0.5, 0.5))
    yield ("highlight", skin.mouth.top[23:24] - [0, 0.055], (0.032, 0.032), (0.8, 0.8))
    yield ("highlight", p[[175]], (0.085, 0.085), (0.55, 0.55))
