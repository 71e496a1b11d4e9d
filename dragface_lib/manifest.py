"""data_manifest.csv: where each photo comes from, whose it is, under which licence, and in which split.

    rows = read_manifest(find_manifest())
    write_manifest(path, rows)              # in one step; rows and columns that are there already are kept

A photo is stored as photos/{domain}/{file}. Rows are never deleted: a photo that must go is `withdrawn`. The repository
has the project's own manifest; scraping keeps one beside the photos, photos/data_manifest.csv.
"""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from .errors import DragFaceError
from .files import SUFFIXES, locked, replace_atomically

DOMAINS = ("selfie", "drag")
REQUIRED = ("id", "domain", "file", "image_url", "licence")
NAME = "data_manifest.csv"
# What became of a photo: "" (not fetched yet), here, not to be had, without a licence, the same bytes as another one,
# or taken back by the people it shows or belongs to.
STATUSES = ("", "stored", "failed", "unlicensed", "duplicate", "withdrawn")


@dataclass(frozen=True, slots=True)
class Row:
    """One photo. Texts are "" and numbers None where nothing is known.

    id: stable name, letters, digits, `.`, `_`, `-`. file: relative path below photos/{domain}/.
    licence: SPDX or Creative Commons' short name. width, height: pixels; bytes, sha256: of the file at image_url.
    split: "train", "test" or "" (not decided); split_group: everything that must share a split, usually a person or the
    copies of one picture. status: one of STATUSES, and `reason` why. source, query: what found it. attribution: the
    line to print beside it. stored_sha256: of the file stored, which has lost its EXIF; phash: `duplicates.signature`.
    extra: columns that are not ours, kept as they are.
    """

    id: str
    domain: str
    file: str
    image_url: str = ""
    page_url: str = ""
    licence: str = ""
    licence_url: str = ""
    author: str = ""
    title: str = ""
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    sha256: str = ""
    split: str = ""
    split_group: str = ""
    status: str = ""
    reason: str = ""
    source: str = ""
    query: str = ""
    attribution: str = ""
    stored_sha256: str = ""
    phash: str = ""
    retrieved_at: str = ""
    extra: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def withdrawn(self) -> bool:
        """True when the photo, its faces and its place in the archive must go."""
        return self.status == "withdrawn"

    def path(self, photos: str | Path) -> Path:
        """Where the photo lies in the workspace's folder of photos."""
        return Path(photos) / self.domain / self.file


COLUMNS = tuple(part.name for part in fields(Row) if part.name != "extra")
NUMBERS = ("width", "height", "bytes")
HASHES = ("sha256", "stored_sha256", "phash")
REPEATED = ("domain", "licence", "licence_url", "author", "source", "query", "page_url")  # kept once in memory


def find_manifest() -> Path:
    """The manifest in use: DRAGFACE_MANIFEST, else data_manifest.csv here or in the repository."""
    named = os.environ.get("DRAGFACE_MANIFEST")
    package = Path(__file__).parent
    choices = [Path(named)] if named else [Path("data_manifest.csv"), package.parent / "data_manifest.csv"]
    if not named:
        choices.append(package / "data_manifest.csv")
    for path in choices:
        if path.is_file():
            return path
    raise DragFaceError(f"{choices[0]} does not exist: name a manifest with --manifest or DRAGFACE_MANIFEST.")


def manifest_of(photos: str | Path) -> Path:
    """The manifest beside the photos, which scraping writes; where there is none yet, `find_manifest`."""
    beside = Path(photos) / NAME
    return beside if beside.is_file() else find_manifest()


def read_manifest(path: str | Path, faults: list[str] | None = None) -> list[Row]:
    """Read and check a manifest, whatever the order of its columns, with or without BOM and CRLF.

    Raises DragFaceError naming the first line at fault. With a list `faults` broken rows are left out
    instead, one sentence each is added to the list, and the others go on.
    """
    return list(iterate_manifest(path, faults))


def iterate_manifest(path: str | Path, faults: list[str] | None = None) -> Iterator[Row]:
    """The rows of `read_manifest`, one at a time, for manifests that are large."""
    seen = _Seen()
    for line, header, cells in _lines(Path(path)):
        try:
            row = _row(header, cells)
            seen.add(row, line)
        except ValueError as fault:
            sentence = f"{path}, line {line}: {fault}."
            if faults is None:
                raise DragFaceError(sentence) from None
            faults.append(sentence)
            continue
        yield row


