"""Where the lips really are: the landmarks, moved until they agree with the colours around the mouth.

The landmark network has learned from closed mouths and takes the lower edge of the teeth for that of the lips. So a
shape of four curves is fitted: between the first two and the last two it wants the pink of lips, between the second
and the third teeth or the dark of the mouth, and skin outside.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.optimize import minimize

from ..crop.masks import smoothstep
from .canvas import Canvas, smooth_curve

TOP, TOP_INNER = (87, 88, 89, 90, 91, 92, 93), (87, 94, 95, 96, 97, 98, 93)
BOTTOM_INNER, BOTTOM = (87, 99, 100, 101, 102, 103, 93), (87, 104, 105, 106, 107, 108, 93)
COUNT = 48  # points of a curve
COLUMNS, ROWS = 64, 56  # samples of the part of the face that is looked at
REACH = 1.25  # of it to either side, in halves of the mouth's width
ABOVE, BELOW = 0.22, 0.48  # of it above and below the corners of the mouth, in interocular distances
OPEN = 0.03  # gap between the lips, in interocular distances, from which on a mouth is open
SHOWN = 0.006  # of teeth and open mouth, in squares of that distance, from which on the landmarks are not believed
FAINT = 2.5  # CIELAB units of pinkness: lips that stand out less are left where the landmarks say


class Mouth(NamedTuple):
    """Four edges (48, 2) in face coordinates, from left to right, from the top of the upper lip downwards."""

    top: np.ndarray
    top_inner: np.ndarray
    bottom_inner: np.ndarray
    bottom: np.ndarray

    @property
    def gap(self) -> float:
        """The widest opening between the lips, in interocular distances."""
        return float(np.max(self.bottom_inner[8:-8, 1] - self.top_inner[8:-8, 1]))

    @property
    def is_open(self) -> bool:
        """Whether more than a seam lies between the lips."""
        return self.gap > OPEN

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
    curves = [smooth_curve(canvas.points[list(part)], COUNT) for part in (TOP, TOP_INNER, BOTTOM_INNER, BOTTOM)]
    left, right = canvas.points[87], canvas.points[93]
    half, angle = np.linalg.norm(right - left) / 2, np.arctan2(*(right - left)[::-1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (left + right) / 2
    # Coordinates of the mouth: across in halves of its width, down in interocular distances.
    local = [(curve - middle) @ turn / [half, 1] for curve in curves]
    across, down = np.linspace(-REACH, REACH, COLUMNS), np.linspace(-ABOVE, BELOW, ROWS)
    grid = np.stack(np.meshgrid(across * half, down), -1) @ turn.T + middle
    pixels = canvas.pixels(grid.reshape(-1, 2)).reshape(ROWS, COLUMNS, 2).astype(np.float32)
    lab, skin = (
        cv2.remap(image, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for image in (canvas.blur(canvas.lab, 0.009), base)
    )
    pink = (lab[..., 1] - skin[..., 1]) - 0.6 * (lab[..., 2] - skin[..., 2])
    heights = np.stack([np.interp(across, curve[:, 0], curve[:, 1]) for curve in local])
    near = (down[:, None] > heights[0] - 0.03) & (down[:, None] < heights[3] + 0.10) & (np.abs(across) < 0.8)
    strongest = float(np.percentile(pink[near], 88))
    strongest = max(strongest, 1.0)
    lip = np.tanh((pink - 0.45 * strongest) / (0.35 * strongest))
    light, redness = lab[..., 0], lab[..., 1] - skin[..., 1]
    pale = 40 + 0.2 * float(tone[0])
    paler = np.hypot(lab[..., 1], lab[..., 2]) / max(np.hypot(*tone[1:]), 6.0)
    teeth = smoothstep(-1.5, -5.0, redness) * smoothstep(0.95, 0.70, paler) * smoothstep(pale - 5, pale + 5, light)
    inner = np.maximum(teeth, smoothstep(17, 9, light))
    cell = 2 * REACH * half / COLUMNS * (ABOVE + BELOW) / ROWS
    if strongest < FAINT or float(inner[near].sum()) * cell < SHOWN:
        return Mouth(*curves)
    evidence = np.stack([-lip - teeth, lip - 1.5 * teeth, 2.2 * inner - 1.0, lip - 1.5 * teeth, -lip - teeth])

    def moved(change: np.ndarray, curve: np.ndarray, shift: float) -> np.ndarray:
        wider, up_left, up_right = change[:3]
        x = curve[:, 0] * (1 + wider)
        share = (np.clip(curve[:, 0], -1, 1) + 1) / 2
        swell = 1 - np.abs(np.clip(curve[:, 0], -1, 1)) ** 2.4
        return np.stack([x, curve[:, 1] + up_left * (1 - share) + up_right * share + shift * swell], 1)

    def edges(change: np.ndarray) -> list[np.ndarray]:
        return [moved(change, curve, shift) for curve, shift in zip(local, change[3:], strict=True)]

    thinnest = [0.7 * max(local[n + 1][COUNT // 2, 1] - local[n][COUNT // 2, 1], 0.05) for n in (0, 2)]

    def cost(change: np.ndarray) -> float:
        shape = edges(change)
        beyond = np.abs(across) > 1 + change[0]
        lines = np.stack([np.interp(across, curve[:, 0], curve[:, 1]) for curve in shape])
        lines[1:] = np.maximum.accumulate(lines, 0)[1:]
        below = 1 / (1 + np.exp(-np.clip((down[None, :, None] - lines[:, None]) / 0.006, -30, 30)))
        below[:, :, beyond] = 0
        parts = np.concatenate([1 - below[:1], below[:-1] - below[1:], below[-1:]])
        gain = float((parts * evidence).sum()) / (ROWS * COLUMNS)
        crossed = np.clip(-np.diff([curve[COUNT // 2, 1] for curve in shape]), 0, None).sum()
        thickness = [shape[n + 1][COUNT // 2, 1] - shape[n][COUNT // 2, 1] for n in (0, 2)]
        thin = sum(max(0.0, least - one) for least, one in zip(thinnest, thickness, strict=True))
        far = change / np.array([0.20, 0.06, 0.06, 0.05, 0.06, 0.14, 0.20])
        narrow = max(0.0, -change[0] - 0.02)  # a smile is broader than the landmarks say, hardly ever narrower
        return -gain + 0.012 * float(far @ far) + 4 * crossed + 3 * (thin + narrow)

    wide_open, broad = (np.array([wider, 0, 0, 0, 0, 0.04, 0.11]) for wider in (0.05, 0.15))
    lower_down = np.array([0, 0.02, 0.02, 0.02, 0.02, 0.02, 0.05])
    starts = [np.zeros(7), wide_open, broad, lower_down]
    steps = np.diag([0.08, 0.03, 0.03, 0.03, 0.03, 0.04, 0.05])
    fits = [
        minimize(
            cost,
            start,
            method="Nelder-Mead",
            options={"initial_simplex": np.vstack([start, start + steps]), "maxfev": 350, "xatol": 2e-3, "fatol": 2e-4},
        )
        for start in starts
    ]
    best = min(fits, key=lambda fit: fit.fun)
    return Mouth(*(curve * [half, 1] @ turn.T + middle for curve in _in_order(edges(best.x))))


def _in_order(curves: list[np.ndarray]) -> list[np.ndarray]:
    """The same curves, none above the one before it."""
    ordered = [curves[0]]
    for curve in curves[1:]:
        above = np.interp(curve[:, 0], ordered[-1][:, 0], ordered[-1][:, 1])
        ordered.append(np.stack([curve[:, 0], np.maximum(curve[:, 1], above)], 1))
    return ordered
