"""Tables in CSV files, above all data_manifest.csv: where each photo comes from, whose it is, and in which split.

    rows = read_manifest(manifest_of(photos))
    rows = write_manifest(path, rows)       # merged into what the file states, in one step

A photo is stored as photos/{domain}/{file}. Rows are never deleted: a photo that must go is `withdrawn`. The repository
has the project's own manifest; scraping keeps one beside the photos, photos/data_manifest.csv.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from .errors import DragFaceError
from .files import SUFFIXES, kind_of, locked, retry, write_atomically

NAME = "data_manifest.csv"
DOMAINS = ("selfie", "drag")
STATUSES = ("", "stored", "failed", "unlicensed", "duplicate", "withdrawn")  # "": not fetched yet
REQUIRED = ("id", "domain", "file", "image_url", "licence")
NUMBERS = ("width", "height", "bytes")
LONGEST_CELL = 4000  # characters of a cell
UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
# Text that a spreadsheet would run. Writing puts a "'" before it; reading removes that.
FORMULA = re.compile(r"'*(?![+-]?\d+([.,]\d+)?(e[+-]?\d+)?\Z)[=+@\t\r-]")
_ADDRESS = (r"(https?://[^\s/?#]+\S*)?", "an http or https address")
_HASH = ("([0-9a-f]{64})?", "64 hexadecimal digits")
RULES = {  # what may stand in a column: a pattern, and what it is called
    "id": (r"[\w.-]{1,128}", "made of letters, digits, '.', '_' and '-'"),
    "domain": ("selfie|drag", "selfie or drag"),
    "file": (
        rf"((?!\.)[^/\\:\n\r\t]+/)*(?!\.)[^/\\:\n\r\t]+(?i:{'|'.join(map(re.escape, SUFFIXES))})",
        "a picture's relative path, such as portraits/female/0.jpg",
    ),
    "image_url": _ADDRESS,
    "page_url": _ADDRESS,
    "licence_url": _ADDRESS,
    "sha256": _HASH,
    "split": ("train|test|", "train, test or empty"),
    "status": ("|".join(STATUSES), "empty, " + ", ".join(STATUSES[1:])),
    "stored_sha256": _HASH,
}


def read_csv(path: str | Path, required: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, {column: text}) of each row, as any spreadsheet saves it; empty lines are skipped.

    Cells are separated by commas, semicolons or tabs; the text is UTF-8, UTF-16 or cp1252. Raises DragFaceError naming
    the line when a required column is missing, a row has more or fewer cells than the header, or quotes do not match.
    """
    try:
        data = retry(Path(path).read_bytes, path)
    except OSError as error:
        raise DragFaceError(f"{path} cannot be read ({error.strerror}): check the name of the table.") from error
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        text = data.decode(encoding, "surrogatepass")  # names of files need not be UTF-8
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    lines = ([cell[cell[:1] == "'" and bool(FORMULA.match(cell)) :] for cell in cells] for cells in reader)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        header = [name.strip() for name in next(lines, [])]
        if missing := [name for name in required if name not in header]:
            raise ValueError(f"there is no column {missing[0]}")
        if len(set(header)) < len(header):
            raise ValueError("a column is there twice")
        for cells in filter(any, lines):  # spreadsheets leave empty lines at the end
            if len(cells) != len(header):
                raise ValueError(f"{len(cells)} cells instead of {len(header)}")
            rows.append((reader.line_num, dict(zip(header, cells, strict=True))))
    except (csv.Error, ValueError) as error:
        raise DragFaceError(f"{path}, line {reader.line_num}: {error}: mend it, or move the table away.") from error
    return rows


def write_csv(path: str | Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Write a table in one step; what a row lacks stays empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for cells in [columns, *([row.get(name, "") for name in columns] for row in rows)]:
        writer.writerow([f"'{cell}" if isinstance(cell, str) and FORMULA.match(cell) else cell for cell in cells])
    write_atomically(path, text.getvalue().encode("utf-8", "surrogatepass"))


def path_below(folder: str | Path, name: str) -> Path:
    """The path of a name in a table. Raises DragFaceError where it leads out of the folder, be it through a link."""
    path, parts = Path(folder, name), os.fsencode(name).split(b"/")
    if "\0" in name or len(name) > 1000 or max(map(len, parts)) > 255:
        raise DragFaceError(f"{name[:200]!r} is no name of a file: mend its row in the table.")
    if b".." in parts or not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder)):
        raise DragFaceError(f"{path} leads out of {folder}: mend its row in the table, or remove the link.")
    return path


@dataclass(frozen=True, slots=True)
class Row:
    """One photo. Texts are "" and numbers None where nothing is known; DragFaceError for what may not stand there.

    id: stable name, letters, digits, `.`, `_`, `-`. file: relative path below photos/{domain}/.
    licence: SPDX or Creative Commons' short name. width, height: pixels; bytes, sha256: of the file at image_url.
    split: "train", "test" or "" (not decided); split_group: everything that must share a split, usually a person.
    status: one of STATUSES, and `reason` why. source, query: what found it. attribution: the line to print beside it.
    stored_sha256: of the file stored, which has lost its EXIF. extra: columns that are not ours, kept as they are.
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
    retrieved_at: str = ""
    extra: dict[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in COLUMNS:
            value, (pattern, meaning) = getattr(self, name), RULES.get(name, (None, "a text that can be shown"))
            if name in NUMBERS:
                fits, meaning = value is None or isinstance(value, int) and 0 <= value < 10**12, "a whole number"
            else:
                fits = isinstance(value, str) and len(value) <= LONGEST_CELL and not UNSHOWN.search(value)
                fits = fits and (not pattern or bool(re.fullmatch(pattern, value, re.ASCII)))
            if not fits:
                raise DragFaceError(f"{name} is {str(value)[:200]!r}, not {meaning}: mend the row.")

    @property
    def withdrawn(self) -> bool:
        """True when the photo, its faces and its place in the archive must go."""
        return self.status == "withdrawn"

    def path(self, photos: str | Path) -> Path:
        """Where the photo lies in the workspace's folder of photos; DragFaceError where a link leads out of it."""
        return path_below(Path(photos) / self.domain, self.file)


