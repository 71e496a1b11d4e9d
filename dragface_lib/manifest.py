"""data_manifest.csv: where each photo comes from, whose it is, under which licence, and in which split.

    rows = read_manifest(find_manifest())
    rows = write_manifest(path, rows)       # merged into what the file states, in one step

A photo is stored as photos/{domain}/{file}. Rows are never deleted: a photo that must go is `withdrawn`. The repository
has the project's own manifest; scraping keeps one beside the photos, photos/data_manifest.csv.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from .csv_files import read_csv, write_csv
from .errors import DragFaceError
from .files import SUFFIXES, locked

NAME = "data_manifest.csv"
DOMAINS = ("selfie", "drag")
STATUSES = ("", "stored", "failed", "unlicensed", "duplicate", "withdrawn")  # "": not fetched yet
REQUIRED = ("id", "domain", "file", "image_url", "licence")
NUMBERS = ("width", "height", "bytes")
LONGEST = 4000  # characters of a cell
UNSHOWN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
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
                fits = isinstance(value, str) and len(value) <= LONGEST and not UNSHOWN.search(value)
                fits = fits and (not pattern or bool(re.fullmatch(pattern, value, re.ASCII)))
            if not fits:
                raise DragFaceError(f"{name} is {str(value)[:200]!r}, not {meaning}: mend the row.")

    @property
    def withdrawn(self) -> bool:
        """True when the photo, its faces and its place in the archive must go."""
        return self.status == "withdrawn"

    def path(self, photos: str | Path) -> Path:
        """Where the photo lies in the workspace's folder of photos; DragFaceError where a link leads out of it."""
        folder = Path(photos) / self.domain
        path = folder / self.file
        if not path.resolve().is_relative_to(folder.resolve()):
            raise DragFaceError(f"{path} leads out of {folder}: remove the link in it.")
        return path


COLUMNS = tuple(part.name for part in fields(Row) if part.name != "extra")


def find_manifest() -> Path:
    """The manifest in use: DRAGFACE_MANIFEST, else data_manifest.csv here or in the repository."""
    named = os.environ.get("DRAGFACE_MANIFEST")
    for path in [Path(named)] if named else [Path(NAME), Path(__file__).parents[1] / NAME]:
        if path.is_file():
            return path
    raise DragFaceError(f"{named or NAME} does not exist: name a manifest with --manifest or DRAGFACE_MANIFEST.")


def manifest_beside(photos: str | Path) -> Path | None:
    """The manifest that scraping left in a folder of photos or above it, if it did."""
    folder = Path(photos).resolve()
    return next((path / NAME for path in (folder, folder.parent) if (path / NAME).is_file()), None)


def manifest_of(photos: str | Path) -> Path:
    """The manifest beside the photos, else `find_manifest`."""
    return manifest_beside(photos) or find_manifest()


def read_manifest(path: str | Path) -> list[Row]:
    """Read and check a manifest, whatever the order of its columns, with or without BOM and CRLF.

    Raises DragFaceError naming the file, the line at fault and the reason.
    """
    return _read(path)[1]


def write_manifest(path: str | Path, rows: Iterable[Row]) -> list[Row]:
    """Merge `rows` into the manifest at `path` (see `merge_rows`) and write it in one step; returns all its rows.

    Columns and rows keep their order, and of several processes one waits for the other. Raises DragFaceError, leaving
    the file as it was, when a line of it is at fault or rows contradict each other.
    """
    path = Path(path)
    with locked(path.parent):
        header, before = _read(path) if path.exists() else ([], [])
        merged = merge_rows(before, rows)
        seen: dict[str, Row] = {}
        for row in merged:
            _check_beside(seen, row, str(path))
        if merged != before or not before:
            columns = dict.fromkeys([*header, *COLUMNS, *(name for row in merged for name in row.extra)])
            lines = ({name: getattr(row, name) for name in COLUMNS} | row.extra for row in merged)
            write_csv(path, list(columns), lines)
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


def _read(path: str | Path) -> tuple[list[str], list[Row]]:
    """The columns and the rows of a manifest."""
    rows: list[Row] = []
    seen: dict[str, Row] = {}
    cells: dict[str, str] = {}
    for line, cells in read_csv(path, REQUIRED):
        values: dict = {name: cells.get(name, "").strip() for name in COLUMNS}
        values |= {name: _number(values[name]) for name in NUMBERS}
        values["extra"] = {name: cell for name, cell in cells.items() if name not in COLUMNS}
        try:
            rows.append(Row(**values))
        except DragFaceError as fault:
            raise DragFaceError(f"{path}, line {line}: {fault}") from None
        _check_beside(seen, rows[-1], f"{path}, line {line}")
    return list(cells), rows


def _number(cell: str) -> int | str | None:
    return int(cell) if re.fullmatch("[0-9]{1,12}", cell) else cell or None


def _check_beside(seen: dict[str, Row], row: Row, place: str) -> None:
    """Raise DragFaceError where `row` has the id or file of another row, or another split than its group."""
    for key in (f"the id {row.id}", f"the file {row.domain}/{row.file}".casefold()):  # Drive takes A.jpg for a.jpg
        if seen.setdefault(key, row) is not row:
            raise DragFaceError(f"{place}: {key} is there twice: mend the row.")
    if row.split_group and seen.setdefault(f"the group {row.split_group}", row).split != row.split:
        raise DragFaceError(f"{place}: {row.split_group} is in two splits: one group, one split.")
