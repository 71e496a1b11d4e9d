"""Random views of faces and of what is none, for the training of the landmark network.

Every face is kept as one square canvas with its eyes level; each view turns, scales, shifts and shears it as
detectors and photographers do, changes light, colour and sharpness, covers parts, and swaps the background.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from .align import apply, crop_face, similarity_between
from .landmarks import INPUT_EYES, INPUT_SIZE

CANVAS = 320  # pixels of a canvas's side
CANVAS_EYES = np.array([[0.40625, 0.44], [0.59375, 0.44]])  # 60 px apart: the network's input has 42 px
EYE_DISTANCE = INPUT_EYES[1, 0] - INPUT_EYES[0, 0]


class Sample(NamedTuple):
    """A face to learn from: canvas (320, 320, 3) uint8 RGB, points (189, 2) in its pixels, how much each counts (189,),
    and whether they were placed by hand.
    """

    canvas: np.ndarray
    points: np.ndarray
    weights: np.ndarray
    by_hand: bool


def make_sample(rgb: np.ndarray, points: np.ndarray, weights: np.ndarray, by_hand: bool) -> Sample:
    """Cut the canvas around a face with landmarks (189, 2), in pixels of the photo (H, W, 3) uint8."""
    matrix = similarity_between(points[0], points[1], CANVAS_EYES * CANVAS - 0.5)
    return Sample(crop_face(rgb, matrix, CANVAS), apply(matrix, points), weights.astype(np.float32), by_hand)


def draw_face(
    sample: Sample, mirror: np.ndarray, others: list[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One view of a face: crop (128, 128, 3) uint8, points (189, 2) in units of the crop, weights (189,)."""
    if rng.random() < 0.5:  # as the detectors' boxes show it, measured with YuNet and Haar
        distance = rng.uniform(0.22, 0.42)
        centre = np.array([0.5 + rng.normal(0, 0.035), 0.405 + rng.normal(0, 0.035)])
        degrees = np.clip(rng.normal(0, 16), -45, 45)
    else:  # as its own last answer shows it
        distance = EYE_DISTANCE * np.exp(rng.normal(0, 0.05))
        centre = INPUT_EYES.mean(0) + rng.normal(0, 0.02, 2)
        degrees = rng.normal(0, 4)
    matrix = _view(distance, centre, degrees, random_shear(rng))
    points, weights = apply(matrix, sample.points), sample.weights
    if rng.random() < 0.5:
        matrix = np.array([[-1.0, 0], [0, 1]]) @ matrix + [[0, 0, INPUT_SIZE - 1], [0, 0, 0]]
        points, weights = apply(matrix, sample.points)[mirror], weights[mirror]
    crop = cv2.warpAffine(sample.canvas, matrix, (INPUT_SIZE, INPUT_SIZE), borderMode=cv2.BORDER_REFLECT_101)
    if rng.random() < 0.3:
        crop = _swap_background(crop, points, draw_other(others, rng), rng)
    if rng.random() < 0.25:
        crop = _cover(crop, draw_other(others, rng), rng)
    return change_light(crop, rng), (points + 0.5) / INPUT_SIZE, weights


