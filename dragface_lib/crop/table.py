"""FACES/crops.csv: a row for each photo, or for each face that was cut out of it, and where the faces' files lie.

    rows = read_crops("faces")          or read_crops("faces.zip")

    faces/{selfie,drag}/{train,test}/NAME.jpg    kept faces
    faces/rejected/{selfie,drag}/NAME.jpg        rejected faces, to be looked at and taken back

`status` follows from `decision` and, without a decision, from `reason`. A face's place follows from its status, so
`move_face` mends a run that was killed.

Which photos are for testing: the manifest decides where it says so, elsewhere a hash of the group, which is mostly a
person. The photos of a group are on one side of the split.
"""

from __future__ import annotations

import hashlib
import math
import os
import re
import tempfile
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePath, PurePosixPath

from ..archives import members, open_archive, read_member
from ..errors import LONGEST_TEXT, DragFaceError
from ..files import kind_of
from ..manifest import DOMAINS, Row, path_below, read_csv, write_csv
from .measure import MEASUREMENTS
from .quality import fault

SPLITS = ("train", "test")
DECISIONS = {"keep": "kept", "reject": "rejected"}  # and the status that each gives
PRACTICE = "practice.json"  # lies beside practice faces, which are not to be mixed with cropped ones
TEST_SHARE = 0.15  # of the groups, where no manifest says which are for testing
WORDS = {"domain": DOMAINS, "split": SPLITS, "decision": DECISIONS}  # values that these columns may have
FACE_NAME = re.compile(r"((selfie|drag)/(train|test)|rejected/(selfie|drag))/(?!\.)[\w.+-]{1,80}")
# Names of anybody's photos: photo_1.jpg and photo_2.jpg need not show one person.
NAMELESS = re.compile("(photo|image|img|picture|pic|foto|bild|face|portrait|selfie|drag|person|scan|dsc|untitled)s?")


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

    Columns that are missing, and words and numbers that mean nothing, are empty. Raises DragFaceError when the table
    cannot be read, or a name in it leads out of the folder of photos or faces, be it through a link.
    """
    faces, rows = Path(faces), []
    if faces.is_file():
        with tempfile.TemporaryDirectory() as folder, open_archive(faces) as archive:
            for member in members(archive):
                if member.filename == "crops.csv":
                    Path(folder, "crops.csv").write_bytes(read_member(archive, member))
            return read_crops(folder)
    for name in [folder for domain in DOMAINS for folder in folders(domain)]:
        path_below(faces, name)
    table = faces / "crops.csv"
    for line, cells in read_csv(table, ("photo", "status")) if kind_of(table) else ():
        texts = {name: cells.get(name, "") for name in TEXTS}
        texts |= {name: "" for name, words in WORDS.items() if texts[name] not in words}
        if not re.fullmatch("[0-9a-f]{64}", texts["signature"]):
            texts["signature"] = ""
        photo, face = PurePath(texts["photo"]), texts["face"]
        if photo.is_absolute() or ".." in photo.parts or face and not FACE_NAME.fullmatch(face):
            raise DragFaceError(f"{table}, line {line}: {photo} or {face} leads out of its folder: mend the line.")
        if face and os.path.islink(faces / face):
            path_below(faces, face)
        rows.append(CropRow(**texts, numbers={}))
        for name in MEASUREMENTS:
            with suppress(ValueError):
                number = float(cells.get(name, "").replace(",", "."))
                rows[-1].numbers.update({name: number} if math.isfinite(number) else {})
    return rows


def write_crops(faces: Path, rows: Iterable[CropRow]) -> None:
    """Write FACES/crops.csv in one step."""
    cells = (
        vars(row)
        | {"reason": row.reason[:LONGEST_TEXT]}
        | {name: f"{value:.5g}" for name, value in row.numbers.items()}
        for row in rows
    )
    write_csv(faces / "crops.csv", [*TEXTS, *MEASUREMENTS], cells)


def judged(row: CropRow, thresholds: Mapping[str, float]) -> CropRow:
    """A face's row with what the gates say of its numbers."""
    numbers = {**row.numbers, "copy": float(bool(row.copy_of))}
    reason = fault(numbers, thresholds).replace("another photo", row.copy_of)
    return decided(replace(row, numbers=numbers, reason=reason), row.decision)


def decided(row: CropRow, decision: str) -> CropRow:
    """A face's row with a decision by hand (keep, reject, or "" for the gates), its status and where it belongs."""
    status = DECISIONS.get(decision) or ("rejected" if row.reason else "kept")
    folder = f"{row.domain}/{row.split}" if status == "kept" else f"rejected/{row.domain}"
    return replace(row, decision=decision, status=status, face=f"{folder}/{Path(row.face).name}")


