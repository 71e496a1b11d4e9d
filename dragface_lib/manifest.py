"""data_manifest.csv: where each photo comes from, whose it is, under which licence, and in which split.

    rows = read_manifest(find_manifest())
    write_manifest(path, rows)              # in one step; rows and columns that are there already are kept

A photo is stored as photos/{domain}/{file}. Rows are never deleted: a photo that must go is `withdrawn`. The repository
has the project's own manifest; scraping keeps one beside the photos, photos/data_manifest.csv.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from .errors import DragFaceError
from .files import locked, replace_atomically
from .manifest_row import COLUMNS, DOMAINS, Row, cell_of, checked_row, fault_of, joined

__all__ = [
    "DOMAINS",
    "NAME",
    "Row",
    "fault_of",
    "find_manifest",
    "iterate_manifest",
    "manifest_of",
    "read_manifest",
    "update_manifest",
    "write_manifest",
]
REQUIRED = ("id", "domain", "file", "image_url", "licence")
NAME = "data_manifest.csv"


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
            row = checked_row(header, cells)
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
                    row = checked_row(header, cells)
                    seen.check(row)
                except ValueError:  # kept as it is, for whoever reads it next to be told
                    new.pop(dict(zip(header, cells, strict=False)).get("id", "").strip(), None)
                    filling = len(columns) - len(header) if len(cells) == len(header) else 0
                    writer.writerow(cells + [""] * filling)
                    continue
                if row.id in new:
                    before, row = row, joined(row, new.pop(row.id), found)
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


def _write(writer: Any, row: Row, columns: Iterable[str], seen: _Seen, line: int, path: Path) -> None:
    """Check one row once more and write it; raises DragFaceError where it may not stand in a manifest."""
    try:
        seen.add(checked_row(COLUMNS, [cell_of(getattr(row, name)) for name in COLUMNS]), line)
    except ValueError as fault:
        raise DragFaceError(f"{path} was not written, row {row.id or line}: {fault}.") from None
    writer.writerow([cell_of(getattr(row, name)) if name in COLUMNS else row.extra.get(name, "") for name in columns])


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
