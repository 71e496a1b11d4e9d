"""The faces of both domains from the photos of a workspace: the one call of notebook 02.

rows = prepare_faces(space.photos, space.faces, space.faces_archive, drag="practice")
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..crop.dataset import crop_photos
from ..crop.packing import unpack
from ..crop.table import PRACTICE, CropRow
from ..errors import DragFaceError
from ..manifest import DOMAINS, manifest_of
from .dataset import clear_practice, practice_faces


def prepare_faces(
    photos: str | Path,
    faces: str | Path,
    archive: str | Path,
    drag: str = "practice",
    gates: Mapping[str, float] | None = None,
    limit: int | None = None,
) -> list[CropRow]:
    """Crop the faces of photos/selfie and photos/drag, or paint practice faces from the selfies; returns their rows.

    archive: packed faces of an earlier session, unpacked where `faces` holds none. drag: "practice", or "photos" for
    the photos of photos/drag, which take the practice faces' place. Photos are cropped as well where practice faces
    cannot be painted: the selfies show one person only, or `faces` holds faces cropped from photos, which stay.
    gates, limit: see `crop_photos`.
    """
    photos, faces, archive = Path(photos), Path(faces), Path(archive)
    if archive.exists() and not (faces / "crops.csv").exists():
        unpack(archive, faces)
    domains = DOMAINS
    if drag == "practice":
        try:
            return practice_faces(photos / "selfie", faces, manifest_of(photos), limit=limit)
        except DragFaceError as error:
            if (faces / PRACTICE).exists():
                raise
            print(error)
            domains = tuple(domain for domain in DOMAINS if (photos / domain).is_dir())
    clear_practice(faces)
    return [
        row
        for domain in domains
        for row in crop_photos(photos / domain, faces, domain, manifest_of(photos), limit=limit, gates=gates)
    ]