def write_manifest(path: str | Path, rows: Iterable[Row]) -> list[Row]:
    """Merge `rows` into the manifest at `path` and write it in one step; returns all rows it now holds.

    See `update_manifest`.
    """
    update_manifest(path, rows)
    return read_manifest(path, [])


def update_manifest(path: str | Path, rows: Iterable[Row], found: bool = False) -> dict[str, Row]:
    """Merge `rows` into the manifest at `path`, in one step; returns these rows, by id, as they now stand there.

    Rows, columns and their order stay as they are, broken lines too; of several processes one waits for the other.
    Where both know something the new row wins; what it leaves empty stays, a withdrawal for good. With `found`, for
    rows that a search found again, what stands there wins, as a hand may have written it, only gaps are filled, and a
    new row that contradicts the others is left out; so is one whose line there is broken. Raises DragFaceError, leaving
    the file as it was, when one of the rows is at fault.
    """
    path = Path(path)
    new = {row.id: row for row in rows}
    if not new and path.exists():
        return {}
    with locked(path.parent), suppress(_Unchanged), replace_atomically(path) as temporary:
        header = _header(path) if path.exists() else []
        columns = list(dict.fromkeys([*header, *COLUMNS, *(name for row in new.values() for name in row.extra)]))
        merged: dict[str, Row] = {}
        seen, changed = _Seen(), False
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for line, _, cells in _lines(path) if header else ():
                try:
                    row = _row(header, cells)
                    seen.check(row)
                except ValueError:  # kept as it is, for whoever reads it next to be told
                    new.pop(dict(zip(header, cells, strict=False)).get("id", "").strip(), None)
                    filling = len(columns) - len(header) if len(cells) == len(header) else 0
                    writer.writerow(cells + [""] * filling)
                    continue
                if row.id in new:
                    before, row = row, _joined(row, new.pop(row.id), found)
                    changed |= row != before
                    merged[row.id] = row
                _write(writer, row, columns, seen, line, path)
            if header and not changed and not new:
                raise _Unchanged
            for line, row in enumerate(new.values(), start=2):
                if found and row.split_group in seen.splits:
                    row = replace(row, split=seen.splits[row.split_group][0])
                if found and seen.contradicts(row):
                    continue
                merged[row.id] = row
                _write(writer, row, columns, seen, line, path)
    return merged


def fault_of(row: Row) -> str:
    """Why a row may not stand in a manifest, "" when it may."""
    try:
        _row(COLUMNS, [_cell(getattr(row, name)) for name in COLUMNS])
    except ValueError as fault:
        return str(fault)
    return ""


def _joined(before: Row, row: Row, found: bool = False) -> Row:
    strong, weak = (before, row) if found else (row, before)
    changes = {name: value for name in COLUMNS if (value := getattr(strong, name)) not in ("", None)}
    if found and (before.split or before.split_group):  # they are decided together
        changes |= {"split": before.split, "split_group": before.split_group}
    if strong.status:
        changes["reason"] = strong.reason
    for one in (row, before):  # an earlier withdrawal keeps its reason
        if one.withdrawn:
            changes |= {"status": one.status, "reason": one.reason}
    return replace(weak, **changes, extra={**weak.extra, **strong.extra})


def _write(writer: Any, row: Row, columns: Iterable[str], seen: _Seen, line: int, path: Path) -> None:
    """Check one row once more and write it; raises DragFaceError where it may not stand in a manifest."""
    try:
        seen.add(_row(COLUMNS, [_cell(getattr(row, name)) for name in COLUMNS]), line)
    except ValueError as fault:
        raise DragFaceError(f"{path} was not written, row {row.id or line}: {fault}.") from None
    writer.writerow([_cell(getattr(row, name)) if name in COLUMNS else row.extra.get(name, "") for name in columns])


class _Unchanged(Exception):
    """There is nothing to write."""


