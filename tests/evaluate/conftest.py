"""Practice faces: the truth is known."""

import os

import numpy as np
import pytest
from detecting import DETECTOR

from dragface_lib.crop import find_faces
from dragface_lib.crop.align import aligned_face
from dragface_lib.crop.detect import open_detector
from dragface_lib.images import find_photos, open_photo, save_photo
from dragface_lib.practice import paint

PEOPLE = 4  # of the folder DRAGFACE_PHOTOS, besides the two portraits


def pair(path):
    """The aligned face of a photo, bare and painted; nothing for a photo without a face to paint."""
    photo = open_photo(path)
    for face in find_faces(photo, open_detector(DETECTOR)):
        return [aligned_face(picture, face.points) for picture in (photo, paint(photo, face.points).photo)]
    return []


@pytest.fixture(scope="session")
def painted(tmp_path_factory, portraits):
    """Faces with a pair of each portrait; and bare and painted, darker, lighter and mirrored, the training faces."""
    folder = tmp_path_factory.mktemp("painted")
    for name, path in portraits.items():
        for domain, face in zip(("selfie", "drag"), pair(path), strict=True):
            save_photo(folder / "pairs" / domain / f"{name}.png", face)
            save_photo(folder / domain / "test" / f"{name}.jpg", face, quality=95)
            for number, light in enumerate((0.8, 0.9, 1.0, 1.1)):
                lit = np.clip(face * light, 0, 255).astype(np.uint8)
                save_photo(folder / domain / "train" / f"{name}_{number}.jpg", lit[:, :: (-1) ** number], quality=95)
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory, painted, photos_folder):
    """Pairs of the two portraits and, where DRAGFACE_PHOTOS is, of more people."""
    folder = tmp_path_factory.mktemp("people")
    for domain in ("selfie", "drag"):
        (folder / "pairs" / domain).mkdir(parents=True)
        for path in (painted / "pairs" / domain).iterdir():
            (folder / "pairs" / domain / path.name).symlink_to(path)
    photos = find_photos(photos_folder / "portraits") if "DRAGFACE_PHOTOS" in os.environ else []
    for number, path in enumerate(photos[:: max(1, len(photos) // PEOPLE)][:PEOPLE]):
        for domain, face in zip(("selfie", "drag"), pair(path), strict=False):
            save_photo(folder / "pairs" / domain / f"person_{number}.png", face)
    return folder
