"""From a folder of photos to a folder of faces, with a word on what became of each photo.

    rows = crop_photos("photos/selfie", "faces", "selfie", manifest="data_manifest.csv")
    faces/{selfie,drag}/{train,test}/NAME.jpg    256 px, eyes level and in place
    faces/rejected/{selfie,drag}/NAME.jpg        faces that a gate or a person rejected: to be looked at, not packed
    faces/crops.csv                              a row a photo or face: kept, rejected, no_face or unreadable

Running it again opens only photos that are new or changed; other thresholds need none. It may be killed at any moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..duplicates import near_duplicates, same_colours
from ..errors import DragFaceError
from ..images import UnreadablePhoto, contact_sheet, find_photos, open_photo, resize
from ..manifest import DOMAINS, read_manifest
from .cutting import SIZE, cut_all, judged, photo_sha256
from .decisions import decided, face_key, place, read_decisions
from .detect import open_detector
from .quality import NAMES, limits
from .rows import STATUSES, CropRow, folders, read_crops, remove_faces, write_crops
from .splits import Listed, split_of

PRACTICE = "practice.json"  # lies among practice faces, which are not to be mixed with cropped ones
SAVE_EVERY = 50  # photos between two writings of crops.csv

__all__ = ["SIZE", "CropRow", "crop_photos", "kept_and_rejected", "photos_below", "read_crops"]


def crop_photos(
    photos: str | Path,
    faces: str | Path,
    domain: str = "selfie",
    manifest: str | Path | None = None,
    detector: str = "auto",
    progress: bool = True,
    limit: int | None = None,
    gates: Mapping[str, float] | None = None,
    processes: int | None = None,
) -> list[CropRow]:
    """Cut the faces out of every photo below `photos`; returns the rows of these photos.

    manifest: its split and split_group decide where they are filled, also for a photo that is only named after a
    group, and its withdrawn rows take the face away (scraping removes the photo); elsewhere a hash of the group
    does, but never are all faces for testing. limit: only the first so many photos. gates: thresholds other than
    the usual (see quality.py). processes: at once, default one a processor. What a person decided by hand goes
    before all gates. One folder a domain: a photo of the same name in another folder takes the first one's place.
    Raises DragFaceError when `photos` is no folder or holds no picture, or for a gate that there is not.
    """
    photos, faces = Path(photos), Path(faces)
    if (faces / PRACTICE).exists():
        raise DragFaceError(f"{faces} holds practice faces: name another folder for faces cropped from photos.")
    if domain not in DOMAINS:
        raise DragFaceError(f"There is no domain {domain!r}: use selfie or drag.")
    thresholds = limits(gates)
    found = dict(list(photos_below(photos, faces).items())[:limit])
    listed = Listed(read_manifest(manifest) if manifest else [], photos, domain)
    finder = open_detector(detector).name
    before: dict[str, list[CropRow]] = {}
    others = []
    for row in read_crops(faces):
        # A table that somebody cut down may not say whose domain a photo is.
        if row.domain == domain or (row.domain not in DOMAINS and row.photo in found):
            before.setdefault(row.photo, []).append(row)
        else:
            others.append(row)
    done = dict(before)
    training = {row.split_group for rows in before.values() for row in rows if row.split == "train"}
    empty = not found
    known = {name: listed.find(name) for name in [*found, *done]}
    for name in [name for name, row in known.items() if row is not None and row.withdrawn]:
        remove_faces(faces, domain, name)  # also those that a killed run left without a row
        found.pop(name, None)
        done.pop(name, None)
    if empty:
        if before:
            write_crops(faces, others, done)
        raise DragFaceError(f"{photos} holds no pictures: name a folder with JPEG, PNG or WebP files.")
    jobs = []
    for name in tqdm(found, desc=f"photos of {domain}", unit="photo", disable=not progress or not before):
        split, group = split_of(known[name], name, listed.splits, training)
        if _is_current(faces, found[name], done.get(name, [])):
            done[name] = [replace(row, split=split, split_group=group) for row in done[name]]
        else:
            remove_faces(faces, domain, name)
            jobs.append((found[name], CropRow(name, domain, split, group, "", "", "", "")))
    bar = tqdm(total=len(jobs), desc=f"faces of {domain}", unit="photo", disable=not progress or not jobs)
    with bar:
        for number, (name, cut) in enumerate(cut_all(jobs, faces, finder, thresholds, processes), 1):
            done[name] = [replace(row, more=_added(row, before.get(name, []))) for row in cut]
            bar.update()
            if number % SAVE_EVERY == 0:
                write_crops(faces, others, done)
    _judge(faces, done, thresholds, listed.splits)
    for name in _moved_to_training(found, listed, done):
        done[name] = [replace(row, split="train") for row in done[name]]
    for name, cut in done.items():
        done[name] = [_put_in_place(faces, row) for row in cut]
    write_crops(faces, others, done)
    return [row for name in found for row in done.get(name, [])]


def photos_below(photos: Path, faces: Path) -> dict[str, Path]:
    """Photos by their path below `photos`; the faces of an earlier run, which may lie among them, are none. Folders
    and broken links that are named like a picture are among them: opening them says what they are.
    """
    top = photos.resolve()
    made = [(faces / folder).resolve() for domain in DOMAINS for folder in folders(domain)]
    if any(top.is_relative_to(folder) for domain in DOMAINS for folder in [(faces / domain).resolve(), *made]):
        raise DragFaceError(f"{photos} is where the faces are written: name another folder for the faces.")
    found = {path.relative_to(photos).as_posix(): path for path in find_photos(photos, strays=True)}
    return {n: path for n, path in found.items() if not any((top / n).is_relative_to(folder) for folder in made)}


def _is_current(faces: Path, photo: Path, rows: Sequence[CropRow]) -> bool:
    """True when the rows say all about this photo and their faces are there, kept or rejected."""
    return (
        bool(rows)
        and len({row.face for row in rows}) == len(rows)  # a line that is there twice would be its own copy
        and all(
            row.status in STATUSES
            and row.domain in DOMAINS
            and (row.status in ("unreadable", "no_face") or (_has_numbers(row) and _file(faces, row) is not None))
            for row in rows
        )
        and {row.sha256 for row in rows} == {photo_sha256(photo)}
    )


def _added(row: CropRow, before: Sequence[CropRow]) -> Mapping[str, str]:
    """What somebody wrote beside this face, or, where its file had no row, beside its photo."""
    name = Path(row.face).name
    return next((one.more for one in before if Path(one.face).name == name), before[0].more if before else {})


def _has_numbers(row: CropRow) -> bool:
    return bool(row.face and row.signature) and all(name in row.numbers for name in NAMES)


def _file(faces: Path, row: CropRow) -> Path | None:
    """Where a row's face is, wherever it should be."""
    name = Path(row.face).name
    places = [faces / row.face, *(faces / folder / name for folder in folders(row.domain))]
    return next((path for path in places if name and path.is_file()), None)


