"""Photos a second that cropping takes with YuNet and all gates, beside the plain Haar loop of the article.

PYTHONPATH=. python tests/benchmarks/crop.py PHOTOS [N]      N photos of 1,024 px (default 200), made from PHOTOS

Both are timed in one run, on the wall and in processor seconds (which other work on the machine does not change), then
a second run over the same photos, and the most memory that was taken.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2

from dragface_lib.crop import crop_photos
from dragface_lib.images import find_photos, open_photo, resize, save_photo


def main(folder: Path, count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        photos, faces = Path(name) / "photos", Path(name) / "faces"
        sources = find_photos(folder)
        for number in range(count):
            photo = open_photo(sources[number % len(sources)])
            scale = 1024 / max(photo.shape[:2])
            photo = resize(photo, *(round(side * scale) for side in photo.shape[:2]))
            photo[:8, :8] = number % 256  # no two photos have the same bytes
            save_photo(photos / f"photo {number}.jpg", photo)
        print("| | photos a second | processor ms a photo |\n|---|---|---|")
        report("plain Haar loop, one process", count, lambda: plain_haar(photos, Path(name) / "haar"))
        report("this project, all gates", count, lambda: crop_photos(photos, faces, progress=False))
        report("again, nothing new", count, lambda: crop_photos(photos, faces, progress=False))
    print(f"Most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def plain_haar(photos: Path, faces: Path) -> None:
    """Detect, cut the box out, resize, save: no landmarks, no alignment, no gate."""
    folder = cv2.data.haarcascades
    cascade = cv2.CascadeClassifier(folder + "haarcascade_frontalface_default.xml")
    eyes = cv2.CascadeClassifier(folder + "haarcascade_eye.xml")
    faces.mkdir()
    for path in sorted(photos.iterdir()):
        photo = cv2.imread(str(path))
        grey = cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY)
        for number, (x, y, width, height) in enumerate(cascade.detectMultiScale(grey, 1.3, 5)):
            if len(eyes.detectMultiScale(grey[y : y + height, x : x + width])) >= 2:
                face = cv2.resize(photo[y : y + height, x : x + width], (256, 256))
                cv2.imwrite(str(faces / f"{path.stem}_{number}.jpg"), face)


def report(what: str, count: int, work: Callable[[], object]) -> None:
    wall, before = time.perf_counter(), time.process_time()
    work()
    wall, used = time.perf_counter() - wall, time.process_time() - before
    print(f"| {what} | {count / wall:.1f} | {used / count * 1000:.0f} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200)
