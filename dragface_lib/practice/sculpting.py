"""Contour, blush and highlight: what turns the light on a face into cheekbones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .canvas import Canvas, smooth_curve
from .looks import Makeup
from .skin import Skin

# Of each side of the face: its edge from the temple to the ear, the corner of the mouth, the outer corner of the
# eye, the end of the brow at the nose, the side of the nose, the lower lid, the hairline at the temple.
LANDMARKS = {
    -1: ((109, 185, 110, 186, 111), 87, 18, 76, (50, 51, 52, 53, 54), (28, 29, 30), (134, 135)),
    1: ((112, 187, 113, 188, 114), 93, 27, 77, (56, 57, 58, 59, 60), (33, 32, 31), (144, 143)),
}
JAW = (111, *range(125, 134), 114)
HAIRLINE = tuple(range(134, 145))
WARMTH = (4.5, 3.0)  # CIELAB a and b by which contour is warmer than shade, or else it looks like dirt


class _Layers:
    """Three covers (h, w) that brushes add to: `dark`, `light` and `pink`."""

    def __init__(self, canvas: Canvas):
        self._canvas = canvas
        self.dark, self.light, self.pink = (np.zeros(canvas.shape, np.float32) for _ in range(3))

    def brush(
        self, layer: np.ndarray, points: Sequence | np.ndarray, radius: tuple[float, float], weight: tuple[float, float]
    ) -> None:
        """Airbrush a smooth curve through `points`; radius and weight run from its first point to its last."""
        curve = smooth_curve(np.array(points), 24) if len(points) > 1 else np.array(points)
        count = len(curve)
        np.maximum(layer, self._canvas.airbrush(curve, np.linspace(*radius, count), np.linspace(*weight, count)), layer)


def sculpt(canvas: Canvas, skin: Skin, makeup: Makeup) -> None:
    """Airbrush contour, blush and highlight along the bones, on skin only."""
    layers = _Layers(canvas)
    # Where hair begins on a turned head the landmarks only guess.
    frontal = max(0.0, 1 - 3 * abs(canvas.turned))
    for side in LANDMARKS:
        _cheek(canvas.points, layers, side, frontal)
    _middle(canvas.points, layers, skin, frontal)
    worn = skin.worn * (1 - skin.openings)
    dark, light, pink = layers.dark * worn, layers.light * worn, layers.pink * worn
    lab = canvas.lab
    dark *= makeup.contour * (1 - 0.7 * light)
    lab[..., 0] -= (8.0 + 0.15 * skin.tone[0]) * dark
    lab[..., 1] += WARMTH[0] * dark
    lab[..., 2] += (WARMTH[1] + 4.0 * skin.lightness) * dark
    # Blush adds to the skin's colour and hardly changes its lightness, so that it shows on every skin.
    tint = np.asarray(makeup.blush) / max(1.0, np.hypot(*makeup.blush[1:]))
    flush = pink * makeup.blush_strength
    lab[..., 0] -= (2.0 + 4.0 * skin.lightness) * flush
    # Dark skin takes more of it before it is seen.
    strong = 21 + 7 * (1 - skin.lightness)
    lab[..., 1] += strong * tint[1] * flush
    lab[..., 2] += strong * tint[2] * flush
    glow = light * makeup.highlight
    lab[..., 0] += (11.0 + 0.12 * (75 - skin.tone[0])) * glow * np.clip((100 - lab[..., 0]) / 25, 0, 1)
    lab[..., 2] += (1 - skin.lightness) * 4 * glow


def _cheek(p: np.ndarray, to: _Layers, side: int, frontal: float) -> None:
    edges, corner, outer, brow, nose, lid, temple = LANDMARKS[side]
    edge, mouth, eye, brow = p[list(edges)], p[corner], p[outer], p[brow]
    ear = (edge[2] + edge[3]) / 2 * [0.97, 1]
    halfway = [0.55 * mouth[0] + 0.45 * edge[3, 0], 0.45 * ear[1] + 0.55 * (mouth[1] - 0.16)]
    to.brush(to.dark, [ear, halfway, mouth + [0.17 * side, -0.22]], (0.095, 0.05), (1.0, 0.25))
    to.brush(to.dark, [edge[0], *p[list(temple)]], (0.11, 0.11), (0.75 * frontal, 0.75 * frontal))
    bridge = p[list(nose)] + [0.045 * side, 0]
    to.brush(to.dark, bridge, (0.035, 0.042), (0.5, 0.85))
    socket = [(brow[0] + bridge[0, 0]) / 2, brow[1] + 0.15]
    to.brush(to.dark, [brow + [0.05 * side, 0.06], socket, bridge[0]], (0.045, 0.045), (0.55, 0.55))
    # Swept from the cheek up to the temple: a round spot would make a doll of the face.
    apple = np.array([0.92 * eye[0], 0.49 * mouth[1]])
    rise = [apple, [1.18 * eye[0], apple[1] - 0.13], [0.97 * edge[1, 0], eye[1] + 0.12]]
    to.brush(to.pink, rise, (0.082, 0.085), (0.65, 1.1))
    bone = [eye + [-0.06 * side, 0.31], eye + [0.09 * side, 0.22], eye + [0.20 * side, 0.06]]
    to.brush(to.light, bone, (0.05, 0.042), (0.5, 1.0))
    to.brush(to.light, p[list(lid)] * [0.96, 1] + [0, 0.16], (0.065, 0.065), (0.75, 0.75))


def _middle(p: np.ndarray, to: _Layers, skin: Skin, frontal: float) -> None:
    to.brush(to.dark, p[list(JAW)], (0.085, 0.085), (0.8, 0.8))
    to.brush(to.dark, p[list(HAIRLINE)], (0.11, 0.11), (0.55 * frontal, 0.55 * frontal))
    to.brush(to.dark, skin.mouth.bottom[23:24] + [0, 0.09], (0.06, 0.06), (0.45, 0.45))
    ridge = (p[[50, 51, 52, 53]] + p[[56, 57, 58, 59]]) / 2
    to.brush(to.light, ridge, (0.024, 0.024), (0.7, 1.0))
    to.brush(to.light, (p[[54]] + p[[60]]) / 2, (0.038, 0.038), (0.9, 0.9))
    between = (p[76] + p[77]) / 2
    to.brush(to.light, [between, 0.45 * between + 0.55 * p[139]], (0.06, 0.15), (0.5, 0.5))
    to.brush(to.light, skin.mouth.top[23:24] - [0, 0.055], (0.032, 0.032), (0.8, 0.8))
    to.brush(to.light, p[[175]], (0.085, 0.085), (0.55, 0.55))
