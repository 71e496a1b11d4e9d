"""Measure the painter on the manifest's test people: one line a look.

PYTHONPATH=. python tools/measure_painter.py PHOTOS    # a folder with the manifest's photos, as `scrape` stores them
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import cv2
import numpy as np

from dragface_lib.crop import find_faces
from dragface_lib.images import open_photo
from dragface_lib.manifest import read_manifest
from dragface_lib.practice import LOOKS, Unpaintable, paint
from dragface_lib.practice.canvas import Canvas
from dragface_lib.practice.skin import study_skin

REPOSITORY = Path(__file__).resolve().parents[1]
SEEN = 12  # CIELAB units of change that make-up should have at least
DARK = 50  # CIELAB lightness of skin below which it counts as dark
EYE = 130  # pixels between the pupils to which large photos are reduced
LIDS = (18, 19, 20, 21, 22, 38, 37, 36, 35, 34), (23, 24, 25, 26, 27, 43, 42, 41, 40, 39)


def main(photos: Path) -> None:
    rows = [row for row in read_manifest(REPOSITORY / "data_manifest.csv") if row.split == "test"]
    for place, look in enumerate(LOOKS):
        changes, refused, outside, seconds = [], [], 0, []
        for row in rows if place == 0 else rows[::4]:
            if (sitter := _sitter(photos / row.file)) is None:
                refused.append(f"{row.file}: no face was found")
                continue
            photo, face = sitter
            before = time.process_time()
            try:
                painted = paint(photo, face.points, look, seed=len(seconds), turned=face.box.turned)
            except Unpaintable as error:
                refused.append(f"{row.file}: {error}")
                continue
            seconds.append(time.process_time() - before)
            outside = max(outside, int(np.abs(painted.photo.astype(int) - photo)[painted.mask == 0].max()))
            changes.append(_changes(photo, painted.photo, face.points))
        tones, lids, lips = np.array(changes).T
        print(
            f"{look}: {len(changes)} faces, {np.median(seconds):.2f} s of CPU a face, {outside} of 255 outside the mask"
        )
        for name, values in (("lids", lids), ("lips", lips)):
            dark, light = values[tones < DARK], values[tones >= DARK]
            enough = int((values >= SEEN).sum())
            print(
                f"  {name}: median {np.median(values):.0f} CIELAB units (dark skin {np.median(dark):.0f}, light "
                f"{np.median(light):.0f}), least {values.min():.0f}; {enough} of {len(values)} >= {SEEN}"
            )
        print(*(f"  refused {line}" for line in refused), sep="\n", end="\n" if refused else "")


def _sitter(path: Path) -> tuple | None:
    """The photo, large ones reduced, and its largest face."""
    photo = open_photo(path)
    face = next(iter(find_faces(photo)), None)
    if face is None:
        return None
    scale = EYE / float(np.linalg.norm(face.points[1] - face.points[0]))
    if scale < 1:
        photo = cv2.resize(photo, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        face = face._replace(points=(face.points + 0.5) * scale - 0.5)
    return photo, face


def _changes(photo: np.ndarray, painted: np.ndarray, points: np.ndarray) -> tuple[float, float, float]:
    """Lightness of the bare skin; mean change of lids and of lips in CIELAB units."""
    canvas = Canvas.of(photo.astype(np.float32) / 255, points)
    skin = study_skin(canvas)
    after = cv2.cvtColor(painted.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    change = np.linalg.norm(after - canvas.lab, axis=-1)
    lids = canvas.fill([canvas.points[list(lid)] for lid in LIDS]) > 0.5
    lips = canvas.fill([skin.mouth.outline]) > 0.5
    if skin.mouth.is_open:
        lips &= canvas.fill([skin.mouth.opening]) < 0.1
    return float(skin.tone[0]), float(change[lids].mean()), float(change[lips].mean())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
