"""Measurements of a face: how large, turned, sharp, bright and covered it is.

numbers = measure(photo, face, crop)      a number for each of MEASUREMENTS
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import load_file

from .align import apply, interocular, similarity
from .find import Face
from .landmarks import CONTOURS, HAIRLINE

# Pupils, tip of the nose and corners of the mouth in interocular distances: x to the right of the picture, y down,
# z towards the camera. x and y are the means of faces seen from the front, z those of anthropometry.
HEAD = np.array([[-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [0.0, 0.62, 0.42], [-0.4, 1.06, 0.12], [0.4, 1.06, 0.12]])
FIVE = (0, 1, 55, 87, 93)  # the same five among the 189 landmarks
DISAGREEMENT = 30.0  # degrees between the eye lines of detector and landmarks, above which the detector is wrong
GLASSES_WEIGHTS = Path(__file__).with_name("glasses.safetensors")
EYE_STRIP = np.s_[84:164, 48:208]  # of a crop: brows to cheeks, temple to temple
_load_once = lru_cache(load_file)
CELL, DIRECTIONS = 8, 8  # pixels of a cell and bins of its histogram, see `edges`
CROP_EYES = 64  # pixels between the pupils on a crop of 256
MIDDLE = np.s_[96:216, 68:188]  # eyes, nose and mouth of a crop
LOST = 0.06  # share of its contrast that a face may lose with its detail, see `resolution`

MEASUREMENTS = {  # the columns of crops.csv
    "eyes": "face size: pixels between the pupils in the photo; below 32 a face is enlarged more than twice",
    "cut": "border cut: share of the landmarks outside the photo; a quarter where the mouth is cut off",
    "yaw": "degrees that the head is turned to a side",
    "pitch": "degrees that the head is turned up or down",
    "roll": "degrees that the head leans in the photo; the crop is turned level, but shoulders and hair are not",
    "faces": "more than one face: number of faces in the crop",
    "sharpness": "1 less the blur of the face, 0..1, whatever its contrast and size: soft light is no blur",
    "resolution": "pixels between the pupils that hold the face's detail, up to 64; low where a photo was enlarged",
    "brightness": "exposure: 95th percentile of the face's luma, 0..255, so that dark skin in light is not darkness",
    "blown": "exposure: share of the face where a colour is at its end",
    "contrast": "contrast: from the 2nd to the 98th percentile of the face's luma, 0..255",
    "colour": "how far the crop's colours spread (LAB units); near 0 when grey or toned",
    "glasses": "glasses: likeness of the edges around the eyes to frames; about -0.5 on a bare face",
    "covered": "something before the face: share of nose, mouth and cheeks without the forehead's hue",
    "copy": "near-duplicate: 1 for all but the best of photos that are copies",
    "light": "median luma of the face, 0..255",
    "skin_tone": "individual typology angle of the cheeks in degrees: below 10 dark, above 41 light",
    "background": "median luma of the upper corners, 0..255",
    "hair": "share of the places beside jaw and neck with the colour above the forehead, 0..1: hair worn long",
}


def measure(photo: np.ndarray, face: Face, crop: np.ndarray, others: Sequence[Face] = ()) -> dict[str, float]:
    """All numbers of one face. photo: (H, W, 3) uint8 RGB; crop: its aligned face, (256, 256, 3).

    others: the other faces in the photo.
    """
    size, eyes = len(crop), interocular(face.points)
    matrix = similarity(face.points, size)
    points = apply(matrix, face.points.astype(np.float64))
    outside = np.any((face.points < 0) | (face.points >= photo.shape[1::-1]), axis=1)
    hull = cv2.convexHull(points.round().astype(np.int32))
    region = cv2.fillConvexPoly(np.zeros((size, size), np.uint8), hull, 1).astype(bool)
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    low, middle, bright, high = np.percentile(grey[region], [2, 50, 95, 98])
    neighbours = [apply(matrix, other.points[:2].mean(0)) for other in others]
    glasses = _load_once(GLASSES_WEIGHTS)
    return {
        "eyes": eyes,
        # An eye outside the photo counts as all of it: nothing is known of where the face lies.
        "cut": 1.0 if outside[:2].any() else float(outside.mean()),
        **dict(zip(("yaw", "pitch", "roll"), head_pose(face), strict=True)),
        "faces": 1.0 + sum(bool(((eye >= 0) & (eye < size)).all()) for eye in neighbours),
        "sharpness": sharpness(grey, eyes),
        "resolution": resolution(grey, eyes),
        "brightness": float(bright),
        "blown": float((crop[region].max(axis=1) >= 254).mean()),
        "contrast": float(high - low),
        # Beside the one line on which the colours of a toned picture lie.
        "colour": float(np.sqrt(max(np.linalg.eigvalsh(np.cov(lab[::4, ::4, 1:].reshape(-1, 2).T))[0], 0.0))),
        "glasses": float(edges(crop) @ glasses["weights"].astype(np.float32) + glasses["bias"][0]),
        "covered": covered(lab, region),
        "copy": 0.0,  # one photo cannot tell
        "light": float(middle),
        "skin_tone": skin_tone(lab),
        "background": float(np.median(np.concatenate([grey[:40, :40], grey[:40, -40:]]))),
        "hair": hair(lab, points),
    }


def head_pose(face: Face) -> tuple[float, float, float]:
    """Yaw, pitch and roll in degrees: positive where the head turns, and leans, to the right of the picture, and up.

    From the detector's five points where it has them: they follow a turned head further than the 189, which are
    always those of a face from the front. On a head that lies on its side the detector mistakes the eyes, so its
    points are dropped where both disagree on the roll. Roll is that in the upright photo.
    """
    pose = pose_of(face.points[list(FIVE)])
    if face.box.points is not None:
        by_detector = pose_of(face.box.points)
        if abs((by_detector[2] - pose[2] + 180) % 360 - 180) < DISAGREEMENT:
            pose = by_detector
    return *pose[:2], (pose[2] - 90 * face.quarters + 180) % 360 - 180


def pose_of(points: np.ndarray) -> tuple[float, float, float]:
    """See `head_pose`; points: (5, 2) in the order of HEAD. An average head is fitted to them as if seen from afar."""
    points = np.asarray(points, np.float64)
    across = points[1] - points[0]
    roll = np.arctan2(across[1], across[0])
    upright = np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    points = (points - points.mean(0)) @ upright.T
    head = HEAD - HEAD.mean(0)
    right, down = np.linalg.lstsq(head, points, rcond=None)[0].T  # rows of scale x rotation
    # Turning an average head by yaw moves its depth sideways, by pitch up or down.
    yaw = np.degrees(np.arctan2(right[2], right[0]))
    pitch = np.degrees(np.arctan2(-down[2], down[1]))
    return float(yaw), float(pitch), float(np.degrees(roll))


def sharpness(grey: np.ndarray, eyes: float) -> float:
    """1 less Crété's perceptual blur (SPIE 6492, 2007) of eyes, nose and mouth on a (256, 256) uint8 crop, 0..1.

    A ratio, so contrast drops out. A face with less than 64 pixels between the eyes is judged at the size it had.
    """
    part = grey[MIDDLE].astype(np.float32)
    if eyes < CROP_EYES:
        part = cv2.resize(part, None, fx=eyes / CROP_EYES, fy=eyes / CROP_EYES, interpolation=cv2.INTER_AREA)
    blur = []
    for axis, kernel in ((0, (1, 9)), (1, (9, 1))):
        before = np.abs(np.diff(part, axis=axis))
        after = np.abs(np.diff(cv2.blur(part, kernel), axis=axis))
        blur.append(1 - np.maximum(0, before - after).sum() / max(before.sum(), 1e-6))
    return float(1 - max(blur))


def resolution(grey: np.ndarray, eyes: float) -> float:
    """Pixels between the pupils at which the (256, 256) uint8 crop would lose less than 6 % of its contrast, 12..64."""
    part = grey[MIDDLE].astype(np.float32)
    sizes, losses = (12, 16, 20, 24, 28, 32, 40, 48), [1.0]
    for number, pixels in enumerate(sizes):
        small = cv2.resize(part, [round(len(part) * pixels / CROP_EYES)] * 2, interpolation=cv2.INTER_AREA)
        again = cv2.resize(small, part.shape, interpolation=cv2.INTER_CUBIC)
        losses.append(float(np.sqrt(np.mean((again - part) ** 2)) / max(part.std(), 1.0)))
        if losses[-1] < LOST:
            reached = np.interp(-LOST, [-losses[-2], -losses[-1]], [sizes[max(0, number - 1)], pixels])
            return float(min(reached, eyes))
    return float(min(CROP_EYES, eyes))


def covered(lab: np.ndarray, region: np.ndarray) -> float:
    """Share of the lower face whose hue is not that of forehead and nose; lab: (256, 256, 3) float32.

    Lips and blush are redder than skin, and that is no cover. A hand has the colour of a face: it is not seen.
    """
    skin = np.concatenate([lab[82:100, 96:160].reshape(-1, 3), lab[124:146, 118:138].reshape(-1, 3)])
    away = (lab[140:212][region[140:212]] - np.median(skin, axis=0))[:, 1:]
    away[:, 0] = np.where(away[:, 0] > 0, away[:, 0] / 4, away[:, 0])
    return float((np.hypot(*away.T) > 10).mean()) if len(away) else 0.0


def hair(lab: np.ndarray, points: np.ndarray) -> float:
    """Share of the places beside jaw and neck with the colour above the forehead, 0..1: right for many faces, not all.

    lab: (S, S, 3) CIELAB crop; points: (189, 2) landmarks on it. A scarf or a wig counts as hair.
    """
    size = len(lab)
    lab = cv2.GaussianBlur(lab, (0, 0), size / 128)
    line, jaw = points[list(HAIRLINE)], points[list(CONTOURS["jaw"])]
    line = line[np.argsort(line[:, 0])]
    x, y = np.arange(size), np.arange(size)[:, None]
    left, right = line[0, 0], line[-1, 0]
    height = np.interp(x, *line.T) - y  # above the forehead
    inner = abs(x - (left + right) / 2) < 0.35 * (right - left)
    above = (height > 0.03 * size) & (height < 0.1 * size) & inner
    outline = cv2.convexHull(np.concatenate([jaw, line]).round().astype(np.int32))
    distance = cv2.distanceTransform(cv2.fillConvexPoly(np.ones((size, size), np.uint8), outline, 0), cv2.DIST_L2, 5)
    eyes, chin = points[:2].mean(axis=0), jaw[:, 1].max()
    below = (y > eyes[1] + 0.7 * (chin - eyes[1])) & (abs(x - eyes[0]) > 0.14 * size)
    beside = (distance > 0.02 * size) & (distance < 0.2 * size) & below
    if not above.any() or not beside.any():
        return 0.0
    difference = (lab[beside] - np.median(lab[above], axis=0)) * (0.6, 1, 1)  # lightness counts less: hair has shades
    return float((np.linalg.norm(difference, axis=1) < 11).mean())


def skin_tone(lab: np.ndarray) -> float:
    """Individual typology angle (Chardon 1991) of both cheeks, degrees; lab: (256, 256, 3) float32."""
    cheeks = np.concatenate([lab[150:168, 82:98].reshape(-1, 3), lab[150:168, 158:174].reshape(-1, 3)])
    lightness, _, yellow = np.median(cheeks, axis=0)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def edges(face: np.ndarray) -> np.ndarray:
    """Histograms of edge directions around the eyes, each cell relative to those beside it: (1600,) float32.

    A linear classifier tells frames by them; `tools/glasses.py` draws frames on bare faces and trains it.
    As in Dalal and Triggs (CVPR 2005), with directions told apart by their sign: frames have a dark and a light side.
    """
    strip = np.sqrt(cv2.cvtColor(face[EYE_STRIP], cv2.COLOR_RGB2GRAY).astype(np.float32))
    strip = cv2.GaussianBlur(strip, (0, 0), 1.0)
    across, down = cv2.Sobel(strip, cv2.CV_32F, 1, 0, ksize=1), cv2.Sobel(strip, cv2.CV_32F, 0, 1, ksize=1)
    strength, angle = cv2.cartToPolar(across, down)
    bins = np.arange(DIRECTIONS, dtype=np.float32)[:, None, None]
    apart = np.abs(angle * (DIRECTIONS / (2 * np.pi)) - bins)
    shares = strength * np.maximum(0, 1 - np.minimum(apart, DIRECTIONS - apart))
    rows, columns = strip.shape[0] // CELL, strip.shape[1] // CELL
    cells = shares.reshape(DIRECTIONS, rows, CELL, columns, CELL).sum((2, 4))
    energy = cv2.blur((cells**2).sum(0), (5, 5))
    return np.minimum(cells / np.sqrt(energy + 1.0), 0.5).ravel()
