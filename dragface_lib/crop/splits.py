"""What the manifest says of photos that were cropped, above all which are for testing.

Elsewhere a hash of the group, which is mostly a person, decides that.

split, group = split_of(listed.find(name), name, listed.splits, training)
"""

from __future__ import annotations

import hashlib
import re
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ..errors import DragFaceError
from ..manifest import Row
from .rows import read_crops

TEST_SHARE = 0.15  # of the groups, where no manifest says which are for testing


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
        """The row of the photo that lies at `name` below the folder of photos, if there is one."""
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


def used_in(faces: str | Path, rows: Sequence[Row]) -> list[Row]:
    """The rows of photos that gave the faces in a folder or archive. Raises DragFaceError where that is not known."""
    with tempfile.TemporaryDirectory() as folder:
        if zipfile.is_zipfile(faces):
            # A table that is not there, or damaged, says nothing.
            with zipfile.ZipFile(faces) as archive, suppress(KeyError, zipfile.BadZipFile, zlib.error, EOFError):
                Path(folder, "crops.csv").write_bytes(archive.read("crops.csv"))
        kept = [crop for crop in read_crops(folder if Path(faces).is_file() else faces) if crop.status == "kept"]
    if not kept:
        raise DragFaceError(f"{faces} does not say which photos its faces come from: name a folder with a crops.csv.")
    hashes, files = {crop.sha256 for crop in kept} - {""}, {crop.photo for crop in kept}
    return [row for row in rows if {row.sha256, row.stored_sha256} & hashes or row.file in files]
