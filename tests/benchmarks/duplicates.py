"""How many altered copies of known photos are found, and how many pairs of different photos are taken for copies.

    DRAGFACE_PHOTOS=photos python tests/benchmarks/duplicates.py

200 copies, 40 photos a kind: half the size, JPEG at quality 60, 5 % of the border cut off on every side, mirrored, and
all four at once. They lie among all 404 photos of the manifest. Needs the folder of photos with portraits and london_*.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from itertools import combinations
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from dragface_lib.crop.duplicates import near_duplicates, signature  # noqa: E402
from dragface_lib.images import encode_photo, open_photo, resize  # noqa: E402
from dragface_lib.manifest import manifest_of, read_manifest  # noqa: E402


def cut(photo: np.ndarray, share: float = 0.05) -> np.ndarray:
    height, width = photo.shape[:2]
    top, left = round(height * share), round(width * share)
    return photo[top : height - top, left : width - left]


def half(photo: np.ndarray) -> np.ndarray:
    return resize(photo, photo.shape[0] // 2, photo.shape[1] // 2)


ALTERED = {
    "resized": lambda photo: encode_photo(half(photo)),
    "JPEG 60": lambda photo: encode_photo(photo, quality=60),
    "border cut": lambda photo: encode_photo(cut(photo)),
    "mirrored": lambda photo: encode_photo(photo[:, ::-1]),
    "all of it": lambda photo: encode_photo(half(cut(photo))[:, ::-1], quality=60),
}


def main() -> None:
    rows = read_manifest(manifest_of())
    paths = [Path(os.environ["DRAGFACE_PHOTOS"]) / row.file for row in rows]
    chosen = np.random.default_rng(0).choice(len(rows), 40 * len(ALTERED), replace=False)
    with tempfile.TemporaryDirectory() as folder:
        kinds, copies = {}, {}
        for number, original in enumerate(chosen):
            kind = list(ALTERED)[number % len(ALTERED)]
            path = Path(folder) / f"{number}.jpg"
            path.write_bytes(ALTERED[kind](open_photo(paths[original])))
            copies[len(paths)] = int(original)
            kinds[len(paths)] = kind
            paths.append(path)
        start = time.process_time()
        groups = near_duplicates(paths, [signature(open_photo(path)) for path in paths])
        seconds = time.process_time() - start
    group_of = {number: group for number, group in enumerate(groups) for number in group}
    for kind in ALTERED:
        here = [copy for copy in copies if kinds[copy] == kind]
        found = sum(group_of.get(copy) is group_of.get(copies[copy], 0) for copy in here)
        print(f"{kind:>10}: {found} of {len(here)} copies found")
    pairs = [pair for group in groups for pair in combinations(sorted(group), 2) if max(pair) < len(rows)]
    same = [pair for pair in pairs if rows[pair[0]].split_group == rows[pair[1]].split_group]
    print(f"{len(same)} people whose two expressions count as one picture, {len(pairs) - len(same)} false pairs")
    print(f"{seconds:.1f} s of CPU for {len(paths)} photos")


if __name__ == "__main__":
    main()
