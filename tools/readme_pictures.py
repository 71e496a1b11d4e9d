"""Draw the README's pictures from the starter's run and the faces it never saw; print the README's figures of it.

python tools/readme_pictures.py RUN FACES
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
from dragface_lib.crop.align import crop_face, similarity
from dragface_lib.images import contact_sheet, open_photo, save_photo
from dragface_lib.model import Generator, load_generator, starter_path
from dragface_lib.showcase import transform
from dragface_lib.train.data import FaceSet, to_bytes, to_unit

DOCS = Path(__file__).resolve().parents[1] / "docs"
HARDLY_SEEN = 6


def main(run: Path, faces: Path) -> None:
    """Write docs/*.jpg and docs/losses.png, and print the figures."""
    portraits = [
        np.ascontiguousarray(data.astronaut()),
        open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False)),
    ]
    pairs = []
    for photo in portraits:
        matrix = similarity(find_faces(photo)[0].points, 480)
        pairs += [crop_face(picture, matrix, 480) for picture in (photo, transform(photo))]
    save_photo(DOCS / "before_after.jpg", contact_sheet(pairs, columns=4, cell=320), quality=88)
    save_photo(DOCS / "progression.jpg", progression(portraits, sorted((run / "milestones").iterdir())), quality=88)
    shutil.copy(run / "losses.png", DOCS / "losses.png")

    generator = load_generator(starter_path())
    test = FaceSet(faces, "selfie", "test", generator.size)
    drag = translate(generator, test.images)
    shown = [face for face, name in zip(drag, test.names, strict=True) if "female" in name or "male" in name]
    save_photo(DOCS / "starter_faces.jpg", contact_sheet(shown, columns=10, cell=128), quality=85)

    y, x = (np.mgrid[0 : generator.size, 0 : generator.size] + 0.5) / generator.size
    change = np.abs(drag.astype(float) - test.images.permute(0, 2, 3, 1).numpy())
    print(f"{len(drag)} test faces; change of 255:")
    for place, inside in {
        "around the eyes": (abs(y - 0.44) < 0.07) & (abs(x - 0.5) < 0.25),
        "around the mouth": (abs(y - 0.68) < 0.06) & (abs(x - 0.5) < 0.13),
    }.items():
        values = change[:, inside].mean((1, 2))
        bare = [name for name, value in zip(test.names, values, strict=True) if value < HARDLY_SEEN]
        print(f"{place}: median {np.median(values):.1f}, below {HARDLY_SEEN}: {len(bare)} {' '.join(bare)}")
    background = change[:, ((x - 0.5) / 0.42) ** 2 + ((y - 0.5) / 0.55) ** 2 > 1]
    psnr = 10 * np.log10(255**2 / np.maximum(np.square(background).mean((1, 2)), 1e-9))
    print(f"background: PSNR median {np.median(psnr):.1f} dB, lowest {psnr.min():.1f} dB")


def progression(portraits: list[np.ndarray], milestones: list[Path]) -> np.ndarray:
    """Each portrait's face, and what the generators of a run's milestones make of it, captioned with their steps."""
    rows, captions = [], []
    for photo in portraits:
        generators = [load_generator(path) for path in milestones]
        size = generators[0].size
        face = crop_face(photo, similarity(find_faces(photo)[0].points, size), size)
        made = [translate(generator, torch.from_numpy(face).permute(2, 0, 1)[None])[0] for generator in generators]
        rows += [face, *made]
        captions += ["before", *(f"{int(generator.metadata['steps']):,} steps" for generator in generators)]
    return contact_sheet(rows, columns=len(milestones) + 1, cell=128, captions=captions)


@torch.inference_mode()
def translate(generator: Generator, faces: torch.Tensor) -> np.ndarray:
    """(N, 3, H, W) uint8 to their drag, (N, H, W, 3) uint8."""
    return np.concatenate([to_bytes(generator(to_unit(face[None])).image) for face in faces])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
