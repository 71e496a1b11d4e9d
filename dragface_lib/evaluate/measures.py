"""What is measured on a face: patches by level and part, the colour of make-up, and how sure a mean is.

Pure functions on aligned faces of 256 px; `validation.py` says which pictures are compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from ..crop.align import interocular
from ..crop.landmarks import CONTOURS, OVAL

FACE = 256  # pixels a side of an aligned face
LEVELS = ("line", "shape", "colour")  # details of one or two pixels; of two to four pixels; the smoothed rest
PARTS = ("left_eye", "right_eye", "lips", "skin", "outside")
# Make-up on the outside is a fault, not a style: it counts twice.
PART_WEIGHTS = np.array([1, 1, 1, 1, 2], np.float32)
MARGIN = 0.12  # interocular distances around the outlines of eyes and lips: a small shift stays inside
LIFT = 0.14  # interocular distances above the natural brow: drag covers the brow and draws another one there
RIM = 13  # pixels at the edge of the crop belong to no part: the showcase puts nothing back there
PATCH = 5  # pixels a side, at each level
DIRECTIONS = 64  # random directions in the space of patches
QUANTILES = 64  # of the projections of all patches of a part on one direction
MOST_PATCHES = 4096  # of a part; a larger part is sampled evenly
FINE = 4  # scale at which lids and lips are drawn, so that a lid of two pixels gets its true weight
RESAMPLES = 1000


def parts_of_face(points: np.ndarray) -> np.ndarray:
    """PARTS of a face, by its (189, 2) landmarks: (5, 256, 256) bool. They do not overlap; eyes reach above brows."""
    lines = {name: points[list(contour)] for name, contour in CONTOURS.items()}
    unit = interocular(points)
    reach = round(MARGIN * unit)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))

    def grown(*outlines: np.ndarray) -> np.ndarray:
        hull = cv2.convexHull(np.concatenate(outlines).astype(np.float32))[:, 0]
        return cv2.dilate(_filled([hull], 1), disc) > 0

    lips = grown(lines["upper_lip_top"], lines["lower_lip_bottom"])
    eyes = []
    for side in ("left", "right"):
        lashes = [lines[f"{side}_{edge}_lashes"] for edge in ("upper", "lower")]
        eyes.append(grown(lines[f"{side}_brow_top"] - [0, LIFT * unit], *lashes))
    eyes[1] &= ~eyes[0]
    lips &= ~(eyes[0] | eyes[1])
    face = _filled([points[list(OVAL)]], 1) > 0
    makeup = eyes[0] | eyes[1] | lips
    outside = ~face & ~makeup
    outside[:RIM] = outside[-RIM:] = outside[:, :RIM] = outside[:, -RIM:] = False
    return np.stack([*eyes, lips, face & ~makeup, outside])


def lips_and_lids(points: np.ndarray) -> np.ndarray:
    """How far each pixel belongs to the lips and to each upper lid: (3, 256, 256) uint8, 0..255.

    The lips are without the open mouth. A lid goes from the lashes halfway from the crease to the brow.
    """
    lines = {name: points[list(contour)] for name, contour in CONTOURS.items()}
    lips = _filled([lines["upper_lip_top"], lines["lower_lip_bottom"]], FINE)
    mouth = _filled([lines["upper_lip_bottom"], lines["lower_lip_top"]], FINE)
    parts = [np.minimum(lips, 255 - mouth)]
    for side in ("left", "right"):
        crease, brow = lines[f"{side}_crease"], lines[f"{side}_brow_bottom"]
        halfway = (crease[:, 1] + np.minimum(crease[:, 1], np.interp(crease[:, 0], *brow.T))) / 2
        edge = np.column_stack([crease[:, 0], halfway])
        parts.append(_filled([edge, lines[f"{side}_upper_lashes"]], FINE))
    return np.stack([cv2.resize(part, (FACE, FACE), interpolation=cv2.INTER_AREA) for part in parts])


def _filled(edges: Sequence[np.ndarray], fine: int) -> np.ndarray:
    """The shape between two edges, given from left to right, or within one closed one: uint8, 0 or 255."""
    shape = np.concatenate([edges[0], *(edge[::-1] for edge in edges[1:])])
    page = np.zeros((FACE * fine, FACE * fine), np.uint8)
    corners = np.clip((shape + 0.5) * fine - 0.5, -30_000, 30_000)
    return cv2.fillPoly(page, [np.round(corners * 16).astype(np.int32)], 255, cv2.LINE_8, 4)


def patch_centres(parts: np.ndarray) -> list[np.ndarray]:
    """The pixels on which the patches of a face lie, by level and part; parts: see `parts_of_face`."""
    centres = []
    for level in range(len(LEVELS)):
        side = FACE >> level
        for part in parts.astype(np.float32):
            covered = cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA).ravel()
            inside = np.flatnonzero(covered > 0.5)
            inside = inside if len(inside) else covered.argmax()[None]  # a part smaller than a pixel
            centres.append(inside[:: -(-len(inside) // MOST_PATCHES)])
    return centres


def patches(lab: np.ndarray, centres: list[np.ndarray]) -> np.ndarray:
    """Quantiles of the projected patches of a CIELAB picture: (levels, parts, DIRECTIONS, QUANTILES) float32.

    The mean difference of those of two pictures is the sliced Wasserstein distance between their patches, by level of
    a Laplacian pyramid and by part (Karras et al., ICLR 2018, arXiv:1710.10196, section 5, there between sets of
    pictures). Patches have no place within their part: a line two pixels off costs little, a blurred line much.
    """
    quantiles = []
    for level, picture in enumerate(_pyramid(lab)):
        margin = PATCH // 2
        padded = cv2.copyMakeBorder(picture, margin, margin, margin, margin, cv2.BORDER_REFLECT_101)
        stride = padded.shape[1] * 3
        patch = (np.arange(PATCH)[:, None] * stride + np.arange(PATCH * 3)).ravel()
        directions = np.random.default_rng(level).normal(size=(DIRECTIONS, len(patch))).astype(np.float32)
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        for part in range(len(PARTS)):
            rows, columns = np.divmod(centres[level * len(PARTS) + part], picture.shape[1])
            projected = directions @ padded.ravel()[patch[:, None] + rows * stride + columns * 3]
            projected.sort(axis=1)
            ranks = (np.arange(QUANTILES) + 0.5) / QUANTILES * len(rows)
            quantiles.append(projected[:, ranks.astype(int)])
    return np.stack(quantiles).reshape(len(LEVELS), len(PARTS), DIRECTIONS, QUANTILES)


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


def mean_interval(values: Sequence[float]) -> dict[str, float]:
    """The mean over faces (`value`) and its 95 % interval (`low`, `high`), by a bootstrap of fixed seed."""
    values = np.asarray(values, np.float64)
    draws = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(1), (2.5, 97.5))
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}
