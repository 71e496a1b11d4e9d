"""Practice faces of the two portraits: the truth is known."""

import numpy as np
import pytest
from detecting import DETECTOR

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face
from dragface_lib.crop.detect import open_detector
from dragface_lib.images import open_photo, save_photo
from dragface_lib.practice import paint


@pytest.fixture(scope="session")
def painted(tmp_path_factory, portraits):
    """Faces with a pair of each portrait; and bare and painted, darker, lighter and mirrored, the training faces."""
    folder = tmp_path_factory.mktemp("painted")
    for name, path in portraits.items():
        photo = open_photo(path)
        found = find_faces(photo, open_detector(DETECTOR))[0]
        drag = paint(photo, found.points).photo
        for domain, picture in (("selfie", photo), ("drag", drag)):
            face = aligned_face(picture, found.points)
            save_photo(folder / "pairs" / domain / f"{name}.png", face)
            save_photo(folder / domain / "test" / f"{name}.jpg", face, quality=95)
            for number, light in enumerate((0.8, 0.9, 1.0, 1.1)):
                lit = np.clip(face * light, 0, 255).astype(np.uint8)
                save_photo(folder / domain / "train" / f"{name}_{number}.jpg", lit[:, :: (-1) ** number], quality=95)
    return folder
