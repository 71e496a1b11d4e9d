"""From a folder of photos to a folder of faces, with a row for each photo that says what became of it.

    rows = crop_photos("photos/selfie", "faces", "selfie", manifest="data_manifest.csv")

Running it again opens only photos that are new or changed; other thresholds need none. It may be killed at any moment.
`table` says where the faces lie and what crops.csv holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from ..errors import DragFaceError
from ..images import find_photos, open_photo
from ..manifest import DOMAINS, read_manifest
from .cutting import cut_all, photo_sha256
from .detect import open_detector
from .duplicates import near_duplicates, same_colours
from .measure import MEASUREMENTS
from .quality import limits
from .splits import manifest_rows, split_of, splits_of_groups
from .table import (
    PAIRS,
    PRACTICE,
    SPLITS,
    CropRow,
    decided,
    face_file,
    folders,
    judged,
    move_face,
    read_crops,
    remove_faces,
    write_crops,
)

SAVE_EVERY = 50  # photos between two writings of crops.csv


def crop_photos(
    photos: str | Path,
    faces: str | Path,
    domain: str = "selfie",
    manifest: str | Path | None = None,
    detector: str = "auto",
    progress: bool = True,
    limit: int | None = None,
    gates: Mapping[str, float] | None = None,
) -> list[CropRow]:
    """Cut the faces out of every photo below `photos`; returns the rows of these photos.

    manifest: its split and split_group decide where they are filled, also for a photo that is only named after a
    group, and its withdrawn rows take the face away (scraping removes the photo); elsewhere a hash of the group
    decides, but never are all faces for testing. limit: only the first so many photos. gates: thresholds other than
    the usual (see quality.py). What a person decided by hand goes before all gates. There is one folder of photos for
    each domain: a photo of the same name in another folder takes the first one's place.
    Raises DragFaceError when `photos` is no folder or holds no picture, or for an unknown gate.
    """
    photos, faces = Path(photos), Path(faces)
    if (faces / PRACTICE).exists():
        raise DragFaceError(f"{faces} holds practice faces: name another folder for faces cropped from photos.")
    if domain not in DOMAINS:
        raise DragFaceError(f"There is no domain {domain!r}: use selfie or drag.")
    thresholds = limits(gates)
    paths = dict(list(photos_below(photos, faces).items())[:limit])
    listed = read_manifest(manifest) if manifest else []
    splits = splits_of_groups(listed)
    table = [row for row in dict.fromkeys(read_crops(faces)) if row.domain in DOMAINS and row.split in SPLITS]
    others = [row for row in table if row.domain != domain]
    rows: dict[str, list[CropRow]] = {}
    for row in table:
        if row.domain == domain:
            rows.setdefault(row.photo, []).append(row)

    def save() -> None:
        write_crops(faces, [*others, *(row for name in sorted(rows) for row in rows[name])])

    training = {row.split_group for before in rows.values() for row in before if row.split == "train"}
    known = manifest_rows([*paths, *rows], photos, [row for row in listed if row.domain == domain])
    withdrawn = {name for name, row in known.items() if row.withdrawn}
    for name in withdrawn:
        remove_faces(faces, domain, name)
        rows.pop(name, None)
    if withdrawn:
        save()
    if not paths:
        raise DragFaceError(f"{photos} holds no pictures: name a folder with JPEG, PNG or WebP files.")
    paths = {name: path for name, path in paths.items() if name not in withdrawn}
    jobs = []
    for name, path in paths.items():
        split, group = split_of(known.get(name), name, splits, training)
        if _is_current(faces, path, rows.get(name, [])):
            rows[name] = [replace(row, split=split, split_group=group) for row in rows[name]]
        else:
            remove_faces(faces, domain, name)
            jobs.append((path, CropRow(name, domain, split, group)))
    cut = cut_all(jobs, faces, open_detector(detector), thresholds)
    bar = tqdm(cut, f"faces of {domain}", len(jobs), unit="photo", disable=not progress or not jobs)
    for number, cut_rows in enumerate(bar, 1):
        name = cut_rows[0].photo
        decisions = {row.key: row.decision for row in rows.get(name, [])}
        rows[name] = [replace(row, decision=decisions.get(row.key, "")) for row in cut_rows]
        if number % SAVE_EVERY == 0:
            save()
    every = _without_copies([row for name in sorted(rows) for row in rows[name]], faces, thresholds, splits)
    kept = [row for row in every if row.status == "kept"]
    if not any(row.split == "train" for row in kept):
        free = [row.split_group for row in kept if row.photo in paths and not splits.get(row.split_group)]
        every = [replace(row, split="train") if row.split_group in free[:1] else row for row in every]
    every = [decided(row, row.decision) if row.face else row for row in every]
    write_crops(faces, [*others, *every])
    for row in every:
        move_face(faces, row)
    return [row for row in every if row.photo in paths]


def photos_below(photos: Path, faces: Path) -> dict[str, Path]:
    """Photos by their path below `photos`; the faces of an earlier run, which may lie among them, are none."""
    top = photos.resolve()
    made = [(faces / folder).resolve() for folder in (PAIRS, *(part for name in DOMAINS for part in folders(name)))]
    if any(top.is_relative_to(folder) for domain in DOMAINS for folder in [(faces / domain).resolve(), *made]):
        raise DragFaceError(f"{photos} is where the faces are written: name another folder for the faces.")
    paths = {path.relative_to(photos).as_posix(): path for path in find_photos(photos)}
    return {n: path for n, path in paths.items() if not any((top / n).is_relative_to(folder) for folder in made)}


def _is_current(faces: Path, photo: Path, rows: Sequence[CropRow]) -> bool:
    """Whether the rows of this photo are complete and up to date, and their faces exist."""
    complete = all(
        row.status in ("unreadable", "no_face") or (_has_numbers(row) and face_file(faces, row) is not None)
        for row in rows
    )
    return complete and {row.sha256 for row in rows} == {photo_sha256(photo)}


def _has_numbers(row: CropRow) -> bool:
    return bool(row.face and row.signature) and row.numbers.keys() >= MEASUREMENTS.keys()


def _without_copies(
    rows: list[CropRow], faces: Path, thresholds: Mapping[str, float], splits: Mapping[str, str]
) -> list[CropRow]:
    """Judge every measured face by the gates, and reject all copies but the best.

    All copies get one split. splits: the manifest's, by group.
    """
    rows = [judged(replace(row, copy_of=""), thresholds) if _has_numbers(row) else row for row in rows]
    passed = [n for n, row in enumerate(rows) if _has_numbers(row) and not row.reason]
    passed.sort(key=lambda n: (-rows[n].numbers["eyes"], -rows[n].numbers["sharpness"], rows[n].photo))  # best first
    paths = [face_file(faces, rows[number]) or faces / rows[number].face for number in passed]
    for group in near_duplicates(paths, [rows[number].signature for number in passed]):
        members = [rows[passed[place]] for place in group]
        fixed = [row for row in members if splits.get(row.split_group)]
        anchor = min(fixed or members[:1], key=lambda row: row.split)  # "test" before "train"
        originals: list[tuple[str, np.ndarray]] = []
        for place, row in zip(group, members, strict=True):
            face = open_photo(paths[place])
            # Versions of a photo in different make-up are no copies.
            copy_of = next((photo for photo, original in originals if same_colours(face, original)), "")
            if not copy_of:
                originals.append((row.photo, face))
            if row not in fixed:
                row = replace(row, split=anchor.split, split_group=anchor.split_group)
            rows[passed[place]] = judged(replace(row, copy_of=copy_of), thresholds)
    return rows
