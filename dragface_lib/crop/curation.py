"""Going through the faces by hand: a grid of kept and rejected ones, worst first, a click turns one around.

    from dragface_lib.crop.curation import curate
    curate("faces")
    curate("faces", first="runs/first/evaluation/faces.csv")    # the faces that training found odd come first

Every decision is in crops.csv before the widget says so, and running the cell again goes on with the faces that nobody
has looked at. The page (curation.js) asks two kinds of questions (see `AnsweringWidget`):

    page    shown (a key of SHOWN), domain ("" for both), order (one of ORDERS), start: the faces of a page, their
            total, counts, and as buffers a JPEG of each face, empty where there is none
    decide  decisions ({face: keep, reject or ""}): the faces that changed, and counts
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import traitlets

from ..csv_files import read_csv, write_csv
from ..errors import DragFaceError
from ..images import UnreadablePhoto, encode_photo, open_photo
from ..manifest import DOMAINS
from ..widgets import Answer, AnsweringWidget, script, style
from .quality import GATES, quality
from .table import DECISIONS, CropRow, decided, move_face, read_crops, write_crops

PAGE = 24  # faces; with 15 kB each they stay below the 1 MB a second that a notebook server lets through
SHOWN = {
    "open": lambda row: not row.decision,
    "kept": lambda row: row.status == "kept",
    "rejected": lambda row: row.status == "rejected",
    "decided": lambda row: bool(row.decision),
    "all": lambda row: True,
}
ORDERS = ["worst first", *(gate.name for gate in GATES)]


class Review:
    """The faces of a folder and what was decided on them.

    first: a table of scores (see `read_scores`), whose faces come first. copy: see `curate`. Raises DragFaceError when
    the folder holds no faces, or `first` names none of them.
    """

    def __init__(self, faces: str | Path, first: str | Path | None = None, copy: str | Path | None = None):
        self.faces, self.copy = Path(faces), Path(copy) if copy else None
        self.scores = read_scores(first) if first else {}
        self._places = {face: place for place, face in enumerate(self.scores)}
        self._listed: list[str] = []
        rows = read_crops(self.faces)
        if self.copy and self.copy.exists():
            decisions = _read_decisions(self.copy)
            rows = [decided(row, decisions[row.key]) if row.key in decisions else row for row in rows]
            write_crops(self.faces, rows)
        for row in filter(_has_face, rows):
            move_face(self.faces, row)
        if not self.rows():
            raise DragFaceError(f"{self.faces} holds no faces: crop photos first.")
        if first and not any(self._score(row) for row in self.rows()):
            raise DragFaceError(f"{first} names none of the faces in {faces}: name the faces.csv of a run on them.")

    def rows(self) -> list[CropRow]:
        """The faces that are there, as crops.csv has them now."""
        return [row for row in read_crops(self.faces) if _has_face(row) and (self.faces / row.face).is_file()]

    def page(self, shown: str, domain: str, order: str, start: int) -> tuple[list[CropRow], int]:
        """The faces of one page, and how many there are on all pages. The list is made anew with the first page."""
        rows = {row.key: row for row in self.rows()}
        if start == 0:
            fitting = [row for row in rows.values() if SHOWN[shown](row) and row.domain in (domain or DOMAINS)]
            self._listed = [row.key for row in sorted(fitting, key=lambda row: self._rank(row, order))]
        return [rows[key] for key in self._listed[start : start + PAGE] if key in rows], len(self._listed)

    def decide(self, decisions: Mapping[str, str]) -> list[CropRow]:
        """Keep or reject faces, or leave them to the gates (""); on return that is on disk. Returns their rows."""
        rows = read_crops(self.faces)
        changed = {
            number: decided(row, decisions[row.key])
            for number, row in enumerate(rows)
            if _has_face(row) and decisions.get(row.key) in ("", *DECISIONS)
        }
        rows = [changed.get(number, row) for number, row in enumerate(rows)]
        if self.copy:  # before crops.csv: a session that goes on believes the copy
            before = _read_decisions(self.copy) if self.copy.exists() else {}
            after = before | {row.key: row.decision for row in rows if row.decision or row.key in before}
            write_csv(self.copy, ("face", "decision"), [{"face": f, "decision": d} for f, d in after.items()])
        write_crops(self.faces, rows)
        for row in changed.values():
            move_face(self.faces, row)
        return list(changed.values())

    def about(self, row: CropRow) -> dict[str, Any]:
        """What the page shows of a face."""
        names = ("photo", "domain", "split", "reason", "decision", "key")
        return {name: getattr(row, name) for name in names} | {"kept": row.status == "kept", "note": self._score(row)}

    def counts(self) -> dict[str, int]:
        """How many faces each choice of SHOWN has, and how many of each domain are kept."""
        rows = self.rows()
        kept = {domain: sum(row.domain == domain and row.status == "kept" for row in rows) for domain in DOMAINS}
        return {shown: sum(map(fits, rows)) for shown, fits in SHOWN.items()} | kept

    def picture(self, row: CropRow) -> bytes:
        """A JPEG of the face; empty when its file is damaged."""
        try:
            return encode_photo(open_photo(self.faces / row.face), quality=80)
        except UnreadablePhoto:
            return b""

    def _score(self, row: CropRow) -> str:
        return self.scores.get(row.key) or self.scores.get(Path(row.key).name, "")

    def _rank(self, row: CropRow, order: str) -> tuple[float, float]:
        """The faces of the scores come first, in their order; then the worst."""
        for gate in GATES:
            if gate.name == order:
                return 0, gate.margin(row.numbers[order]) if order in row.numbers else math.inf
        places = (self._places.get(name, math.inf) for name in (row.key, Path(row.key).name))
        return min(places), quality(row.numbers)


class Curation(AnsweringWidget):
    """The grid on the page (see the head of this file), over a `Review`."""

    _esm = script(Path(__file__).with_suffix(".js"))
    _css = style(Path(__file__).with_suffix(".css"))
    orders: traitlets.List = traitlets.List(ORDERS, help="what faces can be put in order by").tag(sync=True)

    def __init__(self, review: Review):
        super().__init__()
        self.review = review

    def answer(self, question: dict[str, Any], buffers: Sequence[bytes]) -> Answer:
        """See the head of this file."""
        pictures, more = [], {}
        if question["kind"] == "page":
            rows, total = self.review.page(*(question[name] for name in ("shown", "domain", "order", "start")))
            pictures, more = [self.review.picture(row) for row in rows], {"total": total}
        else:
            rows = self.review.decide(question["decisions"])
        return {"faces": list(map(self.review.about, rows)), "counts": self.review.counts()} | more, pictures


def curate(faces: str | Path, first: str | Path | None = None, copy: str | Path | None = None) -> Curation:
    """A widget in which to go through the faces that `crop_photos` cut out.

    first: the table faces.csv of evaluate, or another with the columns face and score; its faces come first, in its
    order. copy: a second place for the decisions, on Colab on Drive, as the faces lie on a disk that ends with the
    session; where it exists already its decisions are taken over. Raises DragFaceError when there are no faces, or
    `first` names none of them.
    """
    return Curation(Review(faces, first, copy))


def read_scores(path: str | Path) -> dict[str, str]:
    """A note on each face of a table with the columns face and score, in its order, by `CropRow.key` or file name."""
    scores = {}
    for _, cells in read_csv(path, ("face", "score"), any_bytes=True):
        face = PurePosixPath(cells["face"])
        pair = face.parts[0] == "pairs"  # pairs/selfie/anna.png is the face anna.jpg, in either domain
        scores[f"{face.stem}.jpg" if pair else "/".join(dict.fromkeys([face.parts[0], face.name]))] = (
            f"score {cells['score']}"
        )
    return scores


def _read_decisions(path: Path) -> dict[str, str]:
    return {cells["face"]: cells["decision"] for _, cells in read_csv(path, ("face", "decision"), any_bytes=True)}


def _has_face(row: CropRow) -> bool:
    return (
        row.face != ""
        and row.domain in DOMAINS
        and row.split in ("train", "test")
        and row.status in ("kept", "rejected")
    )
