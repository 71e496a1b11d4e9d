"""Sort faces by hand: a grid of kept and rejected faces, worst first; a click on a face changes its state.

    from dragface_lib.crop.curation import curate
    curate("faces")
    curate("faces", first="runs/first/evaluation/faces.csv")    # the faces that training found odd come first

A decision is in crops.csv before the widget shows it. Running the cell again goes on with the faces that nobody has
looked at. The page (curation.js) asks two kinds of questions (see `AnsweringWidget`):

    page    shown (a key of SHOWN), order (one of ORDERS), start: the faces of a page, how many there are on all
            pages, and as buffers a JPEG of each face, empty where its file is damaged
    decide  decisions ({face: keep or reject}): the faces that changed
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import traitlets

from ..errors import DragFaceError
from ..files import kind_of, locked
from ..images import UnreadablePhoto, encode_photo, open_photo
from ..manifest import DOMAINS, read_csv, write_csv
from ..widgets import Answer, AnsweringWidget, script, style
from .quality import GATES, quality
from .table import SPLITS, CropRow, decided, move_face, read_crops, write_crops

PAGE = 24  # faces; with 15 kB each they stay below the 1 MB a second that a notebook server lets through
SHOWN = {
    "Not looked at": lambda row: not row.decision,
    "Kept": lambda row: row.status == "kept",
    "Rejected": lambda row: row.status == "rejected",
    "All": lambda row: True,
}
ORDERS = ["worst first", *(gate.name for gate in GATES)]


class Curation(AnsweringWidget):
    """The grid of the faces in a folder (see the head of this file). first, copy: see `curate`."""

    _esm = script(Path(__file__).with_suffix(".js"))
    _css = style(Path(__file__).with_suffix(".css"))
    shown: traitlets.List = traitlets.List([*SHOWN], help="which faces can be shown").tag(sync=True)
    orders: traitlets.List = traitlets.List(ORDERS, help="what faces can be put in order by").tag(sync=True)

    def __init__(self, faces: str | Path, first: str | Path | None = None, copy: str | Path | None = None):
        super().__init__()
        self.faces, self.copy = Path(faces), Path(copy) if copy else None
        scores = read_csv(first, ("face", "score")) if first else []
        self._scores = {Path(cells["face"]).stem: (place, cells["score"]) for place, (_, cells) in enumerate(scores)}
        self._listed: list[str] = []
        if rows := read_crops(self.faces):  # moves the faces of a killed session's decisions
            self.decide({row.key: row.decision for row in rows} | self._decisions_in_copy())
        if not self.rows():
            raise DragFaceError(f"{self.faces} holds no faces: crop photos first.")
        if first and not any(self._score(row)[1] for row in self.rows()):
            raise DragFaceError(f"{first} names none of the faces in {faces}: name the faces.csv of a run on them.")

    def answer(self, question: dict[str, Any], buffers: Sequence[bytes]) -> Answer:
        """See the head of this file."""
        pictures, total = [], {}
        if question["kind"] == "page":
            rows = self.page(question["shown"], question["order"], question["start"])
            pictures, total = [self._picture(row) for row in rows], {"total": len(self._listed)}
        else:
            rows = self.decide({key: word for key, word in question["decisions"].items() if word in ("keep", "reject")})
        counts = Counter(row.domain if row.status == "kept" else "rejected" for row in self.rows())
        summary = f"Kept: {counts['selfie']} selfies, {counts['drag']} in drag. Rejected: {counts['rejected']}"
        return {"faces": [self._about(row) for row in rows], "summary": summary} | total, pictures

    def rows(self) -> list[CropRow]:
        """The faces that are there, as crops.csv has them now."""
        return [row for row in read_crops(self.faces) if _has_face(row) and (self.faces / row.face).is_file()]

    def page(self, shown: str, order: str, start: int) -> list[CropRow]:
        """The faces of one page. The list of all faces is made anew with the first page."""
        rows = {row.key: row for row in self.rows()}
        if start == 0:
            chosen = filter(SHOWN[shown], rows.values())
            self._listed = [row.key for row in sorted(chosen, key=lambda row: self._rank(row, order))]
        return [rows[key] for key in self._listed[start : start + PAGE] if key in rows]

    def decide(self, decisions: Mapping[str, str]) -> list[CropRow]:
        """Keep or reject faces, or leave them to the gates (""); on return that is on disk. Returns their rows."""
        with locked(self.faces):
            rows = read_crops(self.faces)
            chosen = {row.key: row for row in rows if _has_face(row) and row.key in decisions}
            changed = {key: decided(row, decisions[key]) for key, row in chosen.items()}
            rows = [changed.get(row.key, row) for row in rows]
            if self.copy:  # written first: a resumed session trusts the copy
                after = self._decisions_in_copy() | {row.key: row.decision for row in rows if row.decision}
                write_csv(self.copy, ("face", "decision"), [{"face": f, "decision": d} for f, d in after.items()])
            write_crops(self.faces, rows)
            for row in changed.values():
                move_face(self.faces, row)
        return list(changed.values())

    def _decisions_in_copy(self) -> dict[str, str]:
        table = read_csv(self.copy, ("face", "decision")) if self.copy and kind_of(self.copy) else []
        return {cells["face"]: cells["decision"] for _, cells in table}

    def _about(self, row: CropRow) -> dict[str, Any]:
        """What the page shows of a face."""
        score = self._score(row)[1]
        return {
            "key": row.key,
            "about": f"{row.photo}, {row.domain}{', for testing' if row.split == 'test' else ''}",
            "kept": row.status == "kept",
            "decided": bool(row.decision),
            "why": ", ".join(filter(None, [row.reason, score and f"score {score}"])),
        }

    def _picture(self, row: CropRow) -> bytes:
        try:
            return encode_photo(open_photo(self.faces / row.face), quality=80)
        except UnreadablePhoto:
            return b""

    def _rank(self, row: CropRow, order: str) -> tuple[float, float]:
        """The faces of the scores come first, in their order; then the worst."""
        for gate in GATES:
            if gate.name == order:
                return 0, gate.margin(row.numbers[order]) if order in row.numbers else math.inf
        return self._score(row)[0], quality(row.numbers)

    def _score(self, row: CropRow) -> tuple[float, str]:
        """Place and score in the table `first`."""
        return self._scores.get(Path(row.face).stem, (math.inf, ""))


def curate(faces: str | Path, first: str | Path | None = None, copy: str | Path | None = None) -> Curation:
    """A widget in which to go through the faces that `crop_photos` cut out.

    first: the table faces.csv of evaluate, or another with the columns face and score; its faces come first, in its
    order. copy: a second place for the decisions, on Colab on Drive, as the faces lie on a disk that ends with the
    session; where it exists already its decisions are taken over. Raises DragFaceError when there are no faces, or
    `first` names none of them.
    """
    return Curation(faces, first, copy)


def _has_face(row: CropRow) -> bool:
    return row.face != "" and row.domain in DOMAINS and row.split in SPLITS
