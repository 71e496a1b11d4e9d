"""Two domains for training, and test pairs that show the truth, from licensed photos of faces.

    rows = prepare_faces(space.photos, space.faces, space.faces_archive, drag="practice")     the call of notebook 02
    rows = practice_faces("photos/selfie", "faces", manifest="data_manifest.csv", look="classic")

    faces/{selfie,drag}/{train,test}/NAME.jpg    half of the people as they are, the other half painted
    faces/pairs/{selfie,drag}/NAME.png           every test person, bare and painted, pixel for pixel
    faces/crops.csv                              what became of each photo

No person is in both domains of a split: nothing can be learned by comparing. Running it again does only what is
missing. It may be killed at any moment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..archives import PAIRS, unpack
from ..crop.align import aligned_face
from ..crop.cutting import SIZE, photo_sha256
from ..crop.dataset import SAVE_EVERY, crop_photos, photos_below
from ..crop.detect import Detector, open_detector
from ..crop.find import find_faces
from ..crop.measure import measure
from ..crop.quality import fault
from ..crop.table import (
    PRACTICE,
    CropRow,
    face_name,
    hash_of,
    manifest_rows,
    read_crops,
    remove_faces,
    split_of,
    splits_of_groups,
    write_crops,
)
from ..errors import DragFaceError
from ..files import locked, write_atomically
from ..images import UnreadablePhoto, open_photo, save_photo
from ..manifest import DOMAINS, manifest_of, read_manifest
from ..session import Workspace
from .looks import Makeup, draw_makeup
from .painting import Unpaintable, check_face, paint

PAINTER = 3  # Raised when the painter paints otherwise: faces of an older painter are painted again.


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
    the photos of photos/drag; practice faces make room for these. Photos are cropped too where painting is not
    possible: the selfies show one person only, or `faces` holds faces cropped from photos, which stay.
    gates, limit: see `crop_photos`.
    """
    photos, faces, domains = Path(photos), Path(faces), DOMAINS
    unpack(archive, faces)
    manifest = manifest_of(photos)
    if drag == "practice":
        try:
            return practice_faces(photos / "selfie", faces, manifest, limit=limit)
        except DragFaceError as error:
            if (faces / PRACTICE).exists():
                raise
            print(error)
            domains = tuple(domain for domain in DOMAINS if (photos / domain).is_dir())
    clear_practice(faces)
    cropped = (crop_photos(photos / name, faces, name, manifest, limit=limit, gates=gates) for name in domains)
    return [row for rows in cropped for row in rows]


def practice_faces(
    photos: str | Path | None,
    faces: str | Path,
    manifest: str | Path | None = None,
    look: str = "classic",
    seed: int = 0,
    limit: int | None = None,
    detector: str = "auto",
    progress: bool = True,
) -> list[CropRow]:
    """Build both domains and the pairs in `faces`; returns a row for each photo.

    photos: a folder; None for the workspace's selfies, of which only photos with a licence in the manifest are taken.
    manifest: decides which people are for testing, and which photos are withdrawn. look, seed: see `draw_makeup`; every
    photo has a make-up of its own, the pairs the look's own. limit: only the first so many photos. Raises DragFaceError
    when there are no photos, when they show only one person, or when `faces` holds faces cropped from photos.
    """
    draw_makeup(look, seed)  # Raises for a wrong name or seed before anything is removed.
    faces, folder = Path(faces), Path(photos or Workspace.open().photos / "selfie")
    listed = read_manifest(manifest) if manifest else []
    paths = photos_below(folder, faces) if folder.is_dir() else {}
    hashes = {name: photo_sha256(path) for name, path in paths.items()}
    known = manifest_rows(hashes, folder, listed, "selfie")
    withdrawn = {name for name, row in known.items() if row.withdrawn}
    licensed = paths if photos else {name for name, row in known.items() if row.licence}
    names = [name for name in paths if name in licensed and name not in withdrawn][:limit]
    if not names:
        raise DragFaceError(f"{folder} holds no photos to paint: download some first (scrape), or name a folder.")
    fixed = splits_of_groups(listed)
    assigned = _assigned({name: split_of(known.get(name), name, fixed, ()) for name in names}, fixed)
    with locked(faces):
        mark, settings = faces / PRACTICE, json.dumps({"look": look, "painter": PAINTER, "seed": seed}) + "\n"
        if not mark.exists() and read_crops(faces):
            raise DragFaceError(f"{faces} holds faces cropped from photos: name another folder for practice faces.")
        if mark.exists() and mark.read_text(encoding="utf-8") != settings:
            clear_practice(faces)
        write_atomically(mark, settings.encode())
        earlier = {row.photo: row for row in read_crops(faces)}
        for name in earlier.keys() - set(names):
            _remove(faces, name)
        finder = open_detector(detector)
        rows: list[CropRow] = []
        for name in tqdm(names, desc="practice faces", unit="photo", disable=not progress):
            row, before = CropRow(name, *assigned[name], sha256=hashes[name]), earlier.get(name)
            if before is None or not _is_current(faces, row, before):
                _remove(faces, name)
                before = _make_face(paths[name], faces, row, finder, look, seed)
            rows.append(before)
            if len(rows) % SAVE_EVERY == 0:
                write_crops(faces, rows)
        write_crops(faces, rows)
    return rows


