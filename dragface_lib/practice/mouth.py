"""The edges of the lips: the landmarks, moved until they agree with the colours around the mouth.

The landmark network has learned from closed mouths and takes the lower edge of the teeth for that of the lips. So
four curves are fitted: lips are pink between the first two and the last two, teeth or the dark of the mouth lie
between the second and the third, and skin lies outside.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import minimize

from ..crop.landmarks import CONTOURS
from ..crop.masks import smoothstep
from .canvas import Canvas, smooth_curve

EDGES = ("upper_lip_top", "upper_lip_bottom", "lower_lip_top", "lower_lip_bottom")
CURVE_POINTS = 48  # Points of a curve.
# The grid of samples around the mouth.
GRID_COLUMNS, GRID_ROWS = 64, 56
GRID_SIDE = 1.25  # Its reach to either side, in halves of the mouth's width.
GRID_ABOVE = 0.22  # Its reach above the corners, in interocular distances.
GRID_BELOW = 0.48  # Its reach below the corners.
OPEN = 0.03  # Gap between the lips above which a mouth is open, in interocular distances.
REFIT_AREA = 0.006  # Area of teeth and open mouth above which landmarks are refitted, in squares of that distance.
FAINT = 2.5  # Pinkness in CIELAB units below which lips stay where the landmarks are.
# A change of the curves: wider by a share, the corners lowered at left and right, the middle of each curve lowered.
RANGES = np.array([0.20, 0.06, 0.06, 0.05, 0.06, 0.14, 0.20])  # Usual sizes of the change.
STEPS = (0.08, 0.03, 0.03, 0.03, 0.03, 0.04, 0.05)  # The search's first steps.
STARTS = np.array(  # Where the search begins: as the landmarks say, open, broad, and lowered.
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0.05, 0, 0, 0, 0, 0.04, 0.11],
        [0.15, 0, 0, 0, 0, 0.04, 0.11],
        [0, 0.02, 0.02, 0.02, 0.02, 0.02, 0.05],
    ]
)


class Mouth(NamedTuple):
    """Four edges (48, 2) in face coordinates, from left to right, from the top of the upper lip downwards."""

    top: np.ndarray
    top_inner: np.ndarray
    bottom_inner: np.ndarray
    bottom: np.ndarray

    @property
    def is_open(self) -> bool:
        """Whether more than a seam lies between the lips."""
        return float(np.max(self.bottom_inner[8:-8, 1] - self.top_inner[8:-8, 1])) > OPEN

    @property
    def opening(self) -> np.ndarray:
        """The polygon between the lips."""
        return np.concatenate([self.top_inner, self.bottom_inner[::-1]])

    @property
    def outline(self) -> np.ndarray:
        """The polygon around both lips."""
        return np.concatenate([self.top, self.bottom[::-1]])


def find_mouth(canvas: Canvas, base: np.ndarray, tone: np.ndarray) -> Mouth:
    """Fit the mouth. base: (h, w, 3) CIELAB of the bare skin; tone: (3,) its median."""
    curves = np.array([smooth_curve(canvas.outline(CONTOURS[edge]), CURVE_POINTS) for edge in EDGES])
    left, right = curves[0, 0], curves[0, -1]
    half, angle = np.linalg.norm(right - left) / 2, np.arctan2(*(right - left)[::-1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (left + right) / 2
    # Coordinates of the mouth: across in halves of its width, down in interocular distances.
    local = (curves - middle) @ turn / [half, 1]
    across, down = np.linspace(-GRID_SIDE, GRID_SIDE, GRID_COLUMNS), np.linspace(-GRID_ABOVE, GRID_BELOW, GRID_ROWS)
    grid = np.stack(np.meshgrid(across * half, down), -1) @ turn.T + middle
    lab = canvas.sample(canvas.blur(canvas.lab, 0.009), grid, cv2.BORDER_REPLICATE)
    skin = canvas.sample(base, grid, cv2.BORDER_REPLICATE)
    light, redness = lab[..., 0], lab[..., 1] - skin[..., 1]
    pink = redness - 0.6 * (lab[..., 2] - skin[..., 2])
    heights = [np.interp(across, *curve.T) for curve in local]
    near = (down[:, None] > heights[0] - 0.03) & (down[:, None] < heights[3] + 0.10) & (np.abs(across) < 0.8)
    strongest = max(float(np.percentile(pink[near], 88)), 1.0)
    lip = np.tanh((pink - 0.45 * strongest) / (0.35 * strongest))
    pale = 40 + 0.2 * float(tone[0])
    chroma = np.hypot(lab[..., 1], lab[..., 2]) / max(np.hypot(*tone[1:]), 6.0)
    teeth = smoothstep(-1.5, -5.0, redness) * smoothstep(0.95, 0.70, chroma) * smoothstep(pale - 5, pale + 5, light)
    inner = np.maximum(teeth, smoothstep(17, 9, light))
    cell = 2 * GRID_SIDE * half / GRID_COLUMNS * (GRID_ABOVE + GRID_BELOW) / GRID_ROWS
    if strongest < FAINT or float(inner[near].sum()) * cell < REFIT_AREA:
        return Mouth(*curves)
    evidence = np.stack([-lip - teeth, lip - 1.5 * teeth, 2.2 * inner - 1.0, lip - 1.5 * teeth, -lip - teeth])

    x = np.clip(local[..., 0], -1, 1)

    def edges(change: np.ndarray) -> np.ndarray:
        """The curves widened by change[0], with corners lowered by change[1:3] and middles by change[3:]."""
        lowered = local[..., 1] + change[1] * (1 - (x + 1) / 2) + change[2] * ((x + 1) / 2)
        lowered = lowered + change[3:, None] * (1 - np.abs(x) ** 2.4)
        return np.stack([local[..., 0] * (1 + change[0]), lowered], -1)

    def cost(change: np.ndarray) -> float:
        shapes = edges(change)
        lines = np.maximum.accumulate([np.interp(across, *curve.T) for curve in shapes])
        below = 1 / (1 + np.exp(-np.clip((down[None, :, None] - lines[:, None]) / 0.006, -30, 30)))
        below[:, :, np.abs(across) > 1 + change[0]] = 0
        parts = np.concatenate([1 - below[:1], below[:-1] - below[1:], below[-1:]])
        gain = float((parts * evidence).sum()) / (GRID_ROWS * GRID_COLUMNS)
        # Of the upper lip, the opening and the lower lip, in the middle of the mouth.
        gaps = np.diff(shapes[:, CURVE_POINTS // 2, 1])
        crossed = np.clip(-gaps, 0, None).sum()
        thin = np.clip(thinnest - gaps[[0, 2]], 0, None).sum()
        far = change / RANGES
        narrow = max(0.0, -change[0] - 0.02)  # A smile is broader than the landmarks say, hardly ever narrower.
        return -gain + 0.012 * float(far @ far) + 4 * crossed + 3 * (thin + narrow)

    thinnest = 0.7 * np.maximum(np.diff(local[:, CURVE_POINTS // 2, 1])[[0, 2]], 0.05)
    fits = []
    for start in STARTS:
        simplex = {"initial_simplex": np.vstack([start, start + np.diag(STEPS)])}
        options = {"maxfev": 350, "xatol": 2e-3, "fatol": 2e-4}
        fits.append(minimize(cost, start, method="Nelder-Mead", options=options | simplex))
    best = min(fits, key=lambda fit: fit.fun)
    return Mouth(*(curve * [half, 1] @ turn.T + middle for curve in _in_order(edges(best.x))))


def _in_order(curves: np.ndarray) -> list[np.ndarray]:
    """The same curves, lowered where they cross the curve before them."""
    ordered = [curves[0]]
    for curve in curves[1:]:
        above = np.interp(curve[:, 0], *ordered[-1].T)
        ordered.append(np.stack([curve[:, 0], np.maximum(curve[:, 1], above)], 1))
    return ordered
