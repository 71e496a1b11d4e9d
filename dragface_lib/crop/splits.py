"""Which photos are for testing: the manifest decides where it says so, elsewhere a hash of the group.

A group is mostly a person. The photos of a group are on one side of the split.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from ..errors import DragFaceError
from ..manifest import Row
from .table import read_crops

TEST_SHARE = 0.15  # of the groups, where no manifest says which are for testing


def manifest_rows(names: Iterable[str], photos: Path, rows: Sequence[Row]) -> dict[str, Row]:
    """The manifest's row of each photo that has one. names: paths below the folder `photos`; rows: of one domain.

    That folder may be a part of the manifest's, or hold it. So the row of exactly this path is taken first, else the
    only row with the longest path suffix in common.
    """
    exact = {row.file: row for row in rows}
    by_suffix: dict[str, Row | None] = {}  # None where several rows have it
    for row in rows:
        for suffix in _suffixes(row.file):
            by_suffix[suffix] = None if suffix in by_suffix else row
    matched = {}
    for name in names:
        candidates = map(by_suffix.get, _suffixes(f"{photos.resolve().as_posix()}/{name}"))
        if row := exact.get(name) or next(filter(None, candidates), None):
            matched[name] = row
    return matched


def _suffixes(path: str) -> list[str]:
    """a/b/c, b/c and c for a/b/c."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def splits_of_groups(rows: Iterable[Row]) -> dict[str, str]:
    """The manifest's split of each group, of both domains: a person is the same in each."""
    return {row.split_group: row.split for row in rows if row.split_group}


def split_of(row: Row | None, name: str, splits: Mapping[str, str], training: Collection[str]) -> tuple[str, str]:
    """Split and group of a photo. row: the manifest's, if it has one; splits: the manifest's, by group.

    Without a row anna_1.jpg and anna_2.jpg are of one group. A painted copy that is named after a group of the manifest
    belongs to it: london_001_0.jpg to london_001. training: groups that never become test groups by their hash.
    """
    path = PurePosixPath(name).with_suffix("")
    numbered = re.sub(r"[_-]\d$", "", str(path))
    named = next((group for group in (path.name, PurePosixPath(numbered).name) if group in splits), numbered)
    group = (row.split_group if row is not None else "") or named
    share = int.from_bytes(hash_of(group)[:4], "big") / 2**32
    by_hash = "test" if share < TEST_SHARE and group not in training else "train"
    return (row.split if row is not None else "") or splits.get(group, "") or by_hash, group


def hash_of(name: str) -> bytes:
    """The SHA-256 of a name: it gives names a random order that never changes."""
    return hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()  # names on disk need not be UTF-8


def used_in(faces: str | Path, rows: Sequence[Row]) -> list[Row]:
    """The rows of photos that gave the faces in a folder or archive.

    Raises DragFaceError where its crops.csv is missing or empty.
    """
    kept = [crop for crop in read_crops(faces) if crop.status == "kept"]
    if not kept:
        raise DragFaceError(f"{faces} does not say which photos its faces come from: name a folder with a crops.csv.")
    hashes, files = {crop.sha256 for crop in kept} - {""}, {crop.photo for crop in kept}
    return [row for row in rows if {row.sha256, row.stored_sha256} & hashes or row.file in files]
