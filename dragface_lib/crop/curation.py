"""Going through the faces by hand: a grid of kept and rejected ones, worst first, a click turns one around.

    from dragface_lib.crop.curation import curate
    curate("faces")
    curate("faces", first="runs/first/evaluation/faces.csv")    # the faces that training found odd come first

Every decision is on disk (see decisions.py) before the widget says so, and running the cell again goes on with the
faces that nobody has looked at. Pictures travel as messages with binary buffers, a page at a time. The page and
`Curation` send each other (see curation.js):

    page    open     the list of faces is wanted: request
            thumbs   pictures are wanted: request, faces (their keys), large (true for the whole 256 px)
            decide   request, decisions (keep, reject by key); the same request is never carried out twice
            undo     take back the last `decide`: request
    kernel  faces    request, part, parts, faces (see `Review.about`), undo (how many can be taken back)
            thumbs   request, faces, buffers: a JPEG each, empty where there is none
            saved    request, faces (those that changed), undo: they are on disk
            error    request, text
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import anywidget
import traitlets

from ..errors import DragFaceError
from ..images import UnreadablePhoto, encode_photo, open_photo, resize
from ..widgets import script, style
from .decisions import apply_decisions, face_key, read_decisions, record_decisions, settle, share_decisions
from .quality import quality
from .rows import CropRow, read_crops, write_crops

HERE = Path(__file__).parent
TARGET = 1000  # faces a domain: with fewer a GAN learns its data by heart
THUMBNAIL = 176  # pixels: tiles are half as large, and most screens have two pixels for one
PART = 1000  # faces of the list that are sent at once; a server may refuse messages above 1 MB a second


class Review:
    """The faces of a folder, what was decided on them, and the way back.

    order: keys, those to look at first in front. Raises DragFaceError when the folder holds no faces.
    """

    def __init__(self, faces: str | Path, first: str | Path | None = None, copy: str | Path | None = None):
        self.faces, self.copy = Path(faces), copy
        self._notes = read_scores(first) if first else {}
        self._places = {key: place for place, key in enumerate(self._notes)}
        self._undo: list[dict[str, str]] = []
        self.refresh()
        if not self.rows:
            raise DragFaceError(f"{self.faces} holds no faces: crop photos first.")
        if self._notes and not any(self._note(key) for key in self.rows):
            raise DragFaceError(
                f"{first} names none of the faces in {self.faces}: name the faces.csv of a run on them."
            )

    def refresh(self) -> None:
        """Read crops.csv anew and bring it in line with the decisions, also those of a session that was lost."""
        if self.copy:
            share_decisions(self.faces, self.copy)
        before = read_crops(self.faces)
        rows = apply_decisions(self.faces, before)
        if rows != before:
            write_crops(self.faces, rows, {})
        self._stamp = self._stamp_now()
        self._all = {_key(row): row for row in rows}
        self.decisions = read_decisions(self.faces)
        self.rows = {
            key: row
            for key, row in self._all.items()
            if row.status in ("kept", "rejected") and row.face and (self.faces / row.face).is_file()
        }
        self.order = sorted(self.rows, key=self._rank)

    def about(self, key: str) -> dict[str, Any]:
        """What the page shows of a face."""
        row = self.rows[key]
        return {
            "key": key,
            "domain": row.domain,
            "split": row.split,
            "photo": row.photo,
            "kept": row.status == "kept",
            "reason": row.reason,
            "decision": self.decisions.get(key, ""),
            "note": self._note(key),
        }

    def decide(self, decisions: Mapping[str, str]) -> list[str]:
        """Keep or reject faces; on return that is on disk. Returns the keys of the faces that there are."""
        decisions = {key: word for key, word in decisions.items() if key in self.rows and word in ("keep", "reject")}
        before = {key: self.decisions.get(key, "undo") for key in decisions}
        self._carry_out(decisions)
        if before:
            self._undo.append(before)
        return list(decisions)

    def undo(self) -> list[str]:
        """Take back the last `decide`; returns the keys of its faces."""
        if not self._undo:
            return []
        self._carry_out(self._undo[-1])
        return [key for key in self._undo.pop() if key in self.rows]

    @property
    def undoable(self) -> int:
        """How many times `undo` has something to take back."""
        return len(self._undo)

    def picture(self, key: str, large: bool = False) -> bytes:
        """A JPEG of the face, small or as it is; empty when its file is missing or damaged."""
        row = self.rows.get(key)
        try:
            face = open_photo(self.faces / row.face) if row else None
        except UnreadablePhoto:
            face = None
        if face is None:
            return b""
        return encode_photo(face if large else resize(face, THUMBNAIL, THUMBNAIL), quality=90 if large else 80)

    def _carry_out(self, decisions: Mapping[str, str]) -> None:
        if not decisions:
            return
        record_decisions(self.faces, decisions)
        if self._stamp != self._stamp_now():
            self.refresh()  # faces were cropped meanwhile
            return
        for key, word in decisions.items():
            self.decisions[key] = word
            if word == "undo":
                del self.decisions[key]
            if key in self.rows:
                self.rows[key] = self._all[key] = settle(self.faces, self.rows[key], self.decisions.get(key))
        write_crops(self.faces, self._all.values(), {})
        self._stamp = self._stamp_now()
        if self.copy:
            share_decisions(self.faces, self.copy)

    def _stamp_now(self) -> tuple[int, int] | None:
        path = self.faces / "crops.csv"
        return (path.stat().st_mtime_ns, path.stat().st_size) if path.exists() else None

    def _note(self, key: str) -> str:
        return self._notes.get(key) or self._notes.get(PurePosixPath(key).name, "")

    def _rank(self, key: str) -> tuple[int, float, bool]:
        """Those named first in the order given, then the worst."""
        names = (key, PurePosixPath(key).name)
        place = min((self._places[name] for name in names if name in self._places), default=len(self._places))
        row = self.rows[key]
        return place, quality(row.numbers), row.status == "kept"


class Curation(anywidget.AnyWidget):
    """The grid on the page (see the head of this file), over a `Review`."""

    _esm = script(HERE / "curation.js")
    _css = style(HERE / "curation.css")
    target = traitlets.Int(TARGET, help="faces that each domain should have").tag(sync=True)

    def __init__(self, review: Review, target: int = TARGET):
        super().__init__(target=target)
        self.review = review
        self._done: dict[Any, list[str]] = {}  # faces by request: a page that got no answer asks again
        self.on_msg(self._on_message)

    def _on_message(self, _: Any, content: Any, buffers: Any) -> None:
        answers = {"open": self._list, "thumbs": self._pictures, "decide": self._decide, "undo": self._undo}
        kind = content.get("kind") if isinstance(content, dict) else None
        if kind not in answers:
            return
        try:
            answers[kind](content)
        except DragFaceError as error:
            self._say("error", content, text=str(error))
        except Exception as error:  # an exception in a message handler would end in a log that nobody reads
            self._say(
                "error", content, text=f"This did not work ({type(error).__name__}: {error}): run the cell again."
            )

    def _say(self, kind: str, content: dict, buffers: list[bytes] | None = None, **more: Any) -> None:
        self.send({"kind": kind, "request": content.get("request"), **more}, buffers)

    def _list(self, content: dict) -> None:
        self.review.refresh()
        order = self.review.order
        parts = [order[start : start + PART] for start in range(0, len(order), PART)] or [[]]
        for number, keys in enumerate(parts):
            faces = [self.review.about(key) for key in keys]
            self._say("faces", content, part=number, parts=len(parts), faces=faces, undo=self.review.undoable)

    def _pictures(self, content: dict) -> None:
        keys = list(content["faces"])
        large = bool(content.get("large"))
        self._say("thumbs", content, [self.review.picture(key, large) for key in keys], faces=keys)

    def _decide(self, content: dict) -> None:
        self._save(content, lambda: self.review.decide(content["decisions"]))

    def _undo(self, content: dict) -> None:
        self._save(content, self.review.undo)

    def _save(self, content: dict, change: Callable[[], list[str]]) -> None:
        request = content["request"]
        if request not in self._done:
            self._done[request] = change()
        faces = [self.review.about(key) for key in self._done[request] if key in self.review.rows]
        self._say("saved", content, faces=faces, undo=self.review.undoable)


def curate(
    faces: str | Path, first: str | Path | None = None, target: int = TARGET, copy: str | Path | None = None
) -> Curation:
    """A widget in which to go through the faces that `crop_photos` cut out.

    first: a table with columns face and score, such as the faces.csv of evaluate; its faces come first, in its
    order. target: faces that each domain should have. copy: a second place for the decisions, on Colab on Drive,
    as the faces lie on a disk that ends with the session; what it holds of earlier sessions is taken over.
    Raises DragFaceError when there are no faces, or `first` names none of them.
    """
    return Curation(Review(faces, first, copy), target)


def _key(row: CropRow) -> str:
    return face_key(row.face) or f"{row.domain}: {row.photo}"


def _named(face: str) -> str:
    """What a face of a table is called here: pairs/selfie/anna.png is that of anna.jpg, in either domain."""
    path = PurePosixPath(face)
    return f"{path.stem}.jpg" if path.parts[:1] == ("pairs",) else face_key(face)


def read_scores(path: str | Path) -> dict[str, str]:
    """A note on each face of a table with the columns face and score, in its order, by `face_key`.

    Raises DragFaceError when it cannot be read or lacks one of the columns.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
            return {_named(line["face"]): f"score {line['score']}" for line in csv.DictReader(file)}
    except KeyError as error:
        raise DragFaceError(f"{path} has no column {error}: name the faces.csv that evaluate wrote.") from None
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DragFaceError(f"{path} cannot be read ({error}): name the faces.csv that evaluate wrote.") from error
