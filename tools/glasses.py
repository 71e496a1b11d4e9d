"""Teach the glasses gate what frames look like, by drawing them on bare faces.

PYTHONPATH=. python tools/glasses.py PHOTOS        PHOTOS: portraits/ and london_neutral/ of the manifest

Frames, bridges, temples, tints, glare and shadows of random shape are drawn on the faces of the training people, and
a ridge regression tells drawn from bare by `edges`. Nobody of the test people and no real glasses are trained on.
"""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import cv2
import numpy as np
from safetensors.numpy import save_file

from dragface_lib.crop.align import aligned_face, apply, similarity
from dragface_lib.crop.find import find_faces
from dragface_lib.crop.measure import GLASSES_WEIGHTS, edges
from dragface_lib.images import open_photo

LABELS = Path(__file__).parents[1] / "tests" / "crop" / "portrait_labels.csv"
ROUNDS = 4  # of every face, bare and drawn on
RIDGE = 30.0
BIAS = 0.2  # drawn frames stand out more than real ones: in between lies below the middle
SCALE = 2  # times larger than the crop is drawn, for smooth lines


def main(photos: Path) -> None:
    rng = np.random.default_rng(0)
    features, labels = [], []
    for path in training_photos(photos):
        photo = open_photo(path)
        for located in find_faces(photo)[:1]:
            face = aligned_face(photo, located.points)
            eyes = apply(similarity(located.points), located.points[:2].astype(np.float64))
            for _ in range(ROUNDS):
                features += [edges(vary(face, rng)), edges(vary(draw_glasses(face, eyes, rng), rng))]
                labels += [-1.0, 1.0]
    features = np.array(features, np.float64)
    mean = features.mean(axis=0)
    kernel = (features - mean) @ (features - mean).T
    weights = (features - mean).T @ np.linalg.solve(kernel + RIDGE * np.eye(len(kernel)), np.array(labels))
    bias = np.array([BIAS - mean @ weights], np.float32)
    save_file({"weights": weights.astype(np.float16), "bias": bias}, GLASSES_WEIGHTS)
    right = np.sign((features - mean) @ weights + BIAS) == labels
    print(f"{len(labels) // 2} faces, {right.mean():.1%} of what was trained on is right; written to {GLASSES_WEIGHTS}")


def training_photos(photos: Path) -> list[Path]:
    """Bare faces of the people that are not for testing."""
    with open(LABELS, newline="") as file:
        bare = {row["photo"] for row in csv.DictReader(file) if row["glasses"] == "no"}
    chosen = [photos / "portraits" / name for name in sorted(bare) if int(Path(name).stem) % 5]
    london = sorted((photos / "london_neutral").glob("*.jpg"))
    return chosen + [path for path in london if int(re.match(r"\d+", path.name)[0]) % 6 != 1]