def clear_practice(faces: str | Path) -> None:
    """Remove practice faces, which can be made again, to make room for faces cropped from photos."""
    faces = Path(faces)
    if (faces / PRACTICE).exists():
        for row in read_crops(faces):
            _remove(faces, row.photo)
        (faces / "crops.csv").unlink(missing_ok=True)
        (faces / PRACTICE).unlink()


def _assigned(splits: Mapping[str, tuple[str, str]], fixed: Mapping[str, str]) -> dict[str, tuple[str, str, str]]:
    """Domain, split and group of each photo. splits: (split, group) by photo; fixed: the manifest's split by group.

    In each split the groups are put in order by a hash, and the first half is left bare.
    """
    groups = {group: split for split, group in splits.values()}
    # By chance a handful of photos may all be for testing: training needs two people.
    missing = max(0, 2 - list(groups.values()).count("train"))
    movable = [group for group in sorted(groups) if groups[group] == "test" and not fixed.get(group)]
    groups |= dict.fromkeys(movable[:missing], "train")
    domains: dict[str, str] = {}
    for split in ("train", "test"):
        members = sorted((group for group in groups if groups[group] == split), key=hash_of)
        if split == "train" and len(members) < 2:
            raise DragFaceError(f"The photos show {len(members)} person to train on: two are needed, one a domain.")
        half = (len(members) + 1) // 2
        domains |= dict.fromkeys(members[:half], "selfie") | dict.fromkeys(members[half:], "drag")
    return {name: (domains[group], groups[group], group) for name, (_, group) in splits.items()}


def _is_current(faces: Path, row: CropRow, before: CropRow) -> bool:
    """Whether the row of an earlier run is of the same photo and split, and its files are there."""
    files = [faces / before.face, *(_pair(faces, row.photo) if row.split == "test" else ())]
    same = replace(before, status="", reason="", decision="", face="") == row
    return same and (before.status != "kept" or all(file.is_file() for file in files))


def _make_face(path: Path, faces: Path, row: CropRow, detector: Detector, look: str, seed: int) -> CropRow:
    """Crop one photo, bare or painted, and its pair where it is for testing; returns its row with a status."""

    def painted(makeup: str | Makeup, seed: int) -> np.ndarray:
        return aligned_face(paint(photo, face.points, makeup, seed, face.box.turned).photo, face.points, SIZE)

    try:
        photo = open_photo(path)
        located = find_faces(photo, detector)
        if not located:
            return replace(row, status="no_face", reason="no face was found")
        face = located[0]
        bare = aligned_face(photo, face.points, SIZE)
        if reason := fault(measure(photo, face, bare)):
            return replace(row, status="rejected", reason=reason)
        check_face(photo, face.points, face.box.turned)
        pair = [bare, painted(draw_makeup(look), seed)] if row.split == "test" else []
        picture = bare if row.domain == "selfie" else painted(look, make_up_seed(row.photo, seed))
    except UnreadablePhoto as error:
        return replace(row, status="unreadable", reason=str(error))
    except Unpaintable as error:
        return replace(row, status="rejected", reason=str(error))
    except DragFaceError:
        raise
    except Exception as error:  # A fault with one photo is no reason to lose the others.
        reason = f"{path} cannot be painted ({type(error).__name__}: {error}): save it anew with another program."
        return replace(row, status="unreadable", reason=reason)
    row = replace(row, status="kept", face=f"{row.domain}/{row.split}/{face_name(row.photo)}.jpg")
    save_photo(faces / row.face, picture, quality=95)
    for file, half in zip(_pair(faces, row.photo), pair, strict=False):
        save_photo(file, half)
    return row


def make_up_seed(photo: str, seed: int) -> int:
    """The seed of one photo's make-up, from the data set's seed."""
    return int.from_bytes(hash_of(f"{seed} {photo}")[:4], "big")


def _pair(faces: Path, photo: str) -> list[Path]:
    return [faces / PAIRS / domain / f"{face_name(photo)}.png" for domain in DOMAINS]


def _remove(faces: Path, photo: str) -> None:
    for domain, file in zip(DOMAINS, _pair(faces, photo), strict=True):
        remove_faces(faces, domain, photo)
        for path in (file, *file.parent.glob(f".{file.name}.*.part")):
            path.unlink(missing_ok=True)
