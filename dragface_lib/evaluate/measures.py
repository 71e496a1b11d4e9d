"""What is measured on a face: patches by level and part, the colour of make-up, and how sure a mean is.

Pure functions on pictures and numbers; `validation.py` says which pictures are compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from ..crop.align import interocular
from ..crop.landmarks import CONTOURS, OVAL

FACE = 256  # pixels of the aligned face on which the landmarks were found
LEVELS = ("line", "shape", "colour")  # details of a pixel or two; of two to four; what is left after smoothing
PARTS = ("left_eye", "right_eye", "lips", "skin", "outside")
# Make-up on the outside is a fault, not a style: it counts twice.
WEIGHTS = np.array([1, 1, 1, 1, 2], np.float32)
MARGIN = 0.12  # interocular distances that eyes and lips reach beyond their outlines, or a small shift leaves them
LIFT = 0.14  # interocular distances above the natural brow: drag covers the brow and draws another one there
BORDER = 13  # pixels at the edge of the crop belong to no part: the showcase puts nothing back there
PATCH = 5  # pixels a side, at each level
DIRECTIONS = 64  # random directions in the space of patches
QUANTILES = 64  # of the projections of all patches of a part on one direction
MOST_PATCHES = 4096  # of a part; a larger part is sampled evenly
FINE = 4  # lids and lips are drawn at so many times the size: a lid of two pixels still has its true weight
RESAMPLES = 1000
CAP = 60.0  # dB: nobody sees a difference beyond, and that of an untouched picture would be infinite


def parts_of_face(points: np.ndarray) -> np.ndarray:
    """PARTS of an aligned face of 256 px: (5, 256, 256) bool, which do not overlap.

    points: (189, 2) landmarks. An eye goes from the lower lashes to above the brow.
    """
    unit = interocular(points)
    reach = round(MARGIN * unit)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))

    def grown(*outlines: np.ndarray) -> np.ndarray:
        hull = cv2.convexHull(np.concatenate(outlines).astype(np.float32))[:, 0]
        return cv2.dilate(_filled([hull], 1), disc) > 0

    lips = grown(_along(points, "upper_lip_top"), _along(points, "lower_lip_bottom"))
    eyes = []
    for side in ("left", "right"):
        lashes = [_along(points, f"{side}_{edge}_lashes") for edge in ("upper", "lower")]
        eyes.append(grown(_along(points, f"{side}_brow_top") - [0, LIFT * unit], *lashes))
    eyes[1] &= ~eyes[0]
    lips &= ~(eyes[0] | eyes[1])
    face = _filled([points[list(OVAL)]], 1) > 0
    makeup = eyes[0] | eyes[1] | lips
    outside = ~face & ~makeup
    outside[:BORDER] = outside[-BORDER:] = outside[:, :BORDER] = outside[:, -BORDER:] = False
    return np.stack([*eyes, lips, face & ~makeup, outside])


def lips_and_lids(points: np.ndarray, size: int) -> np.ndarray:
    """How far each pixel belongs to the lips and to each upper lid: (3, size, size) uint8, 0..255.

    The lips are without the open mouth. A lid goes from the lashes halfway from the crease to the brow.
    """
    lips = _filled([_along(points, "upper_lip_top"), _along(points, "lower_lip_bottom")], FINE)
    mouth = _filled([_along(points, "upper_lip_bottom"), _along(points, "lower_lip_top")], FINE)
    parts = [np.minimum(lips, 255 - mouth)]
    for side in ("left", "right"):
        crease, brow = _along(points, f"{side}_crease"), _along(points, f"{side}_brow_bottom")
        halfway = (crease[:, 1] + np.minimum(crease[:, 1], np.interp(crease[:, 0], *brow.T))) / 2
        edge = np.column_stack([crease[:, 0], halfway])
        parts.append(_filled([edge, _along(points, f"{side}_upper_lashes")], FINE))
    return np.stack([cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA) for part in parts])


def _along(points: np.ndarray, name: str) -> np.ndarray:
    return points[list(CONTOURS[name])]


def _filled(edges: Sequence[np.ndarray], fine: int) -> np.ndarray:
    """The shape between two edges, given from left to right, or within one closed one: uint8, 0 or 255."""
    shape = np.concatenate([edges[0], *(edge[::-1] for edge in edges[1:])])
    page = np.zeros((FACE * fine, FACE * fine), np.uint8)
    corners = np.clip((shape + 0.5) * fine - 0.5, -30_000, 30_000)
    return cv2.fillPoly(page, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_8, 4)


class Patches:
    """Where the patches of one face lie: centres by level and part.

    distance(patches(lab), patches(other_lab)) is the sliced Wasserstein distance between the patches of two pictures,
    by level of a Laplacian pyramid and by part (Karras et al., ICLR 2018, arXiv:1710.10196, section 5, there between
    sets of pictures). Patches have no place within their part: a line two pixels off costs little, a blurred line much.
    """

    def __init__(self, parts: np.ndarray, size: int):
        self.centres = []
        for level in range(len(LEVELS)):
            side = max(1, size >> level)
            for part in parts.astype(np.float32):
                covered = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA).ravel()
                centres = np.flatnonzero(covered > 0.5)
                centres = centres if len(centres) else covered.argmax()[None]  # a part smaller than a pixel
                self.centres.append(centres[:: -(-len(centres) // MOST_PATCHES)])

    def __call__(self, lab: np.ndarray) -> np.ndarray:
        """Quantiles of the projected patches of a CIELAB picture: (levels, parts, DIRECTIONS, QUANTILES) float32."""
        found = []
        centres = iter(self.centres)
        for level, picture in enumerate(_pyramid(lab)):
            margin = PATCH // 2
            padded = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
            stride = padded.shape[1] * 3
            patch = (np.arange(PATCH)[:, None] * stride + np.arange(PATCH * 3)).ravel()
            directions = np.random.default_rng(level).normal(size=(DIRECTIONS, len(patch))).astype(np.float32)
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            for _ in PARTS:
                rows, columns = np.divmod(next(centres), picture.shape[1])
                projected = directions @ padded.ravel()[patch[:, None] + rows * stride + columns * 3]
                projected.sort(axis=1)
                ranks = (np.arange(QUANTILES) + 0.5) / QUANTILES * len(rows)
                found.append(projected[:, ranks.astype(int)])
        return np.stack(found).reshape(len(LEVELS), len(PARTS), DIRECTIONS, QUANTILES)


def distance(quantiles: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Sliced Wasserstein distance by level and part, (…, levels, parts), between what `Patches` gives."""
    return np.abs(quantiles - others).mean((-2, -1))


