"""FACES/crops.csv: a row for each photo, or for each face that was cut out of it, and where the faces' files lie.

    rows = read_crops("faces")          or read_crops("faces.zip")

    faces/{selfie,drag}/{train,test}/NAME.jpg    kept faces
    faces/rejected/{selfie,drag}/NAME.jpg        rejected faces, to be looked at and taken back

`status` follows from `decision` and, without a decision, from `reason`. A face's place follows from its status, so
`move_face` mends a run that was killed.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from ..archives import members, open_archive, read_member
from ..csv_files import read_csv, write_csv
from .measure import MEASUREMENTS
from .quality import fault

SPLITS = ("train", "test")
DECISIONS = {"keep": "kept", "reject": "rejected"}  # and the status that each gives
REJECTED = "rejected"  # the folder of rejected faces
PAIRS = "pairs"  # the folder of practice faces' test pairs
PRACTICE = "practice.json"  # lies beside practice faces, which are not to be mixed with cropped ones


@dataclass(frozen=True)
class CropRow:
    """What became of a photo, or of one of its faces."""

    photo: str  # path below the folder of photos
    domain: str
    split: str = ""
    split_group: str = ""
    status: str = ""  # kept, rejected, no_face or unreadable
    reason: str = ""  # what the gates hold against the face, or why the photo gave none
    decision: str = ""  # by hand: keep or reject
    face: str = ""  # the face's file below the folder of faces
    sha256: str = ""  # of the photo
    copy_of: str = ""  # the photo of which this one is a copy
    signature: str = ""  # of the face, by which copies are found
    numbers: dict[str, float] = field(default_factory=dict, hash=False)  # by measurement, see measure.py

    @property
    def key(self) -> str:
        """The face's name wherever its file lies: selfie/anna.jpg."""
        return f"{self.domain}/{Path(self.face).name}"


TEXTS = [part.name for part in fields(CropRow) if part.name != "numbers"]


def read_crops(faces: str | Path) -> list[CropRow]:
    """The rows of FACES/crops.csv, of a folder or an archive; none when it does not exist.

    Columns that are missing are empty. Raises DragFaceError when the table cannot be read.
    """
    if Path(faces).is_file():
        with tempfile.TemporaryDirectory() as folder, open_archive(faces) as archive:
            for member in members(archive):
                if member.filename == "crops.csv":
                    Path(folder, "crops.csv").write_bytes(read_member(archive, member))
            return read_crops(folder)
    table, rows = Path(faces, "crops.csv"), []
    for _, cells in read_csv(table, ("photo", "status")) if table.exists() else ():
        row = CropRow(**{name: cells.get(name, "") for name in TEXTS}, numbers={})
        for name in MEASUREMENTS:
            with suppress(ValueError):
                row.numbers[name] = float(cells.get(name, ""))
        rows.append(row)
    return rows


def write_crops(faces: Path, rows: Iterable[CropRow]) -> None:
    """Write FACES/crops.csv in one step."""
    cells = ({**vars(row), **{name: f"{value:.5g}" for name, value in row.numbers.items()}} for row in rows)
    write_csv(faces / "crops.csv", [*TEXTS, *MEASUREMENTS], cells)


def judged(row: CropRow, thresholds: Mapping[str, float]) -> CropRow:
    """A face's row with what the gates say of its numbers."""
    numbers = {**row.numbers, "copy": float(bool(row.copy_of))}
    reason = fault(numbers, thresholds).replace("another photo", row.copy_of)
    return decided(replace(row, numbers=numbers, reason=reason), row.decision)


def decided(row: CropRow, decision: str) -> CropRow:
    """A face's row with a decision by hand (keep, reject, or "" for the gates), its status and where it belongs."""
    status = DECISIONS.get(decision) or ("rejected" if row.reason else "kept")
    folder = f"{row.domain}/{row.split}" if status == "kept" else f"{REJECTED}/{row.domain}"
    return replace(row, decision=decision, status=status, face=f"{folder}/{Path(row.face).name}")


def folders(domain: str) -> tuple[str, ...]:
    """Where faces of a domain lie below the folder of faces."""
    return f"{domain}/train", f"{domain}/test", f"{REJECTED}/{domain}"


def face_file(faces: Path, row: CropRow) -> Path | None:
    """Where a row's face lies, wherever it should be; None when it is gone."""
    name = Path(row.face).name
    paths = (faces / folder / name for folder in folders(row.domain))
    return next((path for path in paths if name and path.is_file()), None)


def move_face(faces: Path, row: CropRow) -> None:
    """Move a face to where its row says that it belongs."""
    path, target = face_file(faces, row), faces / row.face
    if path is not None and path != target:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)


def remove_faces(faces: Path, domain: str, photo: str) -> None:
    """Remove a photo's faces by their names: crops.csv does not know those of a run that was killed."""
    name = face_name(photo)
    for folder in folders(domain):
        for pattern in (f"{name}.jpg", f"{name}+*.jpg", f".{name}.jpg.*.part", f".{name}+*.part"):
            for path in (faces / folder).glob(pattern):
                path.unlink(missing_ok=True)


def face_name(photo: str) -> str:
    """portraits/female/0.jpg becomes portraits__female__0; a hash keeps apart what would become the same.

    The name has no "+", which numbers the further faces of a photo, is never hidden, and short enough for a file.
    """
    name = re.sub(r"[^\w.-]+", "_", photo.removesuffix(".jpg").replace("/", "__")).lstrip(".")
    plain = name.replace("__", "/") + ".jpg" == photo and len(name) <= 60
    digest = hashlib.sha256(photo.encode("utf-8", "surrogateescape")).hexdigest()
    return name if plain else f"{name[-50:]}_{digest[:8]}"
