"""Seconds that a photo takes from its bytes to the finished picture, after one photo to warm up.

PYTHONPATH=. python tests/benchmarks/showcase.py PHOTOS [N] [LOOK]     N photos (default 8), a look or file (classic)

Each photo is made 1,024 px and 12 megapixels (4,000 x 3,000, the face as large in the frame) first, and a group of six
of them side by side. Wall and processor seconds, as medians; the goals on two cores are 1.5 and 3 s for one face.
"""

from __future__ import annotations

import resource
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from dragface_lib.images import encode_photo, find_photos, open_photo, resize
from dragface_lib.model import load_look
from dragface_lib.showcase import make_drag, provenance


def main(folder: Path, count: int = 8, look: str = "classic") -> None:
    generator = load_look(look)
    photos = [square(open_photo(path)) for path in find_photos(folder)[:count]]
    sets = {
        "1,024 px": [resize(photo, 1024, 1024) for photo in photos],
        "12 megapixels": [twelve_megapixels(photo) for photo in photos],
        "six people, 1,536 x 1,024 px": [
            np.vstack([np.hstack([resize(p, 512, 512) for p in (photos * 6)[n : n + 3]]) for n in (0, 3)])
        ],
    }
    make_drag(photos[0], generator)
    print("| | faces | find and paint: wall s | processor s | put back and encode: wall s | processor s |")
    print("|---|---|---|---|---|---|")
    for name, pictures in sets.items():
        rows = [timed(encode_photo(picture), generator) for picture in pictures]
        faces, *seconds = (statistics.median(column) for column in zip(*rows, strict=True))
        print(f"| {name} | {faces:g} | " + " | ".join(f"{value:.2f}" for value in seconds) + " |", flush=True)
    print(f"Most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


def timed(data: bytes, generator) -> tuple[float, ...]:
    """Faces found, then wall and processor seconds of the two halves of the work."""
    wall, cpu = time.perf_counter(), time.process_time()
    drag = make_drag(data, generator)
    half_wall, half_cpu = time.perf_counter(), time.process_time()
    provenance.encode(drag.at(1.0), "JPEG", drag.look)
    return (
        len(drag.faces),
        half_wall - wall,
        half_cpu - cpu,
        time.perf_counter() - half_wall,
        time.process_time() - half_cpu,
    )


def square(photo: np.ndarray) -> np.ndarray:
    side = min(photo.shape[:2])
    return photo[:side, :side]


def twelve_megapixels(photo: np.ndarray) -> np.ndarray:
    page = np.full((3000, 4000, 3), 128, np.uint8)
    page[:, 500:3500] = resize(photo, 3000, 3000)
    return page


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:3]), *sys.argv[3:4])
