"""Finds copies of one picture: resized, recompressed, mirrored, or with borders cut off.

    groups = near_duplicates(["a.jpg", "b.jpg", "c.jpg"])       # [[0, 2]]: c is a copy of a

Perceptual hashes only propose: different people before the same grey wall can be as close as a copy and its
original. The pixels decide: both pictures are laid over each other and must agree in their fine structure.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import imagehash
import numpy as np
from PIL import Image
from tqdm.auto import tqdm

from .images import UnreadablePhoto, open_photo

SIDE = 128  # pixels at which pictures are compared, whatever their shape
KEPT = (1.0, 0.95, 0.9)  # the middle part that is hashed: a picture whole, and as copies with cut borders show it
PROPOSED = 12  # of 64 bits; copies with a border cut on one side alone lie up to here (95 of 100)
# Correlation of fine structure (one to four pixels of SIDE). Over the 404 photos of the manifest different people
# reach 0.86, copies have 0.98 and more; a person's two expressions lie between.
COPY = 0.92
# See `same_colours`. Of 102 faces painted in two ways 95 differ by more; of copies that were resized, cut, mirrored,
# darkened, warmed or (de)saturated all but a few by less, of brightened ones whose light parts are lost half.
MADE_UP = 6.0
BLOCK = 64  # pictures whose hashes are compared with all others at once: 50 MB where there are 100,000


def signature(photo: np.ndarray) -> str:
    """Four perceptual hashes of (height, width, 3) uint8 RGB as 64 hexadecimal digits: of the whole picture, of its
    middle 95 % and 90 % (see KEPT), and of its mirror image.
    """
    return _signature(_small(photo))


def near_duplicates(
    pictures: Sequence[str | Path],
    progress: bool = True,
    signatures: Sequence[str] | None = None,
    only: Collection[int] | None = None,
) -> list[list[int]]:
    """Groups of pictures that are copies of each other, as sorted positions in `pictures`, only groups of two or more.

    A copy of a copy belongs to the group. Files that cannot be opened are in none. signatures: what `signature`
    gave for each picture, "" where it is not known; then only pictures that resemble another one are opened. only:
    positions of pictures that are new; others are not compared among themselves.
    """
    known = list(signatures) if signatures is not None else [""] * len(pictures)
    thumbnail = lru_cache(maxsize=4096)(lambda number: _open_small(pictures[number]))
    missing = [number for number, text in enumerate(known) if not text]
    for number in tqdm(missing, desc="looking for copies", unit="photo", disable=not progress):
        small = thumbnail(number)
        known[number] = "" if small is None else _signature(small)
    readable = np.array([number for number, text in enumerate(known) if text], int)
    hashes = np.array([[int(known[n][k : k + 16], 16) for k in (0, 16, 32, 48)] for n in readable], np.uint64)
    new = np.isin(readable, list(range(len(pictures)) if only is None else only))
    group = list(range(len(pictures)))
    proposals = list(_proposals(hashes.reshape(-1, 4), new))
    for first, second, scale, mirrored in tqdm(proposals, "comparing", unit="pair", disable=not progress):
        first, second = int(readable[first]), int(readable[second])
        if _root(group, first) == _root(group, second):
            continue
        one, other = thumbnail(first), thumbnail(second)
        if one is None or other is None:  # gone since its signature was made
            continue
        if _agreement(one, other[:, ::-1] if mirrored else other, scale) > COPY:
            group[_root(group, second)] = _root(group, first)
    members: dict[int, list[int]] = {}
    for number in range(len(pictures)):
        members.setdefault(_root(group, number), []).append(number)
    return [numbers for numbers in members.values() if len(numbers) > 1]


def same_colours(one: np.ndarray, other: np.ndarray) -> bool:
    """True unless two faces of the same picture, aligned crops (S, S, 3) uint8 RGB, are made up differently.

    Light, white balance and saturation change all colours of a picture in one way, make-up only some of them.
    """
    both = [_colours(one), _colours(other)]
    return (
        min(_recoloured(a, b) for a in (both[0], both[0][:, ::-1]) for a, b in ((a, both[1]), (both[1], a))) < MADE_UP
    )


def _colours(face: np.ndarray) -> np.ndarray:
    small = cv2.resize(face, (32, 32), interpolation=cv2.INTER_AREA)
    return cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)


def _recoloured(one: np.ndarray, other: np.ndarray) -> float:
    """How far hues on the face (LAB units, 95th percentile) are from those that one affine map of all colours gives."""
    here, there = np.column_stack([one.reshape(-1, 3), np.ones(32 * 32)]), other.reshape(-1, 3)
    weights = np.ones((32 * 32, 1))
    for _ in range(6):  # re-weighted, so that what is made up does not draw the map to itself
        colours = here @ np.linalg.lstsq(here * weights, there * weights, rcond=None)[0]
        apart = np.linalg.norm((there - colours)[:, 1:], axis=1)
        weights = 1 / np.sqrt(np.maximum(apart, 1))[:, None]
    return float(np.percentile(apart.reshape(32, 32)[10:28, 6:26], 95))


def _proposals(hashes: np.ndarray, new: np.ndarray) -> Iterator[tuple[int, int, float, bool]]:
    """Pairs (first, second, how much larger the second shows things, mirrored) whose hashes are close.

    hashes: (N, 4) uint64; new: (N,) bool, one of a pair is. At most N x N comparisons, a block at a time.
    """
    # Which hash of the first meets which of the second: one of the two is whole, or mirrored.
    meetings = [(0, 0, False), (1, 0, False), (2, 0, False), (0, 1, False), (0, 2, False)]
    meetings += [(3, 0, True), (3, 1, True), (3, 2, True), (1, 3, True), (2, 3, True)]
    size = (*KEPT, 1.0)
    rows = np.flatnonzero(new)
    for block in np.split(rows, range(BLOCK, len(rows), BLOCK)):
        others = np.flatnonzero(~new | (np.arange(len(hashes)) >= block[:1]))  # pairs with earlier ones are done
        best: dict[tuple[int, int], tuple[int, float, bool]] = {}
        for one, other, mirrored in meetings:
            distance = np.bitwise_count(hashes[block, None, one] ^ hashes[None, others, other])
            for row, column in np.argwhere(distance <= PROPOSED):
                first, second = block[row], others[column]
                found = int(distance[row, column]), size[other] / size[one], mirrored
                if first != second and not (new[second] and second < first):
                    pair = int(first), int(second)
                    best[pair] = min(best.get(pair, found), found, key=lambda found: found[0])
        for (first, second), (_, scale, mirrored) in best.items():
            yield first, second, scale, mirrored


def _agreement(one: np.ndarray, other: np.ndarray, scale: float) -> float:
    """Correlation of the fine structure of two (SIDE, SIDE) uint8 pictures laid over each other, or -1.

    scale: to begin with, where a step of one pixel in the first leads in the second.
    """
    one, other = np.array(one, np.float32, order="C"), np.array(other, np.float32, order="C")
    warp = np.array([[scale, 0, (1 - scale) * SIDE / 2], [0, scale, (1 - scale) * SIDE / 2]], np.float32)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
    try:
        _, warp = cv2.findTransformECC(one, other, warp, cv2.MOTION_AFFINE, stop, None, 5)  # type: ignore[call-overload]  # no mask
    except cv2.error:  # it did not converge: the pictures have nothing in common
        return -1.0
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    laid = cv2.warpAffine(other, warp, (SIDE, SIDE), flags=how, borderMode=cv2.BORDER_REPLICATE)
    inside = cv2.warpAffine(np.ones((SIDE, SIDE), np.float32), warp, (SIDE, SIDE), flags=how) > 0.99
    inside[[*range(6), *range(-6, 0)]] = inside[:, [*range(6), *range(-6, 0)]] = False
    if inside.mean() < 0.5:
        return -1.0
    a, b = (_fine(picture)[inside] for picture in (one, laid))
    return float(np.corrcoef(a, b)[0, 1]) if a.std() and b.std() else -1.0


def _fine(picture: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(picture, (0, 0), 1) - cv2.GaussianBlur(picture, (0, 0), 4)


def _small(photo: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def _open_small(path: str | Path) -> np.ndarray | None:
    try:
        return _small(open_photo(path))
    except UnreadablePhoto:
        return None


def _signature(small: np.ndarray) -> str:
    whole = Image.fromarray(small)
    cuts = [round(SIDE * (1 - kept) / 2) for kept in KEPT]
    parts = [whole.crop((cut, cut, SIDE - cut, SIDE - cut)) for cut in cuts]
    return "".join(str(imagehash.phash(part)) for part in [*parts, whole.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])


def _root(group: list[int], number: int) -> int:
    while group[number] != number:
        group[number] = group[group[number]]
        number = group[number]
    return number