class _Seen:
    """Checks between rows: no id and no file twice, no group in two splits."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._files: dict[str, int] = {}
        self.splits: dict[str, tuple[str, int]] = {}  # of each group: its split, and the line that says so

    def check(self, row: Row) -> None:
        """Raise ValueError when `row` contradicts one that was added."""
        file = _file_key(row)
        if row.id in self._ids:
            raise ValueError(f"the id {row.id} stands on line {self._ids[row.id]} already")
        if file in self._files:
            raise ValueError(f"the file {row.file} stands on line {self._files[file]} already")
        split, first = self.splits.get(row.split_group, (row.split, 0))
        if row.split_group and row.split != split:
            raise ValueError(
                f"{row.split_group} is in split {row.split or 'undecided'!r} but in {split or 'undecided'!r} on "
                f"line {first}: one group, one split"
            )

    def contradicts(self, row: Row) -> bool:
        """Whether `check` raises."""
        try:
            self.check(row)
        except ValueError:
            return True
        return False

    def add(self, row: Row, line: int) -> None:
        """Check `row` and remember it."""
        self.check(row)
        self._ids[row.id] = line
        self._files[_file_key(row)] = line
        if row.split_group:
            self.splits[row.split_group] = (row.split, line)


def _file_key(row: Row) -> str:
    return f"{row.domain}/{row.file}".casefold()  # Drive and macOS do not tell A.jpg from a.jpg


def _header(path: Path) -> list[str]:
    return next(_lines(path, with_header=True))[1]


def _lines(path: Path, with_header: bool = False) -> Iterator[tuple[int, list[str], list[str]]]:
    """(line, header, cells) of each line that is not empty; with_header: the header's own line first."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            try:
                header = [name.strip() for name in next(reader, [])]
                _check_header(path, header)
                if with_header:
                    yield 1, header, header
                for cells in reader:
                    if any(cell.strip() for cell in cells):  # spreadsheets leave empty lines at the end
                        yield reader.line_num, header, cells
            except csv.Error as error:
                raise DragFaceError(
                    f"{path}, line {reader.line_num}: not comma-separated text ({error}): mend its quotes."
                ) from error
            except UnicodeDecodeError:
                line = _first_undecodable(path)
                raise DragFaceError(f"{path}, line {line}: not UTF-8 text: save it as CSV in UTF-8.") from None
    except FileNotFoundError:
        raise DragFaceError(f"{path} does not exist: check the name of the manifest.") from None
    except OSError as error:
        raise DragFaceError(f"{path} cannot be read ({error.strerror}): name a CSV file.") from error


def _first_undecodable(path: Path) -> int:
    data = path.read_bytes()
    try:
        data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        return data[: error.start].count(b"\n") + 1
    return 1


def _check_header(path: Path, header: list[str]) -> None:
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise DragFaceError(f"{path}, line 1: no column {', '.join(missing)}: a manifest is comma-separated text.")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise DragFaceError(f"{path}, line 1: the column {twice[0] or '(no name)'} stands there twice: rename one.")


def _row(header: Iterable[str], cells: list[str]) -> Row:
    """A checked row; raises ValueError saying what is wrong with it."""
    header = list(header)
    if len(cells) != len(header):
        raise ValueError(f"{len(cells)} cells instead of {len(header)}")
    named = dict(zip(header, cells, strict=True))
    values: dict = {name: named.get(name, "").strip() for name in COLUMNS}
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", values["id"]):
        raise ValueError(f"the id {values['id']!r} must be made of letters, digits, '.', '_' and '-'")
    _one_of(values, "domain", DOMAINS)
    _one_of(values, "split", ("", "train", "test"))
    _one_of(values, "status", STATUSES)
    _check_file(values["file"])
    for name in ("image_url", "page_url", "licence_url"):
        _check_url(name, values[name])
    for name in NUMBERS:
        if values[name] and not re.fullmatch(r"[0-9]{1,12}", values[name]):
            raise ValueError(f"{name} is {values[name]!r}, not a whole number")
        values[name] = int(values[name]) if values[name] else None
    for name in HASHES:
        values[name] = values[name].lower()
        if values[name] and not re.fullmatch(r"[0-9a-f]{64}", values[name]):
            raise ValueError(f"{name} is not 64 hexadecimal digits")
    for name in REPEATED:
        values[name] = sys.intern(values[name])
    return Row(**values, extra={name: value for name, value in named.items() if name not in COLUMNS})


def _one_of(values: dict, name: str, choices: tuple[str, ...]) -> None:
    if values[name] not in choices:
        allowed = " or ".join(repr(choice) if choice else "empty" for choice in choices)
        raise ValueError(f"{name} is {values[name]!r}, not {allowed}")


def _check_file(file: str) -> None:
    path = PurePosixPath(file)
    inside = file and not path.is_absolute() and file == str(path) and not re.search(r"[\\:\x00-\x1f]", file)
    if not inside or any(part.startswith(".") for part in path.parts) or path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"the file {file!r} must be a picture's relative path, such as portraits/female/0.jpg")


def _check_url(name: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        good = not url or (parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", url))
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{name} is {url!r}, not an http or https address")


def _cell(value: object) -> str:
    return "" if value is None else str(value)
