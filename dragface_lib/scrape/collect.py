"""One run of scraping: search, fetch, note down. It may be killed at any moment and run again.

    outcome = collect(open_source("commons", "drag"), space.photos, query="Category:Drag queens", limit=300)
    outcome.counts, outcome.reasons

photos/data_manifest.csv says where each photo is from and what became of it; photos lie in photos/{domain}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import DragFaceError
from ..files import kind_of
from ..manifest import NAME, Row, manifest_of, merge_rows, read_manifest, write_manifest
from .download import download
from .gallery_dl import GalleryDL
from .sources import Manifest, Own, Source
from .web import Commons, Google, Openverse

SOURCES: dict[str, type[Source]] = {source.NAME: source for source in (Manifest, Commons, Openverse, Google, GalleryDL)}
SOURCES |= dict.fromkeys(("folder", "zip", "gdown"), Own)


@dataclass
class Outcome:
    """The result of one run. counts: photos by status; reasons: (file, status, sentence) of those that are not there;
    notes: what else the user should know.
    """

    counts: Counter = field(default_factory=Counter)
    reasons: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.counts.items()))
        return "\n".join([counts or "nothing found", *self.notes])


def open_source(name: str, domain: str = "", **options: Any) -> Source:
    """A source by its name. domain, options: see `Source`. Raises DragFaceError for an unknown name."""
    if name not in SOURCES:
        raise DragFaceError(f"There is no source {name!r}: use {', '.join(SOURCES)}.")
    return SOURCES[name](domain, **options)


def collect(
    source: Source,
    photos: str | Path,
    manifest: str | Path | None = None,
    query: str = "",
    limit: int | None = None,
    unlicensed: bool = False,
    progress: bool = True,
) -> Outcome:
    """Search `source`, fetch the photos into photos/{domain} and keep the manifest.

    manifest: by default photos/data_manifest.csv. limit: at most so many photos. Rows without a licence are noted down
    but not fetched unless `unlicensed`. Photos of withdrawn rows are removed. Of several photos with the same bytes the
    first is kept. Raises DragFaceError when nothing could be found because of the source or the network, when a line of
    the manifest is broken, or when the disk is full.
    """
    photos = Path(photos)
    manifest = Path(manifest) if manifest else photos / NAME
    known = read_manifest(manifest) if kind_of(manifest) == "file" else []
    source.unfinished = photos / ".unfinished"
    candidates: dict[str, tuple[Row, Path | None]] = {}
    for row, path in source.search(query, limit):
        candidates.setdefault(row.id, (row, path))
    merged = merge_rows(known, [row for row, _ in candidates.values()], searched=True)
    rows = {row.id: row for row in write_manifest(manifest, merged)}
    results = {row.id: (row, "withdrawn") for row in rows.values() if row.withdrawn and _remove(row, photos)}
    for row, _ in candidates.values():
        if row.licence == GalleryDL.LICENCE:  # the address in the manifest has expired
            rows[row.id] = replace(rows[row.id], image_url=row.image_url)
    wanted = [(rows[name], path) for name, (_, path) in candidates.items()]
    try:
        for row, status in download(wanted, photos, unlicensed, progress):
            rows[row.id], results[row.id] = row, (row, status)
        for row in _copies(rows.values()):
            _remove(row, photos)
            rows[row.id], results[row.id] = row, (row, "duplicate")
    finally:  # also when the disk is full or the user pressed stop
        write_manifest(manifest, rows.values())
    reasons = [(row.file, status, row.reason) for row, status in results.values() if row.reason]
    return Outcome(Counter(status for _, status in results.values()), reasons, source.notes)


def gather(
    photos: str | Path, name: str, domain: str, query: str = "", limit: int | None = None, **options: Any
) -> Outcome:
    """`open_source` and `collect` for a notebook: an error becomes a note, and stored photos are used."""
    try:
        return collect(open_source(name, domain, limit=limit, **options), photos, query=query, limit=limit)
    except DragFaceError as error:
        return Outcome(notes=[str(error)])


def stored_rows(photos: str | Path, domain: str = "") -> list[Row]:
    """The rows of the photos that are there, of one domain or of both."""
    rows = read_manifest(manifest_of(photos))
    return [row for row in rows if row.status == "stored" and domain in ("", row.domain)]


def withdraw(manifest: str | Path, names: Sequence[str], reason: str = "") -> list[Row]:
    """Mark photos as withdrawn for good, and every other row with the same bytes; returns their rows.

    names: ids, files or image addresses. The photo goes at the next scraping, its faces and their place in the archive
    at the next cropping. Raises DragFaceError, changing nothing, when the manifest does not know a name.
    """
    rows = read_manifest(manifest)
    named = {name: [row for row in rows if name in (row.id, row.file, row.image_url)] for name in names}
    for name in names:
        if not named[name]:
            raise DragFaceError(f"{manifest} has no photo {name!r}: give an id, a file or an image's address.")
    keys = {key for matches in named.values() for row in matches for key in (row.id, row.sha256)} - {""}
    chosen = [row for row in rows if row.id in keys or row.sha256 in keys]
    marked = [replace(row, status="withdrawn", reason=reason or "withdrawn") for row in chosen]
    write_manifest(manifest, marked)
    return marked


def _remove(row: Row, photos: Path) -> bool:
    """Remove a photo; returns whether it was there."""
    there = kind_of(row.path(photos)) == "file"
    row.path(photos).unlink(missing_ok=True)
    return there


def _copies(rows: Iterable[Row]) -> list[Row]:
    """New rows of stored photos whose bytes another row has: a withdrawn one, or one that stands before."""
    owners: dict[str, Row] = {}
    copies = []
    for row in sorted(rows, key=lambda row: not row.withdrawn):  # those withdrawn first
        hashes = {row.sha256, row.stored_sha256} - {""}
        owner = next((owners[key] for key in hashes if key in owners), None)
        if owner and row.status == "stored":
            ending = ", which was withdrawn" if owner.withdrawn else ""
            reason = f"{row.file} has the same bytes as {owner.id}{ending}."
            copies.append(replace(row, status="duplicate", reason=reason))
        elif row.status in ("stored", "withdrawn"):
            owners |= dict.fromkeys(hashes, row)
    return copies
