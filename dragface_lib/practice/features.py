"""What landmarks do not show and colours do: the edges of an open mouth, and the frame of a pair of glasses."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import cv2
import numpy as np
from scipy.ndimage import grey_closing
from scipy.optimize import minimize

from ..crop.landmarks import CONTOURS, smoothstep
from .canvas import Canvas, ribbon, smooth_curve

# The grid of samples around the mouth.
GRID_X = np.linspace(-1.25, 1.25, 64)  # In halves of the mouth's width.
GRID_Y = np.linspace(-0.22, 0.48, 56)  # In interocular distances below the corners of the mouth.
OPEN = 0.03  # Gap between the lips above which a mouth is open, in interocular distances.
REFIT_AREA = 0.006  # Area of teeth and open mouth above which landmarks are refitted, in squares of that distance.
FAINT = 2.5  # Pinkness in CIELAB units below which lips stay where the landmarks are.
# A change of the curves: wider by a share, the corners lowered at left and right, the middle of each curve lowered.
USUAL_CHANGES = np.array([0.20, 0.06, 0.06, 0.05, 0.06, 0.14, 0.20])  # Usual sizes of the change.
STEPS = (0.08, 0.03, 0.03, 0.03, 0.03, 0.04, 0.05)  # The search's first steps.
STARTS = np.array(  # Where the search begins: as the landmarks say, open, broad, and lowered.
    [
        [0, 0, 0, 0, 0, 0, 0],
        [0.05, 0, 0, 0, 0, 0.04, 0.11],
        [0.15, 0, 0, 0, 0, 0.04, 0.11],
        [0, 0.02, 0.02, 0.02, 0.02, 0.02, 0.05],
    ]
)

# Glasses. Darkness is a share of the skin's lightness, chroma of the skin's chroma; lengths are interocular distances.
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
    """Move the lips' landmarks until they agree with the colours. base, tone: see `Skin`.

    The landmark network has learned from closed mouths and takes the lower edge of the teeth for that of the lips.
    Lips are pink, teeth or the dark of the mouth lie between them, and skin lies outside.
    """
    edges = ("upper_lip_top", "upper_lip_bottom", "lower_lip_top", "lower_lip_bottom")
    curves = np.array([smooth_curve(canvas.points[list(CONTOURS[edge])]) for edge in edges])
    left, right = curves[0, 0], curves[0, -1]
    half, angle = np.linalg.norm(right - left) / 2, np.arctan2(*(right - left)[::-1])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (left + right) / 2
    # Coordinates of the mouth: across in halves of its width, down in interocular distances.
    local = (curves - middle) @ turn / [half, 1]
    grid = np.stack(np.meshgrid(GRID_X * half, GRID_Y), -1) @ turn.T + middle
    lab = canvas.sample(canvas.blur(canvas.lab, 0.009), grid, cv2.BORDER_REPLICATE)
    skin = canvas.sample(base, grid, cv2.BORDER_REPLICATE)
    light, redness = lab[..., 0], lab[..., 1] - skin[..., 1]
    pink = redness - 0.6 * (lab[..., 2] - skin[..., 2])
    heights = [np.interp(GRID_X, *curve.T) for curve in local]
    near = (GRID_Y[:, None] > heights[0] - 0.03) & (GRID_Y[:, None] < heights[3] + 0.10) & (np.abs(GRID_X) < 0.8)
    strongest = max(float(np.percentile(pink[near], 88)), 1.0)
    lip = np.tanh((pink - 0.45 * strongest) / (0.35 * strongest))
    pale = 40 + 0.2 * float(tone[0])
    chroma = np.hypot(lab[..., 1], lab[..., 2]) / max(np.hypot(*tone[1:]), 6.0)
    teeth = smoothstep(-1.5, -5.0, redness) * smoothstep(0.95, 0.70, chroma) * smoothstep(pale - 5, pale + 5, light)
    inner = np.maximum(teeth, smoothstep(17, 9, light))
    cell = float(np.ptp(GRID_X) * half * np.ptp(GRID_Y)) / pink.size
    if strongest < FAINT or float(inner[near].sum()) * cell < REFIT_AREA:
        return Mouth(*curves)
    evidence = np.stack([-lip - teeth, lip - 1.5 * teeth, 2.2 * inner - 1.0, lip - 1.5 * teeth, -lip - teeth])
    x = np.clip(local[..., 0], -1, 1)
    thinnest = 0.7 * np.maximum(np.diff(local[:, 24, 1])[[0, 2]], 0.05)

    def moved(change: np.ndarray) -> np.ndarray:
        """The curves widened by change[0], with corners lowered by change[1:3] and middles by change[3:]."""
        lowered = local[..., 1] + change[1] * (1 - (x + 1) / 2) + change[2] * ((x + 1) / 2)
        lowered = lowered + change[3:, None] * (1 - np.abs(x) ** 2.4)
        return np.stack([local[..., 0] * (1 + change[0]), lowered], -1)

    def cost(change: np.ndarray) -> float:
        shapes = moved(change)
        lines = np.maximum.accumulate([np.interp(GRID_X, *curve.T) for curve in shapes])
        below = 1 / (1 + np.exp(-np.clip((GRID_Y[None, :, None] - lines[:, None]) / 0.006, -30, 30)))
        below[:, :, np.abs(GRID_X) > 1 + change[0]] = 0
        parts = np.concatenate([1 - below[:1], below[:-1] - below[1:], below[-1:]])
        gain = float((parts * evidence).sum()) / pink.size
        # Of the upper lip, the opening and the lower lip, in the middle of the mouth.
        gaps = np.diff(shapes[:, 24, 1])
        crossed = np.clip(-gaps, 0, None).sum()
        thin = np.clip(thinnest - gaps[[0, 2]], 0, None).sum()
        far = change / USUAL_CHANGES
        narrow = max(0.0, -change[0] - 0.02)  # A smile is broader than the landmarks say, hardly ever narrower.
        return -gain + 0.012 * float(far @ far) + 4 * crossed + 3 * (thin + narrow)

    fits = []
    for start in STARTS:
        simplex = {"initial_simplex": np.vstack([start, start + np.diag(STEPS)])}
        options = {"maxfev": 350, "xatol": 2e-3, "fatol": 2e-4}
        fits.append(minimize(cost, start, method="Nelder-Mead", options=options | simplex))
    curves = moved(min(fits, key=lambda fit: fit.fun).x)
    for above, curve in zip(curves[:-1], curves[1:], strict=True):  # No curve crosses the curve above it.
        curve[:, 1] = np.maximum(curve[:, 1], np.interp(curve[:, 0], *above.T))
    return Mouth(*(curve * [half, 1] @ turn.T + middle for curve in curves))


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
    """(h, w) float32 in 0..1: the frame of the glasses; zeros on a face without. base, tone: see `Skin`.

    Frames may be dark, of metal or of tortoiseshell, and wrinkles are dark lines too. So two signs must agree: a bar
    across the nose without the redness of a fold, and a thin line around each eye, alike on both sides.
    """
    darkness, chroma = _bar(canvas, tone)
    if darkness < BAR_DARKNESS or chroma > BAR_CHROMA:
        return np.zeros_like(canvas.x)
    lightness = canvas.blur(canvas.lab[..., 0], 0.004)
    size = 2 * round(RIM_WIDTH / 2 * canvas.unit) + 1
    lines = cv2.morphologyEx(lightness, cv2.MORPH_BLACKHAT, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    lines = canvas.blur(np.clip(lines / (RIM_DARKNESS * tone[0]), 0, 1), 0.008)
    shapes = _rims()
    along = np.stack([canvas.sample(lines, shapes * [side, 1] + canvas.points[eye]) for eye, side in PUPILS])
    below = along[..., BELOW_BROWS]
    scores = 0.5 * np.minimum(below, 0.6).mean((0, 2)) / 0.6 + 0.5 * (below > 0.25).mean((0, 2))
    if scores.max() < RIM_SCORE and (darkness < CLEAR_DARKNESS or chroma > CLEAR_CHROMA):
        return np.zeros_like(canvas.x)
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
