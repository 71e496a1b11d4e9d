"""How exactly the landmark network places eyes and lips of people it never saw, and how long a face takes.

PYTHONPATH=. python tools/measure_landmarks.py PHOTOS [SHEETS]

PHOTOS holds the manifest's photos. Measured against the London set's points, placed by hand, of the people kept for it.
SHEETS: a folder for contact sheets with the points drawn on all portraits and smiling faces, to be judged by eye.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face, apply, interocular, similarity
from dragface_lib.crop.detect import open_detector
from dragface_lib.crop.landmark_training import is_test_person, read_tem
from dragface_lib.crop.landmarks import CONTOURS, FACE_CONFIDENCE, Landmarks
from dragface_lib.images import contact_sheet, find_photos, open_photo, save_photo

PLACES = {
    "pupils": [0, 1],
    "eyes (pupils, irises, lash lines)": list(range(34)),
    "lips": list(range(87, 109)),
    "brows": list(range(71, 87)),
}
CELL = 256


def measure(photos: Path) -> None:
    """Print the mean errors in % of the interocular distance, by place, and the time of a face."""
    detector, landmarks = open_detector(), Landmarks.load()
    errors, seconds = {place: [] for place in PLACES}, []
    for tem in sorted(photos.rglob("*_03.tem")):
        if not is_test_person(f"london_{tem.stem.partition('_')[0]}"):
            continue
        truth, photo = read_tem(tem), open_photo(tem.with_suffix(".jpg"))
        found = find_faces(photo, detector)[0]
        apart = np.linalg.norm(found.points - truth, axis=1) / interocular(truth) * 100
        for place, points in PLACES.items():
            errors[place].append(apart[points].mean())
        start = time.perf_counter()
        for _ in range(5):
            landmarks.locate(photo, found.box)
        seconds.append((time.perf_counter() - start) / 5)
    print(f"{len(seconds)} held-out people; error in % of the interocular distance: mean, worst person")
    for place, found in errors.items():
        print(f"  {place}: {np.mean(found):.2f}, {max(found):.2f}")
    print(f"a face takes {1000 * np.median(seconds):.1f} ms (median) with {torch.get_num_threads()} threads")


def compare(photos: Path) -> None:
    """Print how far the pupils found from YuNet's and from Haar's box lie apart, on every fifth portrait and smile."""
    yunet, haar, landmarks, apart = open_detector("yunet"), open_detector("haar"), Landmarks.load(), []
    for folder in ("portraits", "london_smiling"):
        for path in find_photos(photos / folder)[::5]:
            photo = open_photo(path)
            boxes = [detector.find(photo)[:1] for detector in (yunet, haar)]
            if all(boxes):
                (one, sure), (other, also) = (landmarks.locate(photo, box[0]) for box in boxes)
                if min(sure, also) < FACE_CONFIDENCE:  # one of the boxes holds something else
                    continue
                apart.append(np.linalg.norm((one - other)[:2], axis=1).max() / interocular(one) * 100)
    print(f"YuNet's and Haar's box, {len(apart)} photos: pupils {np.mean(apart):.2f} % apart, at most {max(apart):.2f}")


def draw(photos: Path, sheets: Path) -> None:
    """Write contact sheets of the points on every portrait and smiling face."""
    detector = open_detector()
    for folder in ("portraits/female", "portraits/male", "london_smiling"):
        cells, captions = [], []
        for path in find_photos(photos / folder):
            photo = open_photo(path)
            found = find_faces(photo, detector)
            if not found:
                cells.append(cv2.resize(photo, (CELL, CELL), interpolation=cv2.INTER_AREA))
                captions.append(f"{path.stem}: no face")
                continue
            face = aligned_face(photo, found[0].points, CELL)
            points = apply(similarity(found[0].points, CELL), found[0].points)
            for line in CONTOURS.values():
                corners = np.round(points[list(line)] * 16).astype(np.int32)
                cv2.polylines(face, [corners], False, (0, 255, 0), 1, cv2.LINE_AA, 4)
            for pupil in points[:2]:
                cv2.circle(face, tuple(int(v) for v in np.round(pupil * 16)), 24, (255, 0, 0), -1, cv2.LINE_AA, 4)
            cells.append(face)
            captions.append(f"{path.stem}: sure {found[0].confidence:.2f}")
        for start in range(0, len(cells), 40):
            sheet = contact_sheet(cells[start : start + 40], 8, CELL, captions[start : start + 40])
            save_photo(sheets / f"{folder.replace('/', '_')}_{start}.jpg", sheet, quality=85)


if __name__ == "__main__":
    measure(Path(sys.argv[1]))
    compare(Path(sys.argv[1]))
    if len(sys.argv) > 2:
        draw(Path(sys.argv[1]), Path(sys.argv[2]))
