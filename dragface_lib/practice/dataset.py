"""Two domains for training, and test pairs that show the truth, from licensed photos of faces.

    rows = practice_faces("photos/selfie", "faces", manifest="data_manifest.csv", look="classic")
    faces/{selfie,drag}/{train,test}/NAME.jpg    half of the people as they are, the other half painted
    faces/pairs/{selfie,drag}/NAME.png           every test person, bare and painted, pixel for pixel
    faces/crops.csv                              what became of each photo

No person is in both domains of a split: nothing can be learned by comparing. Running it again does only what is
missing. It may be killed at any moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..crop.align import aligned_face
from ..crop.cutting import SIZE, photo_sha256
from ..crop.dataset import SAVE_EVERY, photos_below
from ..crop.detect import Detector, open_detector
from ..crop.find import find_faces
from ..crop.measure import measure
from ..crop.quality import fault
from ..crop.splits import manifest_rows, split_of, splits_of_groups
from ..crop.table import PRACTICE, CropRow, face_name, read_crops, remove_faces, write_crops
from ..errors import DragFaceError
from ..files import write_atomically
from ..images import UnreadablePhoto, open_photo, save_photo
from ..manifest import DOMAINS, read_manifest
from ..session import Workspace
from .looks import Makeup, draw_makeup
from .painting import Unpaintable, check_face, paint

PAIRS = "pairs"
PAINTER = 3  # Raised when the painter paints otherwise: faces of an older painter are painted again.


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
    draw_makeup(look)  # raises for a wrong name before anything is done
    faces, licensed_only = Path(faces), photos is None
    photos = Workspace.open().photos / "selfie" if photos is None else Path(photos)
    listed = read_manifest(manifest) if manifest else []
    paths = {} if licensed_only and not photos.is_dir() else photos_below(photos, faces)
    known = manifest_rows(paths, photos, [row for row in listed if row.domain == "selfie"])
    refused = {name for name, row in known.items() if row.withdrawn or (licensed_only and not row.licence)}
    refused |= paths.keys() - known.keys() if licensed_only else set()
    pairs = (faces / PAIRS).resolve()
    refused |= {name for name, path in paths.items() if path.resolve().is_relative_to(pairs)}
    names = [name for name in paths if name not in refused][:limit]
    if not names:
        raise DragFaceError(f"{photos} holds no photos to paint: download some first (scrape), or name a folder.")
    fixed = splits_of_groups(listed)
    assigned = _assigned({name: split_of(known.get(name), name, fixed, ()) for name in names}, fixed)
    earlier = _earlier_rows(faces, {"look": look, "seed": seed, "painter": PAINTER})
    for name in earlier.keys() - set(names):
        _remove(faces, name)
    finder = open_detector(detector)
    rows: list[CropRow] = []
    for name in tqdm(names, desc="practice faces", unit="photo", disable=not progress):
        row, before = CropRow(name, *assigned[name], sha256=photo_sha256(paths[name])), earlier.get(name)
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
    training = [group for group, split in groups.items() if split == "train"]
    for group in sorted(groups):
        # By chance a handful of photos may all be for testing: training needs two people.
        if len(training) < 2 and groups[group] == "test" and not fixed.get(group):
            groups[group] = "train"
            training.append(group)
    if len(training) < 2:
        raise DragFaceError(
            f"The photos show {len(training)} person to train on: practice data need two at least, one for each domain."
        )
    domains = {}
    for split in ("train", "test"):
        members = sorted((group for group in groups if groups[group] == split), key=_hash)
        for number, group in enumerate(members):
            domains[group] = "selfie" if number < (len(members) + 1) // 2 else "drag"
    return {name: (domains[group], groups[group], group) for name, (_, group) in splits.items()}


def _earlier_rows(faces: Path, settings: Mapping[str, object]) -> dict[str, CropRow]:
    """The rows of an earlier run by photo. Faces of other settings are removed; raises for faces not painted."""
    path = faces / PRACTICE
    text = json.dumps(settings, sort_keys=True) + "\n"
    rows = read_crops(faces)
    if not path.exists() and rows:
        raise DragFaceError(
            f"{faces} holds faces cropped from photos, which stay: name another folder for practice faces."
        )
    if path.exists() and path.read_text(encoding="utf-8") != text:
        for row in rows:
            _remove(faces, row.photo)
        write_crops(faces, [])
        rows = []
    # Written before the first face, so that the faces of a run that is killed are known as practice faces.
    write_atomically(path, text.encode())
    return {row.photo: row for row in rows}


def _is_current(faces: Path, row: CropRow, before: CropRow) -> bool:
    """Whether the row of an earlier run is of the same photo and split, and its files are there."""
    if replace(before, status="", reason="", decision="", face="") != row:
        return False
    files = [faces / before.face, *(_pair(faces, row.photo) if row.split == "test" else ())]
    return before.status != "kept" or all(file.is_file() for file in files)


def _make_face(path: Path, faces: Path, row: CropRow, detector: Detector, look: str, seed: int) -> CropRow:
    """Crop one photo, bare or painted, and its pair where it is for testing; returns its row with a status."""
    try:
        photo = open_photo(path)
    except UnreadablePhoto as error:
        return replace(row, status="unreadable", reason=str(error))
    face = next(iter(find_faces(photo, detector)), None)
    if face is None:
        return replace(row, status="no_face", reason="no face was found")
    bare = aligned_face(photo, face.points, SIZE)
    if reason := fault(measure(photo, face, bare)):
        return replace(row, status="rejected", reason=reason)

    def painted(makeup: str | Makeup, seed: int) -> np.ndarray:
        return aligned_face(paint(photo, face.points, makeup, seed, face.box.turned).photo, face.points, SIZE)

    try:
        check_face(photo, face.points, face.box.turned)
        if row.split == "test":
            for file, picture in zip(_pair(faces, row.photo), (bare, painted(draw_makeup(look), seed)), strict=True):
                save_photo(file, picture)
        picture = bare if row.domain == "selfie" else painted(look, make_up_seed(row.photo, seed))
    except Unpaintable as error:
        return replace(row, status="rejected", reason=str(error))
    file = f"{row.domain}/{row.split}/{face_name(row.photo)}.jpg"
    save_photo(faces / file, picture, quality=95)
    return replace(row, status="kept", face=file)


def make_up_seed(photo: str, seed: int) -> int:
    """The seed of one photo's make-up, from the data set's seed."""
    return int.from_bytes(_hash(f"{seed} {photo}")[:4], "big")


def _pair(faces: Path, photo: str) -> list[Path]:
    return [faces / PAIRS / domain / f"{face_name(photo)}.png" for domain in DOMAINS]


def _remove(faces: Path, photo: str) -> None:
    for domain in DOMAINS:
        remove_faces(faces, domain, photo)
    for file in _pair(faces, photo):
        for path in (file, *file.parent.glob(f".{file.name}.*.part")):
            path.unlink(missing_ok=True)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def summary(rows: Sequence[CropRow]) -> str:
    """One line: how many faces each domain and split has, and how many photos gave none."""
    kept = [f"{row.domain}/{row.split}" for row in rows if row.status == "kept"]
    parts = [f"{kept.count(part)} {part}" for part in sorted(set(kept), reverse=True)]
    parts.append(f"{sum(part.endswith('test') for part in kept)} pairs")
    return ", ".join([*parts, f"{len(rows) - len(kept)} left out"])
