"""From a folder of photos to a folder of faces, with a row for each photo that says what became of it.

    rows = crop_photos("photos/selfie", "faces", "selfie", manifest="data_manifest.csv")

Running it again opens only photos that are new or changed; other thresholds need none. It may be killed at any moment.
`table` says where the faces lie and what crops.csv holds.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from tqdm.auto import tqdm

from ..archives import PAIRS
from ..errors import DragFaceError, printable
from ..files import locked
from ..images import find_photos
from ..manifest import DOMAINS, read_manifest
from .cutting import cut_all, photo_sha256
from .detect import open_detector
from .duplicates import near_duplicates
from .measure import MEASUREMENTS
from .quality import limits
from .table import (
    PRACTICE,
    SPLITS,
    CropRow,
    decided,
    face_file,
    folders,
    judged,
    manifest_rows,
    move_face,
    normal_name,
    read_crops,
    remove_faces,
    split_of,
    splits_of_groups,
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
    each domain: a photo of the same name in another folder takes the first one's place. Faces whose photos are not
    there stay, and the photos are named on stderr. Of two processes one waits for the other.
    Raises DragFaceError when `photos` is no folder or holds no picture, or for a gate that there is not.
    """
    photos, faces = Path(photos), Path(faces)
    if (faces / PRACTICE).exists():
        raise DragFaceError(f"{faces} holds practice faces: name another folder for faces cropped from photos.")
    if domain not in DOMAINS:
        raise DragFaceError(f"There is no domain {domain!r}: use selfie or drag.")
    if (photos / "trainA").is_dir() and (photos / "trainB").is_dir():
        raise DragFaceError(f"{photos} holds two domains: crop {photos / 'trainA'}, then trainB with --domain drag.")
    thresholds, listed = limits(gates), read_manifest(manifest) if manifest else []
    splits, here = splits_of_groups(listed), photos_below(photos, faces)
    with ThreadPoolExecutor() as pool:
        hashes = dict(zip(here, pool.map(photo_sha256, here.values()), strict=True))
    with locked(faces):
        table = [row for row in dict.fromkeys(read_crops(faces)) if row.domain in DOMAINS and row.split in SPLITS]
        others = [row for row in table if row.domain != domain]
        rows: dict[str, list[CropRow]] = {}
        for row in table:
            if row.domain == domain and (row.photo in here or not row.face or face_file(faces, row)):
                rows.setdefault(row.photo, []).append(row)

        def save() -> None:
            write_crops(faces, [*others, *(row for name in sorted(rows) for row in rows[name])])

        training = {normal_name(row.split_group) for before in rows.values() for row in before if row.split == "train"}
        known = manifest_rows({name: rows[name][0].sha256 for name in rows} | hashes, photos, listed, domain)
        withdrawn = {name for name, row in known.items() if row.withdrawn}
        for name in withdrawn:
            remove_faces(faces, domain, name)
            rows.pop(name, None)
        if withdrawn:
            save()
        if not here:
            raise DragFaceError(f"{photos} holds no pictures: name a folder with JPEG, PNG or WebP files.")
        names, jobs = [name for name in [*here][:limit] if name not in withdrawn], []
        for name in names:
            split, group = split_of(known.get(name), name, splits, training)
            if _is_current(faces, hashes[name], rows.get(name, [])):
                rows[name] = [replace(row, split=split, split_group=group) for row in rows[name]]
            else:
                remove_faces(faces, domain, name)
                jobs.append((here[name], CropRow(name, domain, split, group, sha256=hashes[name])))
        cut = cut_all(jobs, faces, open_detector(detector), thresholds)
        bar = tqdm(cut, f"faces of {domain}", len(jobs), unit="photo", disable=not progress or not jobs)
        for number, cut_rows in enumerate(bar, 1):
            name = cut_rows[0].photo
            decisions = {row.key: row.decision for row in rows.get(name, [])}
            rows[name] = [replace(row, decision=decisions.get(row.key, "")) for row in cut_rows]
            if number % SAVE_EVERY == 0:
                save()
        every = [row for name in sorted(rows) for row in rows[name]]
        every = _without_copies(every, faces, thresholds, splits, here)
        kept = [row for row in every if row.status == "kept"]
        if not any(row.split == "train" for row in kept):
            free = [row.split_group for row in kept if row.photo in names and not splits.get(row.split_group)]
            every = [replace(row, split="train") if row.split_group in free[:1] else row for row in every]
        every = [decided(row, row.decision) if row.face else row for row in every]
        write_crops(faces, [*others, *every])
        for row in every:
            move_face(faces, row)
    if gone := sorted({row.photo for row in every if row.face} - here.keys()):
        print(
            f"{len(gone)} photos are not in {photos} any more, and their faces stay. Delete those that must go: "
            f"{printable(', '.join(gone))}",
            file=sys.stderr,
        )
    return [row for row in every if row.photo in names]


def photos_below(photos: Path, faces: Path) -> dict[str, Path]:
    """Photos by their path below `photos`, without the faces of an earlier run."""
    top = photos.resolve()
    made = [(faces / folder).resolve() for folder in (PAIRS, *(part for name in DOMAINS for part in folders(name)))]
    if any(top.is_relative_to(folder) for domain in DOMAINS for folder in [(faces / domain).resolve(), *made]):
        raise DragFaceError(f"{photos} is where the faces are written: name another folder for the faces.")
    paths = {path.relative_to(photos).as_posix(): path for path in find_photos(photos)}
    return {n: path for n, path in paths.items() if not any((top / n).is_relative_to(folder) for folder in made)}


def _is_current(faces: Path, sha256: str, rows: Sequence[CropRow]) -> bool:
    """Whether the rows are complete, belong to these bytes, and their faces exist."""
    complete = all(
        row.status in ("unreadable", "no_face") or (_has_numbers(row) and face_file(faces, row) is not None)
        for row in rows
    )
    return complete and {row.sha256 for row in rows} == {sha256}


def _has_numbers(row: CropRow) -> bool:
    return bool(row.face and row.signature) and row.numbers.keys() >= MEASUREMENTS.keys()


def _without_copies(
    rows: list[CropRow],
    faces: Path,
    thresholds: Mapping[str, float],
    splits: Mapping[str, str],
    here: Collection[str],
) -> list[CropRow]:
    """Judge every measured face by the gates, and reject all copies but the best.

    All copies get one split. splits: the manifest's, by group. here: photos that still exist; the best of these stays.
    """
    rows = [judged(replace(row, copy_of=""), thresholds) if _has_numbers(row) else row for row in rows]
    passed = [row for row in rows if _has_numbers(row) and not row.reason]
    passed.sort(key=lambda row: (row.photo not in here, -row.numbers["eyes"], -row.numbers["sharpness"], row.photo))
    files = [face_file(faces, row) or faces / row.face for row in passed]
    for group in near_duplicates(files, [row.signature for row in passed]):
        members = [passed[number] for number in group]
        fixed = [row for row in members if splits.get(row.split_group)]
        anchor = min(fixed or members[:1], key=lambda row: row.split)  # "test" before "train"
        for row in members:
            split = row if row in fixed else anchor
            copy_of = "" if row is members[0] else members[0].photo
            changed = replace(row, split=split.split, split_group=split.split_group, copy_of=copy_of)
            rows[rows.index(row)] = judged(changed, thresholds)
    return rows