COLUMNS = tuple(part.name for part in fields(Row) if part.name != "extra")


def manifest_beside(photos: str | Path) -> Path | None:
    """The manifest that scraping left in a folder of photos or above it, if it did."""
    folder = Path(photos).resolve()
    return next((path for path in (folder / NAME, folder.parent / NAME) if path.is_file()), None)


def manifest_of(photos: str | Path | None = None) -> Path:
    """The manifest beside the photos, else DRAGFACE_MANIFEST, else data_manifest.csv here or in the repository."""
    named = os.environ.get("DRAGFACE_MANIFEST")
    paths = [Path(named)] if named else [Path(NAME), Path(__file__).parents[1] / NAME]
    path = (manifest_beside(photos) if photos else None) or next((path for path in paths if path.is_file()), None)
    if path is None:
        raise DragFaceError(f"{named or NAME} does not exist: name a manifest with --manifest or DRAGFACE_MANIFEST.")
    return path


def read_manifest(path: str | Path) -> list[Row]:
    """Read and check a manifest, whatever the order of its columns.

    Raises DragFaceError naming the file, the line at fault and the reason.
    """
    rows: list[Row] = []
    seen: dict[str, Row] = {}
    for line, cells in read_csv(path, REQUIRED):
        values: dict = {name: cells.pop(name, "").strip() for name in COLUMNS}
        numbers = {name: re.fullmatch(r"([0-9]{1,12})([.,]0+)?", values[name]) for name in NUMBERS}  # pandas: 512.0
        values |= {name: int(match[1]) if match else values[name] or None for name, match in numbers.items()}
        try:
            rows.append(Row(**values, extra=cells))
        except DragFaceError as fault:
            raise DragFaceError(f"{path}, line {line}: {fault}") from None
        _check_beside(seen, rows[-1], f"{path}, line {line}")
    return rows


def write_manifest(path: str | Path, rows: Iterable[Row]) -> list[Row]:
    """Merge `rows` into the manifest at `path` (see `merge_rows`) and write it in one step; returns all its rows.

    Columns and rows keep their order, and of several processes one waits for the other. Raises DragFaceError, leaving
    the file as it was, when a line of it is at fault or rows contradict each other.
    """
    with locked(Path(path).parent):
        before = read_manifest(path) if kind_of(path) else []
        merged = merge_rows(before, rows)
        seen: dict[str, Row] = {}
        for row in merged:
            _check_beside(seen, row, str(path))
        if merged != before or not before:
            header = read_csv(path, REQUIRED)[0][1] if before else {}
            columns = list(dict.fromkeys([*header, *COLUMNS, *(name for row in merged for name in row.extra)]))
            write_csv(path, columns, ({name: getattr(row, name) for name in COLUMNS} | row.extra for row in merged))
    return merged


def merge_rows(before: Iterable[Row], rows: Iterable[Row], searched: bool = False) -> list[Row]:
    """All rows of both, by id. What a new row leaves empty stays, and so does a withdrawal.

    searched: the rows are those of a search. They only fill gaps, as a person may have edited what is there, and a row
    of a known group gets that group's split.
    """
    merged = {row.id: row for row in before}
    splits = {row.split_group: row.split for row in merged.values() if row.split_group}
    for row in rows:
        if searched and row.split_group in splits:
            row = replace(row, split=splits[row.split_group])
        merged[row.id] = _merged(merged[row.id], row, searched) if row.id in merged else row
    return list(merged.values())


def _merged(before: Row, row: Row, searched: bool) -> Row:
    strong, weak = (before, row) if searched else (row, before)
    changes = {name: value for name in COLUMNS if (value := getattr(strong, name)) not in ("", None)}
    if searched and (before.split or before.split_group):  # they are decided together
        changes |= {"split": before.split, "split_group": before.split_group}
    withdrawal = before if before.withdrawn else row if row.withdrawn else None
    latest = withdrawal or (strong if strong.status else weak)
    changes |= {"status": latest.status, "reason": latest.reason}  # a status brings its own reason
    return replace(weak, **changes, extra={**weak.extra, **strong.extra})


def _check_beside(seen: dict[str, Row], row: Row, place: str) -> None:
    """Raise DragFaceError where `row` has the id or file of another row, or another split than its group."""
    for key in (f"the id {row.id}", f"the file {row.domain}/{row.file}".casefold()):  # Drive takes A.jpg for a.jpg
        if seen.setdefault(key, row) is not row:
            raise DragFaceError(f"{place}: {key} is there twice: mend the row.")
    if row.split_group and seen.setdefault(f"the group {row.split_group}", row).split != row.split:
        raise DragFaceError(f"{place}: {row.split_group} is in two splits: one group, one split.")