def _judge(
    faces: Path, done: dict[str, list[CropRow]], thresholds: Mapping[str, float], splits: Mapping[str, str]
) -> None:
    """What the gates say of every face that has numbers, then of copies all but the best, then what was decided.

    A photo that was painted in several ways is kept in each, on one side of the split.
    splits: the manifest's, by group; copies of other groups share one.
    """
    measured = {name: rows for name, rows in done.items() if all(_has_numbers(row) for row in rows)}
    for name, rows in measured.items():
        done[name] = [judged(replace(row, copy_of=""), thresholds) for row in rows]
    passed = [
        (row, path)
        for name in sorted(measured)
        for row in done[name]
        if row.status == "kept"
        if (path := _file(faces, row)) is not None
    ]
    groups = near_duplicates([path for _, path in passed], False, [row.signature for row, _ in passed])
    for group in groups:
        members = sorted((passed[number] for number in group), key=lambda member: _best_first(member[0]))
        named = [row for row, _ in members if splits.get(row.split_group)]
        anchor = min(named or [members[0][0]], key=lambda row: row.split)  # "test" before "train"
        for (row, _), copy_of in zip(members, _copies(members), strict=True):
            copy = replace(row, copy_of=copy_of)
            if row not in named:
                copy = replace(copy, split=anchor.split, split_group=anchor.split_group)
            done[row.photo] = [judged(copy, thresholds) if one is row else one for one in done[row.photo]]
    decisions = read_decisions(faces)
    for name in measured:
        done[name] = [decided(row, decisions.get(face_key(row.face))) for row in done[name]]


def _copies(members: Sequence[tuple[CropRow, Path]]) -> list[str]:
    """Of faces that are of one picture, best first, with their files: the photo that each is a copy of, or ""."""
    copies: list[str] = []
    best: list[tuple[str, np.ndarray]] = []
    for row, path in members:
        try:
            face = open_photo(path)
        except UnreadablePhoto:  # gone or damaged since
            copies.append("")
            continue
        copies.append(next((photo for photo, other in best if same_colours(face, other)), ""))
        if not copies[-1]:
            best.append((row.photo, face))
    return copies


def _best_first(row: CropRow) -> tuple[float, float, str]:
    return -row.numbers["eyes"], -row.numbers["sharpness"], row.photo


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


def _put_in_place(faces: Path, row: CropRow) -> CropRow:
    """Move a face to where its status and split want it; returns its row."""
    path = _file(faces, row) if row.split else None
    if path is None:
        return row
    row = replace(row, face=place(row, row.status))
    if path != faces / row.face:
        try:
            (faces / row.face).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, faces / row.face)
        except OSError as error:
            raise DragFaceError(f"{path} cannot be moved to {faces / row.face} ({error.strerror}).") from error
    return row


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
