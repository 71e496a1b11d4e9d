"""What a person kept or rejected by hand, which goes before what the gates say.

    faces/decisions.csv                      face, decision, at: a line a decision; the last one of a face counts
    faces/rejected/{selfie,drag}/NAME.jpg    rejected faces, which can be looked at and taken back

The file is only ever appended to, before anything else happens. A face's place and its row in crops.csv follow from
it and from what the gates said, so whatever was killed in between, `apply_decisions` brings them in line again.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ..errors import DragFaceError
from ..files import write_atomically
from ..manifest import DOMAINS

if TYPE_CHECKING:
    from .rows import CropRow

REJECTED = "rejected"  # the folder of rejected faces, beside those of the domains
COLUMNS = ["face", "decision", "at"]
DECISIONS = ("keep", "reject", "undo")  # undo leaves the face to the gates again
BY_HAND = "by hand"
THOUGH = f"{BY_HAND}, though "  # followed by what the gates hold against a face that was kept


def face_key(face: str) -> str:
    """What decisions call a face, wherever its file is: selfie/train/anna.jpg and rejected/selfie/anna.jpg are
    both selfie/anna.jpg. A name without a folder stays as it is.
    """
    parts = [part for part in PurePosixPath(face).parts if part != REJECTED]
    return "/".join(dict.fromkeys([parts[0], parts[-1]])) if parts else ""


def place(row: CropRow, status: str) -> str:
    """Where the file of a row's face belongs below the folder of faces when it is kept, or rejected."""
    name = PurePosixPath(row.face).name
    return f"{row.domain}/{row.split}/{name}" if status == "kept" else f"{REJECTED}/{row.domain}/{name}"


def judged_by_gates(row: CropRow) -> CropRow:
    """The row as it was before anybody decided by hand; `face` follows."""
    if row.status == "kept" and row.reason.startswith(THOUGH):
        return replace(row, status="rejected", reason=row.reason.removeprefix(THOUGH), face=place(row, "rejected"))
    if row.status == "rejected" and row.reason == BY_HAND:
        return replace(row, status="kept", reason="", face=place(row, "kept"))
    return row


def decided(row: CropRow, decision: str | None) -> CropRow:
    """The row with a decision (keep, reject, or None) on what the gates said; one that agrees changes nothing."""
    row = judged_by_gates(row)
    if decision == "keep" and row.status == "rejected":
        return replace(row, status="kept", reason=THOUGH + row.reason, face=place(row, "kept"))
    if decision == "reject" and row.status == "kept":
        return replace(row, status="rejected", reason=BY_HAND, face=place(row, "rejected"))
    return row


def read_decisions(faces: str | Path) -> dict[str, str]:
    """The decision, keep or reject, on each face that has one, by `face_key`; empty when none was ever taken.

    Raises DragFaceError when FACES/decisions.csv is not one of ours.
    """
    last = {face: decision for face, decision, _ in _lines(Path(faces) / "decisions.csv")}
    return {face: decision for face, decision in last.items() if decision != "undo"}


def record_decisions(faces: str | Path, decisions: Mapping[str, str]) -> None:
    """Append decisions (keep, reject or undo, by `face_key`) to FACES/decisions.csv; they are on disk on return."""
    now = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    _append(Path(faces) / "decisions.csv", [(face, decision, now) for face, decision in decisions.items()])


def apply_decisions(faces: str | Path, rows: Iterable[CropRow]) -> list[CropRow]:
    """The rows as FACES/decisions.csv wants them, after moving the face files to where they then belong.

    Rows without a face, and faces nobody decided on, stay as they are. Write the rows to crops.csv afterwards.
    """
    decisions = read_decisions(faces)
    return [settle(Path(faces), row, decisions.get(face_key(row.face))) for row in rows]


def settle(faces: Path, row: CropRow, decision: str | None) -> CropRow:
    """Bring one face in line with a decision on it; returns its row."""
    if not row.face or row.domain not in DOMAINS or row.split not in ("train", "test"):
        return row  # nothing was cut out, or a crops.csv that somebody edited
    wanted = decided(row, decision)
    if decision is None and wanted == row:
        return row
    here, other = (faces / place(row, status) for status in (wanted.status, _opposite(wanted.status)))
    if other.is_file():
        try:
            here.parent.mkdir(parents=True, exist_ok=True)
            os.replace(other, here)
        except OSError as error:
            raise DragFaceError(
                f"{other} cannot be moved to {here} ({error.strerror}): mend the permissions."
            ) from error
    return wanted


def share_decisions(faces: str | Path, copy: str | Path) -> None:
    """Bring FACES/decisions.csv and a copy of it elsewhere to the same decisions; the later one on a face counts.

    On Colab the faces lie on a disk that ends with the session, and the copy on Drive does not.
    """
    paths = (Path(faces) / "decisions.csv", Path(copy))
    last = [{face: (face, decision, at) for face, decision, at in _lines(path)} for path in paths]
    for path, mine, others in zip(paths, last, reversed(last), strict=True):
        newer = [line for face, line in others.items() if face not in mine or line[2] > mine[face][2]]
        if newer:
            _append(path, newer)


def _opposite(status: str) -> str:
    return "rejected" if status == "kept" else "kept"


def _append(path: Path, lines: Iterable[tuple[str, str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    data = text.getvalue().encode("utf-8", "surrogateescape")
    if not path.exists():
        write_atomically(path, (",".join(COLUMNS) + "\n").encode())
    try:
        with open(path, "r+b") as file:
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":  # a line that was cut short by a kill
                    data = b"\n" + data
            file.write(data)
            file.flush()
            with suppress(OSError):  # Google Drive's file system refuses fsync at times
                os.fsync(file.fileno())
    except OSError as error:
        raise DragFaceError(
            f"The decision was not saved, as {path} cannot be written ({error.strerror}): free some space or mend "
            "the folder's permissions, then decide again."
        ) from error


def _lines(path: Path) -> list[tuple[str, str, str]]:
    """The whole lines of a file of decisions in their order; one that was cut short by a kill is passed over."""
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            header, *lines = list(csv.reader(file)) or [COLUMNS]
    except FileNotFoundError:
        return []
    except (OSError, csv.Error) as error:
        raise DragFaceError(f"{path} cannot be read ({error}): move it away to decide anew.") from error
    if header != COLUMNS:
        raise DragFaceError(f"{path} does not begin with {','.join(COLUMNS)}: move it away to decide anew.")
    return [(line[0], line[1], line[2]) for line in lines if len(line) == 3 and line[1] in DECISIONS]
