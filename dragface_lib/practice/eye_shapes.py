"""The shapes of an eye and of the brow that is drawn above it, and the hairs of lashes and brows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from ..crop.landmarks import CONTOURS
from .canvas import Canvas, ribbon, smooth_curve
from .looks import Makeup

BROW_WIDTH = 0.084  # Width of the drawn brow where it is widest, in interocular distances.
CLOSED = 0.14  # Opening of the lids, as a share of the eye's width, below which an eye is shut.
MIDDLE_HAIRLINE = (137, 138, 139, 140, 141)


@dataclass(frozen=True)
class Eye:
    """An eye in face coordinates whose x runs outwards from the nose, so that both eyes are alike.

    side: -1 at the left of the picture, 1 at the right. The curves (N, 2) run from the nose outwards. brow: the
    middle line of the drawn brow, and brow_width (N,) its width. room: for wing and tail of the brow beyond the outer
    corner; less than 1 on the far side of a turned head. where: (h, w) in 0..1, where make-up may go.
    """

    side: int
    upper: np.ndarray
    lower: np.ndarray
    crease: np.ndarray
    brow: np.ndarray
    brow_width: np.ndarray
    room: float
    where: np.ndarray

    @property
    def width(self) -> float:
        """From corner to corner, in interocular distances."""
        return float(np.linalg.norm(self.upper[-1] - self.upper[0]))

    @property
    def closed(self) -> bool:
        """Whether the lids are together, or nearly so."""
        return float(np.max(self.lower[:, 1] - self.upper[:, 1])) < CLOSED * self.width

    def fill(self, canvas: Canvas, shapes: list[np.ndarray]) -> np.ndarray:
        """Cover (h, w) of polygons in the eye's coordinates."""
        return canvas.fill([shape * [self.side, 1] for shape in shapes])


def contour(canvas: Canvas, name: str, side: int) -> np.ndarray:
    """Landmarks of an eye in its own coordinates, from the nose outwards."""
    left_to_right = CONTOURS[f"{'left' if side < 0 else 'right'}_{name}"]
    return canvas.outline(left_to_right[::side]) * [side, 1]


def study_eyes(canvas: Canvas, makeup: Makeup, where: np.ndarray) -> list[Eye]:
    """Both eyes, with the brows that suit them: as alike as the face allows."""
    natural = {}  # heights of the brow's start, arch and tail above the corners of the eye
    for side in (-1, 1):
        top, bottom, upper = (contour(canvas, name, side)[:, 1] for name in ("brow_top", "brow_bottom", "upper_lashes"))
        level = (upper[0] + upper[-1]) / 2
        parts = (top[:2].mean() + bottom[:2].mean()) / 2, top.min(), (top[-1] + bottom[-1]) / 2
        natural[side] = level - np.array(parts)
    mean = np.mean(list(natural.values()), axis=0)
    t = np.linspace(0, 1, 64)
    widths = PchipInterpolator([0, 0.06, 0.25, 0.5, 0.66, 0.85, 1], [0.62, 0.85, 1.0, 0.88, 0.66, 0.34, 0.04])(t)
    eyes = []
    for side, heights in natural.items():
        upper, lower, crease = (contour(canvas, name, side) for name in ("upper_lashes", "lower_lashes", "crease"))
        start, peak, end = 0.25 * heights + 0.75 * mean
        level, first, width = (upper[0, 1] + upper[-1, 1]) / 2, upper[0, 0], upper[-1, 0] - upper[0, 0]
        hairline = level - canvas.outline(MIDDLE_HAIRLINE)[:, 1].max() - 0.12
        start = np.clip(start, 0.24, 0.45) + 0.75 * makeup.brow_lift
        peak = min(np.clip(peak, 0.34, 0.62) + makeup.brow_lift, max(hairline, 0.42))
        end = max(np.clip(end, 0.18, 0.42) + 0.6 * makeup.brow_lift, peak - 0.26)
        rise = peak - start
        above = np.array([*(start + np.array([0, 0.22, 0.62, 0.93]) * rise), peak, peak - 0.045, end])
        at = np.array([-0.14, 0.08, 0.36, 0.62, 0.84, 1.10, 1.50])
        room = canvas.far_side if side * canvas.turned > 0 else 1.0
        at = np.where(at > 1, 1 + (at - 1) * room, at)
        brow = smooth_curve(np.stack([first + at * width, level - above], 1), 64)
        curves = smooth_curve(upper), smooth_curve(lower), smooth_curve(crease), brow
        eyes.append(Eye(side, *curves, widths * BROW_WIDTH, room, where))
    return eyes


def point_at(curve: np.ndarray, t: float) -> np.ndarray:
    """The point (2,) of a curve (N, 2) at t in 0..1."""
    return np.array([np.interp(t * (len(curve) - 1), np.arange(len(curve)), values) for values in curve.T])


def hair_stroke(root: np.ndarray, bend: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    """The polygon of a hair that thins out along a quadratic Bezier curve."""
    t = np.linspace(0, 1, 12)[:, None]
    line = (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t**2 * end
    return ribbon(line, width * (1 - t[:, 0]) ** 0.8 + 0.001)
