"""From licensed photos of faces to two domains for training, and to test pairs that show what is right.

    rows = practice_faces("photos/selfie", "faces", manifest="data_manifest.csv", look="classic")
    faces/{selfie,drag}/{train,test}/NAME.jpg    half of the people as they are, the other half painted
    faces/pairs/{selfie,drag}/NAME.png           every test person, bare and painted, pixel for pixel
    faces/crops.csv                              what became of each photo

No person is ever in both domains of a split, so that nothing can be learned by comparing. Running it again does only
what is missing; it may be killed at any moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..crop.align import aligned_face
from ..crop.cutting import SIZE, photo_sha256
from ..crop.dataset import SAVE_EVERY, photos_below
from ..crop.detect import Detector, open_detector
from ..crop.find import Face, find_faces
from ..crop.measure import measure
from ..crop.quality import fault
from ..crop.splits import manifest_rows, split_of, splits_of_groups
from ..crop.table import PRACTICE, CropRow, face_name, read_crops, remove_faces, write_crops
from ..errors import DragFaceError
from ..files import write_atomically
from ..images import UnreadablePhoto, open_photo, save_photo
from ..manifest import DOMAINS, read_manifest
from ..session import Workspace
from .looks import draw_makeup
from .painting import Unpaintable, check_face, paint

PAIRS = "pairs"
PAINTER = 3  # raised whenever the painter paints otherwise: faces of an older one are painted again


@dataclass(frozen=True)
class _Settings:
    look: str
    seed: int
    painter: int = PAINTER


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
    """Build both domains and the pairs in `faces`; returns a row a photo.

    photos: a folder; None for the workspace's selfies, of which only those are taken that the manifest has under a
    licence. manifest: decides who is for testing, and whose photos are withdrawn. look, seed: see `draw_makeup`; every
    photo has a make-up of its own, the pairs the look's own. limit: only
    the first so many photos. Raises DragFaceError when there are no photos, when they show one person only, or when
    `faces` holds faces of another kind.
    """
    settings = _Settings(look, seed)
    draw_makeup(look)  # a wrong name is said before anything is done
    faces = Path(faces)
    rows = read_manifest(manifest) if manifest else []
    own, photos = photos is None, Path(photos) if photos is not None else Workspace.open().photos / "selfie"
    found = _photos(photos, faces) if photos.is_dir() or not own else {}
    splits = splits_of_groups(rows)
    known = manifest_rows(found, photos, [row for row in rows if row.domain == "selfie"])
    withdrawn = {name for name, row in known.items() if row.withdrawn}
    licensed = {name for name, row in known.items() if row.licence}
    found = {name: path for name, path in found.items() if name not in withdrawn and (name in licensed or not own)}
    found = dict(list(found.items())[:limit])
    if not found:
        raise DragFaceError(f"{photos} holds no photos to paint: download some first (scrape), or name a folder.")
    places = _places({name: split_of(known.get(name), name, splits, ()) for name in found}, splits)
    before = _before(faces, settings)
    finder = open_detector(detector)
    done: dict[str, CropRow] = {}
    for name in [name for name in before if name not in found]:
        _remove(faces, name)
    for number, name in enumerate(tqdm(found, desc="practice faces", unit="photo", disable=not progress), 1):
        domain, split, group = places[name]
        fresh = CropRow(name, domain, split, group, sha256=photo_sha256(found[name]))
        if not _is_current(faces, fresh, before.get(name)):
            _remove(faces, name)
            before[name] = _practise(found[name], faces, fresh, finder, settings)
        done[name] = before[name]
        if number % SAVE_EVERY == 0:
            write_crops(faces, done.values())
    write_crops(faces, done.values())
    return list(done.values())


def clear_practice(faces: str | Path) -> None:
    """Remove practice faces, which can be made again at any time, to make room for faces cropped from photos."""
    faces = Path(faces)
    if (faces / PRACTICE).exists():
        for row in read_crops(faces):
            _remove(faces, row.photo)
        (faces / "crops.csv").unlink(missing_ok=True)
        (faces / PRACTICE).unlink()


def _photos(photos: Path, faces: Path) -> dict[str, Path]:
    """Photos by their path below `photos`, without what this very command has written."""
    pairs = (faces / PAIRS).resolve()
    found = photos_below(photos, faces)
    return {name: path for name, path in found.items() if not path.resolve().is_relative_to(pairs)}


def _places(splits: Mapping[str, tuple[str, str]], fixed: Mapping[str, str]) -> dict[str, tuple[str, str, str]]:
    """Domain, split and group of each photo. splits: (split, group) by photo; fixed: the manifest's split by group.

    In each split the groups are put in order by a hash, and the first half is left bare.
    """
    groups = {group: split for split, group in splits.values()}
    training = [group for group, split in groups.items() if split == "train"]
    for group in sorted(groups):
        # A handful of photos may all be for testing by chance: two people at least must be there to train on.
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
        for place, group in enumerate(members):
            domains[group] = "selfie" if place < (len(members) + 1) // 2 else "drag"
    return {name: (domains[group], groups[group], group) for name, (_, group) in splits.items()}


def _before(faces: Path, settings: _Settings) -> dict[str, CropRow]:
    """The rows of an earlier run by photo. Where it had other settings its faces go; raises for faces not painted."""
    path = faces / PRACTICE
    text = json.dumps(settings.__dict__, sort_keys=True) + "\n"
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
    # Written before the first face: a run that is killed is known for what it was.
    write_atomically(path, text.encode())
    return {row.photo: row for row in rows}


def _is_current(faces: Path, fresh: CropRow, row: CropRow | None) -> bool:
    if row is None or replace(row, status="", reason="", decision="", face="") != fresh:
        return False
    files = [faces / row.face, *_pair(faces, row.photo)] if row.split == "test" else [faces / row.face]
    return row.status != "kept" or all(file.is_file() for file in files)


def _practise(path: Path, faces: Path, fresh: CropRow, detector: Detector, settings: _Settings) -> CropRow:
    try:
        photo = open_photo(path)
    except UnreadablePhoto as error:
        return replace(fresh, status="unreadable", reason=str(error))
    found = find_faces(photo, detector)
    if not found:
        return replace(fresh, status="no_face", reason="no face was found")
    one = found[0]
    bare = aligned_face(photo, one.points, SIZE)
    reason = fault(measure(photo, one, bare))
    if reason:
        return replace(fresh, status="rejected", reason=reason)
    try:
        check_face(photo, one.points, one.box.turned)
        if fresh.split == "test":
            truth = paint(photo, one.points, draw_makeup(settings.look), settings.seed, one.box.turned)
            for file, face in zip(
                _pair(faces, fresh.photo), (bare, aligned_face(truth.photo, one.points, SIZE)), strict=True
            ):
                save_photo(file, face)
        if fresh.domain == "selfie":
            face = bare
        else:
            face = aligned_face(_painted(photo, one, fresh.photo, settings), one.points, SIZE)
    except Unpaintable as error:
        return replace(fresh, status="rejected", reason=str(error))
    file = f"{fresh.domain}/{fresh.split}/{face_name(fresh.photo)}.jpg"
    save_photo(faces / file, face, quality=95)
    return replace(fresh, status="kept", face=file)


def _painted(photo: np.ndarray, face: Face, name: str, settings: _Settings) -> np.ndarray:
    return paint(photo, face.points, settings.look, make_up_seed(name, settings.seed), face.box.turned).photo


def make_up_seed(photo: str, seed: int) -> int:
    """The seed of the make-up on one photo, of a data set's seed."""
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
    parts = [f"{kept.count(place)} {place}" for place in sorted(set(kept), reverse=True)]
    parts.append(f"{sum(place.endswith('test') for place in kept)} pairs")
    return ", ".join([*parts, f"{len(rows) - len(kept)} left out"])