def folders(domain: str) -> tuple[str, ...]:
    """Where faces of a domain lie below the folder of faces."""
    return f"{domain}/train", f"{domain}/test", f"rejected/{domain}"


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
    return name if plain else f"{name[-50:]}_{hash_of(photo).hex()[:8]}"


def hash_of(name: str) -> bytes:
    """The SHA-256 of a name: it gives names a random order that never changes."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()  # names on disk need not be UTF-8


def normal_name(name: str) -> str:
    """The same for all forms of a name: é may be one letter or two, ANN.JPG is ann.jpg."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name).casefold())


def manifest_rows(photos: Mapping[str, str], folder: Path, rows: Sequence[Row], domain: str) -> dict[str, Row]:
    """The manifest's row of each photo that has one. photos: the SHA-256 by path below `folder`, "" where not known.

    The bytes decide, whatever the photo is called; else its name, in any Unicode form and case. That folder may be a
    part of the manifest's, or hold it: the row of exactly this path is taken first, else the only row with the longest
    path suffix in common. Withdrawn rows go before others.
    """
    rows = sorted(rows, key=lambda row: row.withdrawn)
    by_bytes = {digest: row for row in rows for digest in (row.sha256, row.stored_sha256) if digest}
    exact = {normal_name(row.file): row for row in rows if row.domain == domain}
    by_suffix: dict[str, Row | None] = {}  # None where several rows have it
    for path, row in exact.items():
        for suffix in _suffixes(path):
            by_suffix[suffix] = None if suffix in by_suffix else row
    matched = {}
    for name, digest in photos.items():
        candidates = map(by_suffix.get, _suffixes(normal_name(f"{folder.resolve().as_posix()}/{name}")))
        named = exact.get(normal_name(name)) or next(filter(None, candidates), None)
        row = by_bytes.get(digest, named)
        if row is not None:
            matched[name] = named if named is not None and named.withdrawn else row
    return matched


def _suffixes(path: str) -> list[str]:
    """a/b/c, b/c and c for a/b/c."""
    parts = path.split("/")
    return ["/".join(parts[start:]) for start in range(len(parts))]


def splits_of_groups(rows: Iterable[Row]) -> dict[str, str]:
    """The manifest's split of each group, of both domains: a person is the same in each."""
    return {normal_name(row.split_group): row.split for row in rows if row.split_group}


def split_of(row: Row | None, name: str, splits: Mapping[str, str], training: Collection[str]) -> tuple[str, str]:
    """Split and group of a photo. row: the manifest's, if it has one; splits: the manifest's, by group.

    Without a row anna_1.jpg and anna_2.jpg are of one group, photo_1.jpg and photo_2.jpg are not. A painted copy named
    after a group of the manifest belongs to it: london_001_0.jpg to london_001. training: groups that never become
    test groups by their hash.
    """
    path = PurePosixPath(normal_name(name)).with_suffix("")
    person = re.sub(r"[_-]\d$", "", str(path))
    own = str(path) if NAMELESS.fullmatch(PurePosixPath(person).name) else person
    group = next((group for group in (path.name, PurePosixPath(person).name) if group in splits), own)
    if row is not None and row.split_group:
        group = normal_name(row.split_group)
    by_hash = int.from_bytes(hash_of(group)[:4], "big") / 2**32 < TEST_SHARE and group not in training
    return (row.split if row else "") or splits.get(group) or ("test" if by_hash else "train"), group


def sources_of(crops: Sequence[CropRow], rows: Sequence[Row]) -> list[Row | None]:
    """The manifest's row of each face, or else a row of its group."""
    groups = {normal_name(row.split_group): row for row in rows if row.split_group}
    matched = {}
    for domain in DOMAINS:
        photos = {crop.photo: crop.sha256 for crop in crops if crop.domain == domain}
        matched[domain] = manifest_rows(photos, Path("photos"), rows, domain)
    return [matched.get(crop.domain, {}).get(crop.photo) or groups.get(crop.split_group) for crop in crops]


def used_in(faces: str | Path, rows: Sequence[Row]) -> list[Row]:
    """The rows of photos that gave the faces in a folder or archive. Raises DragFaceError without crops.csv."""
    kept = [crop for crop in read_crops(faces) if crop.status == "kept"]
    if not kept:
        raise DragFaceError(f"{faces} does not say which photos its faces come from: name a folder with a crops.csv.")
    used = {row.id for row in sources_of(kept, rows) if row is not None}
    return [row for row in rows if row.id in used]