def draw_glasses(face: np.ndarray, eyes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A (256, 256, 3) uint8 crop with glasses; eyes: (2, 2) pupils in its pixels."""
    size = face.shape[0]
    canvas = cv2.resize(face, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC).astype(np.float32)
    apart = np.linalg.norm(eyes[1] - eyes[0])
    width = apart * rng.uniform(0.36, 0.46)
    height = width * rng.uniform(0.5, 1.0)
    thick = rng.uniform(1.2, 5.5)
    frame, lenses = np.zeros(canvas.shape[:2], np.float32), np.zeros(canvas.shape[:2], np.float32)
    middle = eyes.mean(0) + [0, apart * rng.uniform(-0.02, 0.12)]
    left, right = middle - [apart / 2, 0], middle + [apart / 2, 0]
    sunglasses = rng.random() < 0.25

    def line(points: np.ndarray, closed: bool, thickness: float) -> None:
        points = (np.asarray(points) * SCALE).round().astype(np.int32)
        cv2.polylines(frame, [points], closed, 1.0, max(1, int(thickness * SCALE)))

    angle, corner, slant = np.linspace(0, 2 * np.pi, 60), 2 / rng.uniform(2, 6), rng.uniform(-0.12, 0.12)
    fuller = rng.uniform(0.85, 1.15)
    rimless = rng.random() < 0.15 and not sunglasses
    for centre in (left, right):
        across = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** corner * width
        down = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** corner * height
        rim = np.stack([across * (1 - slant * down / height), np.where(down > 0, down * fuller, down)], 1) + centre
        cv2.fillPoly(lenses, [(rim * SCALE).round().astype(np.int32)], 1.0)
        if not rimless:
            line(rim, True, thick)
    level = middle[1] - height * rng.uniform(0.1, 0.7)
    inner = np.linspace(min(left[0] + 0.85 * width, middle[0] - 3), max(right[0] - 0.85 * width, middle[0] + 3), 12)
    line(
        np.stack([inner, level - rng.uniform(0, 0.12) * apart * np.sin(np.linspace(0, np.pi, 12))], 1),
        False,
        thick * rng.uniform(0.6, 1),
    )
    if rng.random() < 0.2:  # a second bar above
        line([(left[0], level - 0.4 * height), (right[0], level - 0.4 * height)], False, 0.7 * thick)
    for side, centre in ((-1, left), (1, right)):  # temples
        start = np.array([centre[0] + side * width, centre[1] - height * rng.uniform(0.2, 0.7)])
        end = start + [side * apart * rng.uniform(0.15, 0.5), apart * rng.uniform(-0.05, 0.06)]
        line([start, end], False, thick * rng.uniform(0.5, 1))
    if sunglasses:
        tint, opaque = np.array([15.0, 15, 20]), rng.uniform(0.6, 1.0)
    else:
        tint, opaque = (np.array([230.0, 235, 240]), np.array([60.0, 50, 50]))[rng.integers(2)], rng.uniform(0, 0.2)
    canvas = _lay(canvas, tint, lenses * opaque)
    if rng.random() < 0.4:
        glare = np.zeros_like(frame)
        for centre in (left, right):
            place = (centre + rng.uniform(-0.5, 0.5, 2) * [width, height]) * SCALE
            radii = np.array([width, height]) * rng.uniform(0.08, 0.4, 2) * SCALE
            cv2.ellipse(
                glare,
                tuple(place.astype(int).tolist()),
                tuple(radii.astype(int).tolist()),
                float(rng.uniform(0, 180)),
                0,
                360,
                1.0,
                -1,
            )
        canvas = _lay(
            canvas, np.full(3, 250.0), cv2.GaussianBlur(glare * lenses, (0, 0), 1.2 * SCALE) * rng.uniform(0.3, 0.9)
        )
    shadow = np.roll(frame, int(rng.uniform(1, 5) * SCALE), axis=0)
    canvas = _lay(canvas, np.zeros(3), cv2.GaussianBlur(shadow, (0, 0), 1.5 * SCALE) * rng.uniform(0, 0.4))
    colour = np.full(3, rng.uniform(5, 60)) if rng.random() < 0.65 else rng.uniform(40, 230, 3)
    canvas = _lay(canvas, colour, cv2.GaussianBlur(frame, (0, 0), 0.35 * SCALE) * rng.uniform(0.6, 1))
    return cv2.resize(canvas.clip(0, 255).astype(np.uint8), (size, size), interpolation=cv2.INTER_AREA)


def _lay(canvas: np.ndarray, colour: np.ndarray, opaque: np.ndarray) -> np.ndarray:
    return canvas * (1 - opaque[..., None]) + colour * opaque[..., None]


def vary(face: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The crop a little turned, shifted, coarser and in another light, and at times its mirror image."""
    size = face.shape[0]
    matrix = cv2.getRotationMatrix2D((127.5, 117.0), rng.normal(0, 2), float(np.exp(rng.normal(0, 0.05))))
    matrix[:, 2] += rng.normal(0, 2.5, 2)
    face = cv2.warpAffine(face, matrix, (size, size), borderMode=cv2.BORDER_REFLECT)
    if rng.random() < 0.5:
        face = np.ascontiguousarray(face[:, ::-1])
    if rng.random() < 0.4:
        small = cv2.resize(face, [round(size * rng.uniform(0.3, 0.9))] * 2, interpolation=cv2.INTER_AREA)
        face = cv2.resize(small, (size, size))
    return (255 * (face / 255.0) ** np.exp(rng.normal(0, 0.3))).clip(0, 255).astype(np.uint8)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