def draw_no_face(sample: Sample, others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A crop (128, 128, 3) uint8 of something else, of a part of a face, or of one far off or upside down."""
    kind = rng.integers(4)
    if kind == 0:
        return change_light(draw_other(others, rng), rng)
    distance, centre, degrees = EYE_DISTANCE, INPUT_EYES.mean(0), rng.normal(0, 10)
    if kind == 1:  # an eye, a mouth, a cheek
        distance, centre = rng.uniform(0.8, 2.0), rng.uniform(-0.6, 1.2, 2)
    elif kind == 2:  # hair, shoulders, background
        angle = rng.uniform(0, 2 * np.pi)
        centre = centre + rng.uniform(0.65, 1.0) * np.array([np.cos(angle), np.sin(angle)])
        distance *= rng.uniform(0.7, 1.3)
    else:
        degrees = rng.uniform(110, 250)
        centre = np.array([0.5, 0.55]) + rng.normal(0, 0.04, 2)
    matrix = _view(distance, centre, degrees, random_shear(rng))
    crop = cv2.warpAffine(sample.canvas, matrix, (INPUT_SIZE, INPUT_SIZE), borderMode=cv2.BORDER_REFLECT_101)
    return change_light(crop, rng)


def random_shear(rng: np.random.Generator) -> np.ndarray:
    """A (2, 2) matrix near the identity: longer and wider faces, heads a little turned."""
    return np.eye(2) + rng.normal(0, 0.05, (2, 2)).clip(-0.12, 0.12)


def draw_other(others: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """A random square of one of the pictures that show no face, as (128, 128, 3) uint8."""
    picture = others[rng.integers(len(others))]
    height, width = picture.shape[:2]
    side = int(min(height, width) * rng.uniform(0.2, 1.0))
    top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
    return cv2.resize(picture[top : top + side, left : left + side], (INPUT_SIZE, INPUT_SIZE))


def change_light(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another exposure, colour of light, side light, sharpness and noise; (128, 128, 3) uint8 to the same."""
    if rng.random() < 0.3:
        small = int(INPUT_SIZE * rng.uniform(0.25, 0.9))
        crop = cv2.resize(cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA), (INPUT_SIZE, INPUT_SIZE))
    elif rng.random() < 0.2:
        crop = cv2.GaussianBlur(crop, (0, 0), rng.uniform(0.5, 2.0))
    table = np.linspace(0, 1, 256, dtype=np.float32)[:, None] ** np.exp(rng.normal(0, 0.3))
    table = (table - 0.5) * np.exp(rng.normal(0, 0.25)) + 0.5 + rng.normal(0, 0.1)
    table = table * np.exp(rng.normal(0, 0.12, 3))
    crop = cv2.LUT(crop, (table * 255).clip(0, 255).astype(np.uint8)[:, None])
    if rng.random() < 0.15:
        crop = np.repeat(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    if rng.random() < 0.3:
        across, down = rng.normal(0, 0.5, 2)
        ramp = np.linspace(-1, 1, INPUT_SIZE, dtype=np.float32)
        light = (1 + across * ramp[None, :, None] + down * ramp[:, None, None]).clip(0.2, 2)
        crop = (crop * light).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        noise = rng.standard_normal(crop.shape, np.float32) * rng.uniform(2, 18)
        crop = (crop + noise).clip(0, 255).astype(np.uint8)
    return crop


def _view(distance: float, centre: np.ndarray, degrees: float, shear: np.ndarray) -> np.ndarray:
    """(2, 3) canvas to crop: pupils `distance` crop widths apart, about `centre`, turned and sheared."""
    angle = np.radians(degrees)
    half = 0.5 * distance * np.array([np.cos(angle), np.sin(angle)])
    target = (np.asarray(centre) + np.array([-half, half])) * INPUT_SIZE - 0.5
    left, right = CANVAS_EYES * CANVAS - 0.5
    matrix = similarity_between(left, right, target)
    linear, middle = shear @ matrix[:, :2], (left + right) / 2
    return np.column_stack([linear, target.mean(0) - linear @ middle])


def _swap_background(crop: np.ndarray, points: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    mask = np.zeros(crop.shape[:2], np.float32)
    hull = cv2.convexHull(points.astype(np.float32)).astype(np.int32)
    cv2.fillConvexPoly(mask, hull, 1.0)
    mask = cv2.GaussianBlur(cv2.dilate(mask, np.ones((5, 5))), (0, 0), rng.uniform(0.5, 3))[..., None]
    return (crop * mask + other * (1 - mask)).astype(np.uint8)


def _cover(crop: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lay an ellipse of something else over a part: hair, hands, cups, glasses' reflections."""
    mask = np.zeros(crop.shape[:2], np.uint8)
    centre = tuple(int(v) for v in rng.uniform(0, INPUT_SIZE, 2))
    axes = tuple(int(v) for v in rng.uniform(0.04, 0.22, 2) * INPUT_SIZE)
    cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1, -1)
    return np.where(mask[..., None] > 0, other, crop)
