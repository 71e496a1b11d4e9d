"""Draw the README's pictures from a run and the faces it never saw; print what the README says of the starter.

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
from dragface_lib.model import load_generator, starter_path
from dragface_lib.showcase import transform
from dragface_lib.train.data import FaceSet, to_bytes, to_unit

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main(run: Path, faces: Path) -> None:
    """Write docs/*.jpg and print the figures."""
    pictures = []
    for photo in (
        np.ascontiguousarray(data.astronaut()),
        open_photo(get_sample_data("grace_hopper.jpg", asfileobj=False)),
    ):
        matrix = similarity(find_faces(photo)[0].points, 480)
        pictures += [crop_face(picture, matrix, 480) for picture in (photo, transform(photo))]
    save_photo(DOCS / "before_after.jpg", contact_sheet(pictures, columns=4, cell=320), quality=88)

    generator = load_generator(starter_path())
    test = FaceSet(faces, "selfie", "test", generator.size)
    with torch.inference_mode():
        drag = np.concatenate([to_bytes(generator(to_unit(face[None])).image) for face in test.images])
    shown = [face for face, name in zip(drag, test.names, strict=True) if name.startswith("portrait")]
    save_photo(DOCS / "starter_faces.jpg", contact_sheet(shown, columns=10, cell=128), quality=85)
    shutil.copy(run / "progression.jpg", DOCS / "progression.jpg")
    shutil.copy(run / "losses.png", DOCS / "losses.png")

    y, x = (np.mgrid[0 : generator.size, 0 : generator.size] + 0.5) / generator.size
    change = np.abs(drag.astype(float) - test.images.permute(0, 2, 3, 1).numpy())
    around_eyes = change[:, (abs(y - 0.44) < 0.07) & (abs(x - 0.5) < 0.25)].mean((1, 2))
    background = change[:, ((x - 0.5) / 0.42) ** 2 + ((y - 0.5) / 0.55) ** 2 > 1]
    psnr = 10 * np.log10(255**2 / np.maximum(np.square(background).mean((1, 2)), 1e-9))
    bare = [name for name, value in zip(test.names, around_eyes, strict=True) if value < 4]
    print(f"{len(drag)} test faces; change around the eyes: median {np.median(around_eyes):.1f} of 255")
    print(f"almost bare (below 4): {len(bare)}: {', '.join(bare)}")
    print(f"background: PSNR median {np.median(psnr):.1f} dB, lowest {psnr.min():.1f} dB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
