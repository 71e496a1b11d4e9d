"""From a folder of photos to a folder of faces, with a word on what became of each photo.

    rows = crop_photos("photos/selfie", "faces", "selfie", manifest="data_manifest.csv")
    faces/{selfie,drag}/{train,test}/NAME.jpg    256 px, eyes level and in place
    faces/crops.csv                              a row a photo or face: kept, rejected, no_face or unreadable

Running it again looks only at photos that are new or changed. It may be killed at any moment.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from tqdm.auto import tqdm

from ..errors import DragFaceError
from ..files import sha256_of, write_atomically
from ..images import UnreadablePhoto, contact_sheet, find_photos, open_photo, resize, save_photo
from ..manifest import DOMAINS, Row, read_manifest
from .align import crop_face, similarity
from .detect import Detector, open_detector
from .finding import FoundFace, find_faces, interocular

SIZE = 256  # pixels of a face
SMALLEST = 32.0  # pixels between the pupils: below this a face is mostly invented by enlarging it
SIDEWAYS = 0.4  # of `Face.turned`: further on, the landmark network, which saw faces from the front, misplaces an eye
OUTSIDE = 0.15  # of the landmarks: where the mouth is cut off it is a quarter, on a whole face none
BLURRED = 12.0  # variance of the Laplacian at face size; a sharp face has hundreds
TEST_SHARE = 0.15  # of the groups, where no manifest says which are for testing
PRACTICE = "practice.json"  # lies among practice faces, which are not to be mixed with cropped ones
SAVE_EVERY = 50  # photos between two writings of crops.csv


@dataclass(frozen=True)
class CropRow:
    """What became of a photo, or of one of its faces. `photo` is its path below the folder of photos."""

    photo: str
    domain: str
    split: str
    split_group: str
    status: str  # kept, rejected, no_face, unreadable
    reason: str
    face: str  # the face's file below the folder of faces, where it was kept
    sha256: str  # of the photo


def crop_photos(
    photos: str | Path,
    faces: str | Path,
    domain: str = "selfie",
    manifest: str | Path | None = None,
    detector: str = "auto",
    progress: bool = True,
    limit: int | None = None,
) -> list[CropRow]:
    """Cut the faces out of every photo below `photos`; returns the rows of these photos.

    manifest: its split and split_group decide where they are filled, also for a photo that is only named after a
    group, and its withdrawn rows take the face away (scraping removes the photo); elsewhere a hash of the group
    does, but never are all faces for testing. limit: only the first so many photos. One folder a domain: a photo of
    the same name in another folder takes the first one's place. Raises DragFaceError when `photos` is no folder or
    holds no picture.
    """
    photos, faces = Path(photos), Path(faces)
    if (faces / PRACTICE).exists():
        raise DragFaceError(f"{faces} holds practice faces: name another folder for faces cropped from photos.")
    if domain not in DOMAINS:
        raise DragFaceError(f"There is no domain {domain!r}: use selfie or drag.")
    found = dict(list(photos_below(photos, faces).items())[:limit])
    listed = Listed(read_manifest(manifest) if manifest else [], photos, domain)
    finder = open_detector(detector)
    rows = read_crops(faces)
    before: dict[str, list[CropRow]] = {}
    for row in rows:
        if row.domain == domain:
            before.setdefault(row.photo, []).append(row)
    others = [row for row in rows if row.domain != domain]
    done = dict(before)
    training = {row.split_group for rows in before.values() for row in rows if row.split == "train"}
    for name in [name for name in done if (row := listed.find(name)) is not None and row.status == "withdrawn"]:
        remove_faces(faces, domain, name)
        del done[name]
    if not found:
        if before:
            write_crops(faces, others, done)
        raise DragFaceError(f"{photos} holds no pictures: name a folder with JPEG, PNG or WebP files.")
    bar = tqdm(found.items(), desc=f"faces of {domain}", unit="photo", disable=not progress)
    for number, (name, path) in enumerate(bar, 1):
        row = listed.find(name)
        if row is not None and row.status == "withdrawn":
            remove_faces(faces, domain, name)  # also those that a killed run left without a row
            continue
        split, group = split_of(row, name, listed.splits, training)
        fresh = CropRow(name, domain, split, group, "", "", "", photo_sha256(path))
        if not _is_current(faces, fresh, done.get(name, [])):
            remove_faces(faces, domain, name)
            done[name] = _crop_photo(path, faces, fresh, finder)
        if number % SAVE_EVERY == 0:
            write_crops(faces, others, done)
    for name in _moved_to_training(found, listed, done):
        remove_faces(faces, domain, name)
        done[name] = _crop_photo(found[name], faces, replace(done[name][0], split="train"), finder)
    write_crops(faces, others, done)
    return [row for name in found for row in done.get(name, [])]


def photos_below(photos: Path, faces: Path) -> dict[str, Path]:
    """Photos by their path below `photos`; the faces of an earlier run, which may lie among them, are none."""
    top = photos.resolve()
    made = [(faces / domain / split).resolve() for domain in DOMAINS for split in ("train", "test")]
    if any(top.is_relative_to((faces / domain).resolve()) for domain in DOMAINS):
        raise DragFaceError(f"{photos} is where the faces are written: name another folder for the faces.")
    found = {path.relative_to(photos).as_posix(): path for path in find_photos(photos)}
    return {n: path for n, path in found.items() if not any((top / n).is_relative_to(folder) for folder in made)}


def _moved_to_training(found: Iterable[str], listed: Listed, done: Mapping[str, Sequence[CropRow]]) -> list[str]:
    """The photos of one group that may move, where every face is for testing: nothing could be trained on."""
    kept = {name for name, rows in done.items() if any(row.status == "kept" for row in rows)}
    if any(row.split == "train" for name in kept for row in done[name] if row.status == "kept"):
        return []
    here = [name for name in found if name in done]
    fixed = {group for name in here if listed.splits.get(group := done[name][0].split_group)}
    groups = [done[name][0].split_group for name in here if name in kept]
    group = next((group for group in groups if group not in fixed), None)
    return [name for name in here if done[name][0].split_group == group]


def _crop_photo(path: Path, faces: Path, fresh: CropRow, detector: Detector) -> list[CropRow]:
    def row(status: str, reason: str = "", face: str = "") -> CropRow:
        return CropRow(**(asdict(fresh) | {"status": status, "reason": reason, "face": face}))

    try:
        photo = open_photo(path)
    except UnreadablePhoto as error:
        return [row("unreadable", str(error))]
    found = find_faces(photo, detector)
    if not found:
        return [row("no_face", "no face was found")]
    rows = []
    for number, one in enumerate(found, 1):
        face = crop_face(photo, similarity(one.points, SIZE), SIZE)
        reason = fault(photo, one, face)
        if reason:
            rows.append(row("rejected", reason))
            continue
        file = f"{fresh.domain}/{fresh.split}/{face_name(fresh.photo)}{f'+{number}' if number > 1 else ''}.jpg"
        save_photo(faces / file, face, quality=95)
        rows.append(row("kept", "", file))
    return rows


def face_name(photo: str) -> str:
    """portraits/female/0.jpg becomes portraits__female__0; a hash keeps apart what would become the same.

    Never holds a "+", which numbers the further faces of a photo, and is never hidden or too long for a file.
    """
    name = re.sub(r"[^\w.-]+", "_", photo.removesuffix(".jpg").replace("/", "__")).lstrip(".")
    plain = name.replace("__", "/") + ".jpg" == photo and len(name) <= 60
    return name if plain else f"{name[-50:]}_{_hash(photo).hex()[:8]}"


def fault(photo: np.ndarray, found: FoundFace, face: np.ndarray) -> str:
    """Why a face is not good enough to learn from; empty when it is. face: its (256, 256, 3) crop."""
    eyes = interocular(found.points)
    if eyes < SMALLEST:
        return f"too small: {eyes:.0f} pixels between the eyes, {SMALLEST:.0f} are needed"
    if abs(found.box.turned) > SIDEWAYS:
        return "turned to the side"
    outside = ((found.points < 0) | (found.points >= photo.shape[1::-1])).any(axis=1)
    if outside[:2].any():
        return "an eye lies outside the photo"
    if outside.mean() > OUTSIDE:
        return f"cut off: {outside.mean():.0%} of the face lies outside the photo"
    sharpness = cv2.Laplacian(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY), cv2.CV_64F)[64:224, 64:192].var()
    if sharpness < BLURRED:
        return f"blurred: sharpness {sharpness:.0f}, {BLURRED:.0f} is needed"
    return ""


class Listed:
    """The manifest's row of a photo: by its path below the folder of photos; else, as that folder may be a part of
    the manifest's or hold it, by the longest end of its whole path that only one row has.
    """

    def __init__(self, rows: Sequence[Row], photos: Path, domain: str):
        # Of both domains: a person is the same in each.
        self.splits = {row.split_group: row.split for row in rows if row.split_group}
        rows = [row for row in rows if row.domain == domain]
        self._folder = photos.resolve().parts[1:]
        self._by_file = {row.file: row for row in rows}
        self._by_ending: dict[str, list[Row]] = {}
        for row in rows:
            parts = row.file.split("/")
            for start in range(len(parts)):
                self._by_ending.setdefault("/".join(parts[start:]), []).append(row)

    def find(self, name: str) -> Row | None:
        if name in self._by_file:
            return self._by_file[name]
        parts = [*self._folder, *name.split("/")]
        for start in range(len(parts)):
            rows = self._by_ending.get("/".join(parts[start:]), [])
            if len(rows) == 1:
                return rows[0]
        return None


def split_of(row: Row | None, name: str, splits: Mapping[str, str], training: Collection[str]) -> tuple[str, str]:
    """Split and group of a photo. splits: the manifest's, by group; training: groups that crops.csv has for training,
    where they stay.
    """
    group = (row.split_group if row is not None else "") or _group(name, splits)
    split = (row.split if row is not None else "") or splits.get(group, "")
    if split:
        return split, group
    share = int.from_bytes(_hash(group)[:4], "big") / 2**32
    return ("test" if share < TEST_SHARE and group not in training else "train"), group


def _group(name: str, known: Collection[str]) -> str:
    """Whom a photo shows, by its name: anna_1.jpg and anna_2.jpg are of one group. A file named after a group of the
    manifest, as a made-up copy of its photo is, belongs to that group: london_001_0.jpg to london_001.
    """
    path = PurePosixPath(name).with_suffix("")
    numbered = re.sub(r"[_-]\d$", "", str(path))
    candidates = (path.name, PurePosixPath(numbered).name)
    return next((group for group in candidates if group in known), numbered)


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()  # names on disk need not be UTF-8


def _is_current(faces: Path, fresh: CropRow, rows: Sequence[CropRow]) -> bool:
    """True when the rows already say all about this photo and their faces are there."""
    return bool(rows) and all(
        (row.sha256, row.split, row.split_group) == (fresh.sha256, fresh.split, fresh.split_group)
        and (row.status != "kept" or (faces / row.face).is_file())
        for row in rows
    )


def remove_faces(faces: Path, domain: str, photo: str) -> None:
    """Take away a photo's faces by their names: crops.csv does not know those of a run that was killed."""
    name = face_name(photo)
    for pattern in (f"{name}.jpg", f"{name}+*.jpg", f".{name}.jpg.*.part", f".{name}+*.part"):
        for split in ("train", "test"):
            for path in (faces / domain / split).glob(pattern):
                path.unlink(missing_ok=True)


