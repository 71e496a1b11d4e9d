"""The face as the painter sees it: level, measured in interocular distances, in CIELAB, with brushes.

Face coordinates: the origin lies between the pupils, x runs to the right of the picture along the eyes, y down,
and the pupils are 1 apart. So every shape has the same size on every face and in every resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from ..crop.align import apply

FINER = 3  # How many times finer than the canvas crisp shapes are drawn.
COARSER = 4  # How many times coarser airbrushed shapes are drawn.
# Outlines by the numbers of their landmarks, from left to right.
EYE_OUTLINES = ((18, 19, 20, 21, 22, 30, 29, 28), (23, 24, 25, 26, 27, 33, 32, 31))
BROW_OUTLINES = ((71, 72, 73, 74, 75, 76, 84, 83), (77, 78, 79, 80, 81, 82, 86, 85))
LIP_OUTLINES = ((87, 88, 89, 90, 91, 92, 93, 108, 107, 106, 105, 104),)


@dataclass(frozen=True)
class Canvas:
    """A part of a photo with a face on it.

    lab: (h, w, 3) float32 CIELAB, changed by painting. points: (189, 2) landmarks in face coordinates.
    matrix: (2, 3), from face coordinates to canvas pixels. unit: pixels per interocular distance.
    x, y: (h, w) float32 face coordinates of each pixel. turned: see `Box.turned`.
    """

    lab: np.ndarray
    points: np.ndarray
    matrix: np.ndarray
    unit: float
    x: np.ndarray
    y: np.ndarray
    turned: float = 0.0

    @classmethod
    def of(cls, rgb: np.ndarray, landmarks: np.ndarray, turned: float = 0.0) -> Canvas:
        """rgb: (h, w, 3) float32 in 0..1; landmarks: (189, 2) in its pixels."""
        landmarks = np.asarray(landmarks, np.float64)
        (dx, dy), (x, y) = landmarks[1] - landmarks[0], landmarks[:2].sum(0) / 2
        matrix = np.array([[dx, -dy, x], [dy, dx, y]])
        inverse = cv2.invertAffineTransform(matrix)
        rows, columns = np.indices(rgb.shape[:2], np.float32)
        across, down = ((a * columns + b * rows + c).astype(np.float32) for a, b, c in inverse)
        lab, points = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB), apply(inverse, landmarks)
        return cls(lab, points, matrix, float(np.hypot(dx, dy)), across, down, turned)

    @property
    def far_side(self) -> float:
        """The width of the head's far side, as a share of its usual width, 0.3..1."""
        return 1 - float(np.clip(2.2 * (abs(self.turned) - 0.06), 0, 0.7))

    def pixels(self, curve: np.ndarray) -> np.ndarray:
        """Face coordinates (N, 2) to canvas pixels."""
        return apply(self.matrix, curve)

    def sample(self, values: np.ndarray, points: np.ndarray, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
        """`values` (h, w, ...) at points (N, M, 2) in face coordinates: (N, M, ...)."""
        pixels = self.pixels(points).astype(np.float32)
        return cv2.remap(values, pixels[..., 0], pixels[..., 1], cv2.INTER_LINEAR, borderMode=border)

    def fill(self, shapes: Sequence[np.ndarray]) -> np.ndarray:
        """Cover (h, w) float32 in 0..1 of polygons (N, 2) in face coordinates, antialiased; overlaps count once."""
        height, width = self.x.shape
        large = np.zeros((height * FINER, width * FINER), np.uint8)
        for shape in shapes:
            # Pixel centres lie at whole numbers in both resolutions.
            corners = np.clip((self.pixels(shape) + 0.5) * FINER - 0.5, -30_000, 30_000)
            cv2.fillPoly(large, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        return cv2.resize(large, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255

    def grow(self, shape: np.ndarray, margin: float) -> np.ndarray:
        """Cover (h, w) of a polygon (N, 2) with a margin around it."""
        size = 2 * max(1, round(margin * self.unit)) + 1
        return cv2.dilate(self.fill([shape]), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))

    def airbrush(self, curve: np.ndarray, radius: float | np.ndarray, weight: float | np.ndarray) -> np.ndarray:
        """Soft cover (h, w) float32 in 0..1: a Gaussian at each point of `curve` (N, 2), of one radius or one each."""
        x, y = self.x[::COARSER, ::COARSER], self.y[::COARSER, ::COARSER]
        cover = np.zeros(x.shape, np.float32)
        for at_x, at_y, r, w in np.broadcast(*curve.T, radius, weight):
            np.maximum(cover, w * np.exp(-((x - at_x) ** 2 + (y - at_y) ** 2) / (2 * r * r)), out=cover)
        # Sample n lies at pixel n * COARSER, not in the middle of its block: cv2.resize would shift it.
        height, width = self.x.shape
        back = np.array([[1 / COARSER, 0, 0], [0, 1 / COARSER, 0]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        large = cv2.warpAffine(cover, back, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return self.blur(large, COARSER / self.unit)

    def blur(self, values: np.ndarray, radius: float) -> np.ndarray:
        """Gaussian blur; `radius` is its standard deviation. Wide ones are computed at low resolution."""
        sigma = radius * self.unit
        shrink = int(sigma // 3)
        if shrink < 2:
            return cv2.GaussianBlur(values, (0, 0), max(sigma, 0.3), borderType=cv2.BORDER_REPLICATE)
        height, width = values.shape[:2]
        small = (max(1, width // shrink), max(1, height // shrink))
        low = cv2.resize(values, small, interpolation=cv2.INTER_AREA)
        sigmas = sigma * small[0] / width, sigma * small[1] / height
        low = cv2.GaussianBlur(low, (0, 0), sigmas[0], sigmaY=sigmas[1], borderType=cv2.BORDER_REPLICATE)
        return cv2.resize(low, (width, height), interpolation=cv2.INTER_CUBIC)

    def spread(self, values: np.ndarray, weights: np.ndarray, radius: float) -> np.ndarray:
        """Mean of `values` (h, w, 3) about each pixel, weighted by `weights` (h, w) of 0..1 and by distance."""
        mixed = self.blur(values * weights[..., None], radius)
        return mixed / np.maximum(self.blur(weights, radius), 1e-4)[..., None]

    def lay(self, colour: ArrayLike, cover: np.ndarray) -> None:
        """Lay a colour, (3,) or (h, w, 3) CIELAB, over the picture where `cover` (h, w) says how opaque it is."""
        self.lab[...] += cover[..., None] * (np.asarray(colour, np.float32) - self.lab)


def resized(values: np.ndarray, shape: Sequence[int], enlarging: int = cv2.INTER_LINEAR) -> np.ndarray:
    """Values (h, w, ...) at another height and width; averaged where they shrink."""
    interpolation = cv2.INTER_AREA if values.shape[0] > shape[0] else enlarging
    return cv2.resize(values, shape[::-1], interpolation=interpolation)


def to_rgb(lab: np.ndarray) -> np.ndarray:
    """CIELAB (h, w, 3) to float32 RGB in 0..1."""
    return np.clip(cv2.cvtColor(lab.astype(np.float32), cv2.COLOR_LAB2RGB), 0, 1)


def smooth_curve(points: np.ndarray, count: int = 48) -> np.ndarray:
    """(count, 2): a smooth curve through `points` (N, 2), evenly in arc length between them."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    # Centripetal spacing: no loops where two landmarks are close together.
    at = np.concatenate([[0], np.cumsum(np.sqrt(np.maximum(steps, 1e-6)))])
    return CubicSpline(at, points, bc_type="natural")(np.linspace(0, at[-1], count))


def normals(curve: np.ndarray) -> np.ndarray:
    """(N, 2): unit vectors across a curve (N, 2)."""
    along = np.gradient(curve, axis=0)
    return np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]


def ribbon(centre: np.ndarray, widths: np.ndarray | float) -> np.ndarray:
    """The polygon (2N, 2) of a stroke along `centre` (N, 2) of one full width, or of (N,)."""
    half = normals(centre) * np.reshape(widths, (-1, 1)) / 2
    return np.concatenate([centre + half, (centre - half)[::-1]])


def point_at(curve: np.ndarray, t: float) -> np.ndarray:
    """The point (2,) of a curve (N, 2) at t in 0..1."""
    return np.array([np.interp(t * (len(curve) - 1), np.arange(len(curve)), values) for values in curve.T])


def hair_stroke(root: np.ndarray, bend: np.ndarray, end: np.ndarray, width: float) -> np.ndarray:
    """The polygon of a hair that thins out along a quadratic Bezier curve."""
    t = np.linspace(0, 1, 12)[:, None]
    line = (1 - t) ** 2 * root + 2 * t * (1 - t) * bend + t**2 * end
    return ribbon(line, width * (1 - t[:, 0]) ** 0.8 + 0.001)
