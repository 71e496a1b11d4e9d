"""data_manifest.csv: where each photo comes from, whose it is, under which licence, and in which split.

    rows = read_manifest(find_manifest())
    write_manifest(path, rows)              # atomic; rows and columns that are there already are kept

A photo is stored as photos/{domain}/{file}. Rows are never deleted: a photo that must go is `withdrawn`.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from .errors import DragFaceError
from .files import SUFFIXES, write_atomically

DOMAINS = ("selfie", "drag")
REQUIRED = ("id", "domain", "file", "image_url", "licence")


@dataclass(frozen=True)
class Row:
    """One photo. Texts are "" and numbers None where nothing is known.

    id: stable name, letters, digits, `.`, `_`, `-`. file: relative path below photos/{domain}/.
    width, height: pixels; bytes, sha256: of the file at image_url. split: "train", "test" or "" (not decided);
    split_group: everything that must share a split, usually a person. status: "" or "withdrawn".
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


def read_manifest(path: str | Path, faults: list[str] | None = None) -> list[Row]:
    """Read and check a manifest, whatever the order of its columns, with or without BOM and CRLF.

    Raises DragFaceError naming the first line at fault. With a list `faults` broken rows are left out
    instead, one sentence each is added to the list, and the others go on.
    """
    path = Path(path)
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows: list[Row] = []
    seen = _Seen()
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(path, header)
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue  # spreadsheets leave empty lines at the end
            try:
                row = _row(header, cells)
                seen.add(row, reader.line_num)
                rows.append(row)
            except ValueError as fault:
                sentence = f"{path}, line {reader.line_num}: {fault}."
                if faults is None:
                    raise DragFaceError(sentence) from None
                faults.append(sentence)
    except csv.Error as error:
        raise DragFaceError(
            f"{path}, line {reader.line_num}: not comma-separated text ({error}): mend its quotes."
        ) from error
    return rows


def write_manifest(path: str | Path, rows: Iterable[Row]) -> list[Row]:
    """Merge `rows` into the manifest at `path` and write it in one step; returns all rows it now holds.

    Rows and columns already in the file are kept (see `merge`). Raises DragFaceError, leaving the file as it
    was, when it or one of the rows is at fault.
    """
    path = Path(path)
    merged = merge(read_manifest(path) if path.exists() else [], rows)
    seen = _Seen()
    for line, row in enumerate(merged, start=2):
        try:
            seen.add(_row(COLUMNS, [_cell(getattr(row, name)) for name in COLUMNS]), line)
        except ValueError as fault:
            raise DragFaceError(f"{path} was not written, row {row.id or line}: {fault}.") from None
    extra = list(dict.fromkeys(name for row in merged for name in row.extra))
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*COLUMNS, *extra])
    for row in merged:
        writer.writerow([_cell(getattr(row, name)) for name in COLUMNS] + [row.extra.get(name, "") for name in extra])
    write_atomically(path, text.getvalue().encode("utf-8"))
    return merged


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """All rows of both, one an id: old ones in their order, then the new ones.

    Where both know something the new row wins; what it leaves empty stays; a withdrawal stays for good.
    """
    merged = {row.id: row for row in old}
    for row in new:
        before = merged.get(row.id)
        if before is not None:
            known = {name: getattr(row, name) for name in COLUMNS if getattr(row, name) not in ("", None)}
            row = replace(before, **known, extra={**before.extra, **row.extra})
        merged[row.id] = row
    return list(merged.values())


class _Seen:
    """Checks between rows: no id and no file twice, no group in two splits."""

    def __init__(self):
        self._ids: dict[str, int] = {}
        self._files: dict[tuple[str, str], int] = {}
        self._splits: dict[str, tuple[str, int]] = {}

    def add(self, row: Row, line: int) -> None:
        file = (row.domain, row.file.casefold())  # Drive and macOS do not tell A.jpg from a.jpg
        if row.id in self._ids:
            raise ValueError(f"the id {row.id} stands on line {self._ids[row.id]} already")
        if file in self._files:
            raise ValueError(f"the file {row.file} stands on line {self._files[file]} already")
        split, first = self._splits.get(row.split_group, (row.split, line))
        if row.split_group and row.split != split:
            raise ValueError(
                f"{row.split_group} is in split {row.split or 'undecided'!r} but in {split or 'undecided'!r} on "
                f"line {first}: one group, one split"
            )
        self._ids[row.id] = line
        self._files[file] = line
        self._splits[row.split_group] = (split, first)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        raise DragFaceError(f"{path} does not exist: check the name of the manifest.") from None
    except OSError as error:
        raise DragFaceError(f"{path} cannot be read ({error.strerror}): name a CSV file.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DragFaceError(f"{path}, line {line}: not UTF-8 text: save it as CSV in UTF-8.") from None


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
    _one_of(values, "status", ("", "withdrawn"))
    _check_file(values["file"])
    for name in ("image_url", "page_url", "licence_url"):
        _check_url(name, values[name])
    for name in NUMBERS:
        if values[name] and not re.fullmatch(r"[0-9]{1,12}", values[name]):
            raise ValueError(f"{name} is {values[name]!r}, not a whole number")
        values[name] = int(values[name]) if values[name] else None
    values["sha256"] = values["sha256"].lower()
    if values["sha256"] and not re.fullmatch(r"[0-9a-f]{64}", values["sha256"]):
        raise ValueError("sha256 is not 64 hexadecimal digits")
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
