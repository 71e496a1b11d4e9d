"""Draw the README's pictures from the starter's run and the faces it never saw; print the README's figures of it.

PYTHONPATH=. python tools/readme_pictures.py RUN PRACTICE_FACES
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.cbook import get_sample_data
from skimage import data

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face
from dragface_lib.images import contact_sheet, open_photo, save_photo
from dragface_lib.model import Generator, load_generator, starter_path
from dragface_lib.model.tensors import to_bytes, to_unit
from dragface_lib.showcase.transform import make_drag, transform
from dragface_lib.train.data import FaceSet
from dragface_lib.train.pictures import ROWS, sample_places

DOCS = Path(__file__).resolve().parents[1] / "docs"
HARDLY_SEEN = 6
CHOSEN = (0, 8, 33, 18, 12, 26, 9, 36)  # of the test portraits, for the first picture; all of them are in another


def main(run: Path, faces: Path) -> None:
    """Write docs/*.jpg and docs/losses.png, and print the figures."""
    portraits = [
        np.ascontiguousarray(data.astronaut()),
        open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False)),
    ]
    pairs = []
    for photo in portraits:
        points = find_faces(photo)[0].points
        pairs += [aligned_face(picture, points, 480) for picture in (photo, transform(photo))]
    save_photo(DOCS / "before_after.jpg", contact_sheet(pairs, columns=4, cell=320), quality=88)
    save_photo(DOCS / "seam.jpg", at_full_size(portraits[1]), quality=95)
    save_photo(DOCS / "progression.jpg", progression(run, faces), quality=88)
    shutil.copy(run / "losses.png", DOCS / "losses.png")

    generator = load_generator(starter_path())
    test, truth = (FaceSet(faces, "pairs", domain, generator.size) for domain in ("selfie", "drag"))
    drag = translate(generator, test.images)
    shown = [face for face, name in zip(drag, test.names, strict=True) if "portraits" in name]
    save_photo(DOCS / "starter_faces.jpg", contact_sheet(shown, columns=10, cell=128), quality=85)

    portraits = FaceSet(faces, "pairs", "selfie", 256)
    portraits = [face for face, name in zip(portraits.images, portraits.names, strict=True) if "portraits" in name]
    row = [transform(portraits[n].permute(1, 2, 0).contiguous().numpy()) for n in CHOSEN]
    save_photo(DOCS / "chosen.jpg", contact_sheet(row, columns=4, cell=256), quality=88)

    y, x = (np.mgrid[0 : generator.size, 0 : generator.size] + 0.5) / generator.size
    bare, painted = (pictures.images.permute(0, 2, 3, 1).double().numpy() for pictures in (test, truth))
    change, aim = np.abs(drag - bare), np.abs(painted - bare)
    print(f"{len(drag)} test faces; change of 255 by the generator, and by the painter:")
    for place, inside in {
        "around the left eye": (abs(y - 0.44) < 0.07) & (abs(x - 0.375) < 0.125),
        "around the right eye": (abs(y - 0.44) < 0.07) & (abs(x - 0.625) < 0.125),
        "around the mouth": (abs(y - 0.68) < 0.06) & (abs(x - 0.5) < 0.13),
    }.items():
        values, aims = (picture[:, inside].mean((1, 2)) for picture in (change, aim))
        low = [name for name, value in zip(test.names, values, strict=True) if value < HARDLY_SEEN]
        medians = f"median {np.median(values):.1f}, painter {np.median(aims):.1f}"
        print(f"{place}: {medians}, below {HARDLY_SEEN}: {len(low)} {' '.join(low)}")
    background = change[:, ((x - 0.5) / 0.42) ** 2 + ((y - 0.5) / 0.55) ** 2 > 1]
    psnr = 10 * np.log10(255**2 / np.maximum(np.square(background).mean((1, 2)), 1e-9))
    print(f"background: PSNR median {np.median(psnr):.1f} dB, lowest {psnr.min():.1f} dB")


def at_full_size(photo: np.ndarray, side: int = 300) -> np.ndarray:
    """The face of a photo, pixel for pixel: as it was, in drag, and in drag at the most strength there is."""
    drag = make_drag(photo)
    left, top = (int(place) - side // 2 for place in drag.faces[0].found.points.mean(axis=0))
    cells = [drag.at(strength)[top : top + side, left : left + side] for strength in (0, 1, 1.5)]
    return contact_sheet(cells, columns=3, cell=side, captions=["before", "100 %", "150 %"])


def progression(run: Path, faces: Path) -> np.ndarray:
    """What the averaged generator made of the portraits among the run's fixed test faces, at growing steps."""
    names = FaceSet(faces, "selfie", "test", 64).names
    columns = [n for n, place in enumerate(sample_places(len(names))) if "portraits" in names[place]]
    rows, captions = [[] for _ in columns], []
    for path in sorted((run / "samples").glob("step_*.jpg")):
        sheet = open_photo(path)
        size = sheet.shape[0] // ROWS
        for row, column in zip(rows, columns, strict=True):
            row.append(sheet[size : 2 * size, column * size : (column + 1) * size])
        captions.append(f"{int(path.stem.removeprefix('step_')):,} steps")
    return contact_sheet(sum(rows, []), columns=len(captions), cell=128, captions=captions * len(rows))


@torch.inference_mode()
def translate(generator: Generator, faces: torch.Tensor) -> np.ndarray:
    """(N, 3, H, W) uint8 to their drag, (N, H, W, 3) uint8."""
    return np.concatenate([to_bytes(generator(to_unit(face[None])).image) for face in faces])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
