"""One row of data_manifest.csv: what is known of a photo, and what may stand in its cells."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from .files import SUFFIXES

DOMAINS = ("selfie", "drag")
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


def fault_of(row: Row) -> str:
    """Why a row may not stand in a manifest, "" when it may."""
    try:
        checked_row(COLUMNS, [cell_of(getattr(row, name)) for name in COLUMNS])
    except ValueError as fault:
        return str(fault)
    return ""


def joined(before: Row, row: Row, found: bool = False) -> Row:
    """What is known of one photo from two rows: `row` wins, with `found` the one before; a withdrawal stays."""
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


def checked_row(header: Iterable[str], cells: list[str]) -> Row:
    """The row that the cells below a header make; raises ValueError saying what is wrong with it."""
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


def cell_of(value: object) -> str:
    """A value as it stands in the file."""
    return "" if value is None else str(value)