def _pyramid(lab: np.ndarray) -> list[np.ndarray]:
    """A Laplacian pyramid, finest first; the last level is the smoothed picture itself."""
    levels = []
    for _ in LEVELS[1:]:
        smaller = cv2.pyrDown(lab)
        levels.append(lab - cv2.pyrUp(smaller, dstsize=lab.shape[1::-1]))
        lab = smaller
    return [*levels, lab]


def to_lab(rgb: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8 RGB to float32 CIELAB: L 0..100, a and b about -100..100."""
    return cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def colour_distance(lab: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distance (CIE 1976) of every pixel of two (H, W, 3) pictures in CIELAB; 2.3 is just noticeable."""
    return np.linalg.norm(lab - other, axis=-1)


def psnr(rgb: np.ndarray, other: np.ndarray, where: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two (H, W, 3) uint8 pictures in dB, at most CAP; where: (H, W) bool."""
    error = np.square(rgb[where].astype(np.float32) - other[where])
    return float(min(CAP, 10 * np.log10(255**2 / max(error.mean() if error.size else 0.0, 1e-9))))


class Interval(NamedTuple):
    """A number, and between which two it lies with 95 % confidence, by the bootstrap."""

    value: float
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean over faces and its 95 % interval: percentiles over resampled faces, the same for the same values."""
    values = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(1), (2.5, 97.5))
    return Interval(float(values.mean()), float(low), float(high))
