"""Finds copies of one picture: resized, recompressed, mirrored, or with borders cut off.

    groups = near_duplicates(paths, signatures)       # [[0, 2]]: the third is a copy of the first

Perceptual hashes only propose: different people before the same grey wall can be as close as a copy and its
original. The pixels decide: both pictures are laid over each other and must agree in their fine structure.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image

from ..images import UnreadablePhoto, open_photo

SIDE = 128  # pixels at which pictures are compared, whatever their shape
KEPT = (1.0, 0.95, 0.9, 1.0)  # share of the picture that each hash sees; the last hash is of the mirror image
# Hashes to compare, of the first and the second picture. One of each pair is of the whole picture or its mirror image.
MEETINGS = np.array([(0, 0), (1, 0), (2, 0), (0, 1), (0, 2), (3, 0), (3, 1), (3, 2), (1, 3), (2, 3)])
PROPOSED = 12  # maximum of different bits, of 64; holds for 95 of 100 copies with a border cut on one side
# Minimum correlation of fine structure (one to four pixels of SIDE). Over the 404 photos of the manifest different
# people reach 0.86 and copies at least 0.98; a person's two expressions lie between.
COPY = 0.92


def signature(photo: np.ndarray) -> str:
    """Four perceptual hashes (see KEPT) of (height, width, 3) uint8 RGB, as 64 hexadecimal digits."""
    whole = Image.fromarray(_small(photo))
    cuts = [round(SIDE * (1 - kept) / 2) for kept in KEPT[:3]]
    parts = [whole.crop((cut, cut, SIDE - cut, SIDE - cut)) for cut in cuts]
    return "".join(str(imagehash.phash(part)) for part in [*parts, whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])


def near_duplicates(pictures: Sequence[str | Path], signatures: Sequence[str]) -> list[list[int]]:
    """Groups of two or more pictures that are copies of each other, as sorted positions in `pictures`.

    A copy of a copy belongs to the group. Only pictures whose signatures resemble another's are opened; those that
    cannot be opened are in no group.
    """
    thumbnail = lru_cache(maxsize=4096)(lambda number: _small(open_photo(pictures[number])))
    hashes = np.array([[int(text[k : k + 16], 16) for k in (0, 16, 32, 48)] for text in signatures], np.uint64)
    groups = [[number] for number in range(len(pictures))]  # of each picture; members of a group share one list
    for first, second, scale, mirrored in _proposals(hashes.reshape(-1, 4)):
        if groups[first] is groups[second]:
            continue
        try:
            one, other = thumbnail(first), thumbnail(second)
        except UnreadablePhoto:
            continue
        if _agreement(one, other[:, ::-1] if mirrored else other, scale) > COPY:
            groups[first].extend(groups[second])
            for member in groups[second]:
                groups[member] = groups[first]
    return [sorted(group) for number, group in enumerate(groups) if len(group) > 1 and min(group) == number]


def _proposals(hashes: np.ndarray) -> Iterator[tuple[int, int, float, bool]]:
    """Pairs (first, second, scale, mirrored) with close hashes, (N, 4) uint64. scale: how much larger the second is."""
    for first in range(len(hashes) - 1):
        distances = np.bitwise_count(hashes[first, MEETINGS[:, 0]] ^ hashes[first + 1 :, MEETINGS[:, 1]])
        for second in np.flatnonzero(distances.min(axis=1) <= PROPOSED):
            one, other = MEETINGS[distances[second].argmin()]
            yield first, first + 1 + int(second), KEPT[other] / KEPT[one], 3 in (one, other)


def _agreement(first: np.ndarray, second: np.ndarray, scale: float) -> float:
    """Correlation of the fine structure of two (SIDE, SIDE) uint8 pictures laid over each other, or -1.

    scale: first guess of the second picture's scale, with the first as 1.
    """
    first, second = np.array(first, np.float32, order="C"), np.array(second, np.float32, order="C")
    warp = np.array([[scale, 0, (1 - scale) * SIDE / 2], [0, scale, (1 - scale) * SIDE / 2]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    try:
        _, warp = cv2.findTransformECC(first, second, warp, cv2.MOTION_AFFINE, stop, None, 5)  # type: ignore[call-overload]  # no mask
    except cv2.error:  # it did not converge: the pictures have nothing in common
        return -1.0
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(second, warp, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    overlap = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), warp, (SIDE, SIDE), flags=flags)
    inside = np.pad(overlap[6:-6, 6:-6] > 0.99, 6)
    if inside.mean() < 0.5:
        return -1.0
    a, b = ((cv2.GaussianBlur(x, (0, 0), 1) - cv2.GaussianBlur(x, (0, 0), 4))[inside] for x in (first, laid))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else -1.0


def _small(photo: np.ndarray) -> np.ndarray:
    return cv2.resize(cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
