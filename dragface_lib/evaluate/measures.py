"""What is measured on a face and its drag: colour by part of the face, distances between sets, how sure a mean is.

Pure functions on pictures and numbers; `validation.py` says of which pictures, and what the numbers mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..crop.align import interocular
from ..crop.landmarks import CONTOURS, OVAL

FACE = 256  # pixels of the aligned face on which the landmarks were found
FINE = 4  # parts are drawn at so many times that, so that at 64 px a lid of two pixels still has its true weight
PARTS = ("lips", "left_lid", "right_lid", "brows", "cheeks", "skin", "outside")
LIFTED = 0.14  # in interocular distances: so much higher than the brow, which it covers, drag draws its own
CHEEK = 0.17  # radius, in interocular distances
RESAMPLES = 1000
CAP = 60.0  # dB: nobody sees a difference beyond, and that of an untouched picture would be infinite


def parts_of_face(points: np.ndarray, size: int) -> np.ndarray:
    """How far each pixel of an aligned face of `size` pixels belongs to each of PARTS: (7, size, size) uint8, 0..255.

    points: (189, 2) landmarks of the bare face in pixels of its crop of 256. lips: without the open mouth. lids: from
    the upper lashes halfway from crease to brow. brows: the natural ones and, above, where drag draws its own.
    cheeks: a disc each. skin: the rest of the face. outside: background, hair and neck, where nothing may change.
    """
    eyes = interocular(points)

    def along(name: str) -> np.ndarray:
        return points[list(CONTOURS[name])]

    lips = _filled([along("upper_lip_top"), along("lower_lip_bottom")])
    lips = np.minimum(lips, 255 - _filled([along("upper_lip_bottom"), along("lower_lip_top")]))
    lids, brows, cheeks = [], [], []
    for side, lip, jaw in (("left", 87, 125), ("right", 93, 133)):
        lashes, crease, bottom = along(f"{side}_upper_lashes"), along(f"{side}_crease"), along(f"{side}_brow_bottom")
        halfway = (crease[:, 1] + np.minimum(crease[:, 1], np.interp(crease[:, 0], *bottom.T))) / 2
        lids.append(_filled([np.column_stack([crease[:, 0], halfway]), lashes]))
        brows.append(_filled([along(f"{side}_brow_top") - [0, LIFTED * eyes], bottom]))
        outer = lashes[0 if side == "left" else -1]
        middle = (outer + points[lip] + points[jaw]) / 3
        angles = np.linspace(0, 2 * np.pi, 24)
        cheeks.append(_filled([middle + CHEEK * eyes * np.stack([np.cos(angles), np.sin(angles)], 1)]))
    face = _filled([points[list(OVAL)]])
    parts = [lips, *lids, np.maximum(*brows), np.maximum(*cheeks)]
    parts += [np.minimum(face, 255 - np.max(parts, axis=0)), 255 - face]
    return np.stack([cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA) for part in parts])


def _filled(edges: Sequence[np.ndarray]) -> np.ndarray:
    """The shape between two edges, given from left to right, or within one closed one: uint8, 0 or 255."""
    shape = np.concatenate([edges[0], *(edge[::-1] for edge in edges[1:])])
    page = np.zeros((FACE * FINE, FACE * FINE), np.uint8)
    corners = np.clip((shape + 0.5) * FINE - 0.5, -30_000, 30_000)
    return cv2.fillPoly(page, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_8, 4)


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB to float32 CIELAB: L 0..100, a and b about -100..100."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def colour_distance(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distance in CIELAB (CIE 1976) of every pixel of two (H, W, 3) pictures in CIELAB; 2.3 is just noticeable."""
    return np.linalg.norm(one - other, axis=-1)


def means(values: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Mean of (H, W) or (H, W, C) values over each part (P, H, W): (P,) or (P, C). 0 for a part with no pixel."""
    weights = parts.astype(np.float32).reshape(len(parts), -1)
    sums = weights @ values.reshape(weights.shape[1], -1).astype(np.float32)
    found = sums / np.maximum(weights.sum(1), 1)[:, None]
    return found[:, 0] if values.ndim == 2 else found


def psnr(one: np.ndarray, other: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio of two (H, W, 3) uint8 pictures in dB, at most CAP; where: (H, W) weights."""
    error = np.square(one.astype(np.float32) - other).mean(-1)
    mean = np.average(error, weights=where) if where is None or where.any() else 0.0
    return float(min(CAP, 10 * np.log10(255**2 / max(mean, 1e-9))))


class Interval(NamedTuple):
    """A number, and between which two it lies with 95 % confidence, by the bootstrap."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean over faces and its 95 % interval (percentiles over resampled faces; always the same for the same)."""
    values = np.asarray(values, np.float64)
    weights = _resamples(len(values), 0)
    return _interval(float(values.mean()), weights @ values / len(values))


def kid(one: np.ndarray, other: np.ndarray) -> Interval:
    """Kernel inception distance of two sets of features (N, D) and (M, D), of two or more pictures each.

    The unbiased estimate of the squared maximum mean discrepancy with the kernel (x y / D + 1)^3 (Binkowski et al.,
    ICLR 2018, arXiv:1801.01401): about 0, and below it as often as above, where both come from the same kind of
    pictures. The interval is over resampled pictures of both sets, whose copies are not compared with each other.
    """

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1) ** 3

    within = [kernel(features, features) for features in (one, other)]
    for square in within:
        np.fill_diagonal(square, 0)
    across = kernel(one, other)

    def distance(*weights: np.ndarray) -> np.ndarray:
        sums = [((w @ square) * w).sum(1) for w, square in zip(weights, within, strict=True)]
        pairs = [np.maximum(1, w.sum(1) ** 2 - np.square(w).sum(1)) for w in weights]  # 0: one picture, time and again
        between = ((weights[0] @ across) * weights[1]).sum(1) / (weights[0].sum(1) * weights[1].sum(1))
        return sums[0] / pairs[0] + sums[1] / pairs[1] - 2 * between

    value = distance(np.ones((1, len(one))), np.ones((1, len(other))))
    return _interval(float(value[0]), distance(_resamples(len(one), 1), _resamples(len(other), 2)))


def _resamples(count: int, seed: int) -> np.ndarray:
    """(RESAMPLES, count): how often each of `count` things is drawn when `count` are drawn with replacement."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(count, np.full(count, 1 / count), RESAMPLES).astype(np.float64)


def _interval(value: float, resampled: np.ndarray) -> Interval:
    return Interval(value, *(float(end) for end in np.percentile(resampled, (2.5, 97.5))))
