"""FACES/crops.csv: a row a photo, or a face where one was cut out, with what was measured on it.

rows = read_crops("faces")          hand-edited ones and those of older versions too
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path

from ..errors import DragFaceError
from ..files import write_atomically
from .decisions import REJECTED
from .quality import NAMES

STATUSES = ("kept", "rejected", "no_face", "unreadable")
REQUIRED = ("photo", "status")


@dataclass(frozen=True)
class CropRow:
    """What became of a photo, or of one of its faces. `photo` is its path below the folder of photos."""

    photo: str
    domain: str
    split: str
    split_group: str
    status: str  # one of STATUSES
    reason: str
    face: str  # the face's file below the folder of faces, kept or rejected; "" where there is none
    sha256: str  # of the photo
    copy_of: str = ""  # the photo of which this one is a copy
    signature: str = ""  # of the face, by which copies are found
    numbers: Mapping[str, float] = field(default_factory=dict, hash=False)  # by gate, see quality.py
    more: Mapping[str, str] = field(default_factory=dict, hash=False)  # columns that somebody added


TEXTS = [part.name for part in fields(CropRow) if part.name not in ("numbers", "more")]


def read_crops(faces: str | Path) -> list[CropRow]:
    """The rows of FACES/crops.csv; none when it does not exist. Raises DragFaceError when it is not one of ours.

    Columns that are missing, as an older version did not have them, are empty, and so is a number that is none; the
    columns that somebody added stay.
    """
    path = Path(faces) / "crops.csv"
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            lines = csv.DictReader(file)
            missing = set(REQUIRED) - set(lines.fieldnames or REQUIRED)
            if missing:
                raise DragFaceError(f"{path} has no column {min(missing)}: move it away and crop again.")
            return [_row(line) for line in lines]
    except (OSError, csv.Error) as error:
        raise DragFaceError(f"{path} cannot be read ({error}): move it away and crop again.") from error


def _row(line: Mapping[str, str | None]) -> CropRow:
    numbers = {}
    for name in NAMES:
        with suppress(ValueError):
            numbers[name] = float(line.get(name) or "")
    more = {name: text or "" for name, text in line.items() if name not in (None, *TEXTS, *NAMES)}
    return CropRow(**{name: line.get(name) or "" for name in TEXTS}, numbers=numbers, more=more)


def write_crops(faces: Path, others: Iterable[CropRow], done: Mapping[str, Sequence[CropRow]]) -> None:
    """Write the rows of the other domain, then this one's by photo."""
    text, rows = io.StringIO(), [*others, *(row for name in sorted(done) for row in done[name])]
    added = list(dict.fromkeys(name for row in rows for name in row.more))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*TEXTS, *NAMES, *added])
    for row in rows:
        texts = [getattr(row, name) for name in TEXTS]
        numbers = [f"{row.numbers[name]:.5g}" if name in row.numbers else "" for name in NAMES]
        writer.writerow([*texts, *numbers, *(row.more.get(name) or "" for name in added)])
    write_atomically(faces / "crops.csv", text.getvalue().encode("utf-8", "surrogateescape"))


def face_name(photo: str) -> str:
    """portraits/female/0.jpg becomes portraits__female__0; a hash keeps apart what would become the same.

    Never holds a "+", which numbers the further faces of a photo, and is never hidden or too long for a file.
    """
    name = re.sub(r"[^\w.-]+", "_", photo.removesuffix(".jpg").replace("/", "__")).lstrip(".")
    plain = name.replace("__", "/") + ".jpg" == photo and len(name) <= 60
    digest = hashlib.sha256(photo.encode("utf-8", "surrogateescape")).hexdigest()
    return name if plain else f"{name[-50:]}_{digest[:8]}"


def folders(domain: str) -> tuple[str, ...]:
    """Where faces of a domain lie below the folder of faces."""
    return f"{domain}/train", f"{domain}/test", f"{REJECTED}/{domain}"


def remove_faces(faces: Path, domain: str, photo: str) -> None:
    """Take away a photo's faces by their names: crops.csv does not know those of a run that was killed."""
    name = face_name(photo)
    for pattern in (f"{name}.jpg", f"{name}+*.jpg", f".{name}.jpg.*.part", f".{name}+*.part"):
        for folder in folders(domain):
            for path in (faces / folder).glob(pattern):
                path.unlink(missing_ok=True)