def photo_sha256(photo: Path) -> str:
    try:
        return sha256_of(photo)
    except OSError:
        return ""  # opening it will say why it cannot be read


def read_crops(faces: str | Path) -> list[CropRow]:
    """The rows of FACES/crops.csv; none when it does not exist. Raises DragFaceError when it is not one of ours."""
    path = Path(faces) / "crops.csv"
    if not path.exists():
        return []
    names = [field.name for field in fields(CropRow)]
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = csv.DictReader(file)
            missing = set(names) - set(lines.fieldnames or names)
            if missing:
                raise DragFaceError(f"{path} has no column {min(missing)}: move it away and crop again.")
            return [CropRow(**{name: line[name] for name in names}) for line in lines]
    except csv.Error as error:
        raise DragFaceError(f"{path} cannot be read ({error}): move it away and crop again.") from error


def write_crops(faces: Path, others: Iterable[CropRow], done: Mapping[str, Sequence[CropRow]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(CropRow)], lineterminator="\n")
    writer.writeheader()
    for row in [*others, *(row for name in sorted(done) for row in done[name])]:
        writer.writerow(asdict(row))
    write_atomically(faces / "crops.csv", text.getvalue().encode("utf-8", "surrogateescape"))


def kept_and_rejected(
    faces: str | Path, photos: Mapping[str, Path], rows: Sequence[CropRow], kept: int = 16, others: int = 8
) -> np.ndarray:
    """A contact sheet: some of the kept faces, then photos that gave none, each with the reason.

    photos: the folder of photos of each domain. Faces deleted by hand are left out. Returns (height, width, 3)
    uint8 RGB.
    """
    cell, pictures, captions = 128, [], []
    good = [row for row in rows if row.status == "kept" and (Path(faces) / row.face).is_file()]
    for row in (good[n] for n in np.unique(np.linspace(0, len(good) - 1, kept).astype(int))) if good else ():
        pictures.append(open_photo(Path(faces) / row.face))
        captions.append(f"{row.domain}, {row.split}")
    for row in [row for row in rows if row.status != "kept" and row.domain in photos][:others]:
        try:
            photo = open_photo(Path(photos[row.domain]) / row.photo)
            scale = cell / max(photo.shape[:2])
            pictures.append(resize(photo, *(max(1, round(side * scale)) for side in photo.shape[:2])))
        except UnreadablePhoto:
            pictures.append(np.full((cell, cell, 3), 220, np.uint8))
        captions.append(f"{row.status}: {row.reason}")
    return contact_sheet(pictures, columns=8, cell=cell, captions=captions)
