"""One run of scraping: search, fetch, note down. It may be killed at any moment and run again.

    outcome = collect(open_source("commons", "drag")[0], space.photos, query="Category:Drag queens", limit=300)
    outcome.counts, outcome.reasons

photos/data_manifest.csv says where each photo is from and what became of it; photos lie in photos/{domain}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from ..errors import DragFaceError
from ..manifest import NAME, Row, manifest_of, merge_rows, read_manifest, write_manifest
from ..network import NetworkError
from .download import Result, download
from .gallery_dl import GalleryDL
from .sources import Drive, Folder, Manifest, Source, Zip
from .web import Commons, Google, Openverse

NEEDS = {  # every source by name, and what the user has to bring for it
    "manifest": "nothing: the project's own licensed selfies; a query is words of title or author",
    "commons": "nothing; a query is words, or Category:NAME",
    "openverse": "nothing, for a few queries an hour; for more OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET",
    "google": "keys that Google no longer gives, and ends with 2026: use openverse or commons instead",
    "instagram": "a file of cookies, and permission; a query is @profile, #hashtag or what gallery-dl knows",
    "folder": "a query that is the path of a folder of photos",
    "zip": "a query that is the path of a zip of photos",
    "gdown": "a query that is the link of a shared Drive folder, photo or zip",
}
SAVE_EVERY = 100  # photos; a lost session loses what is known of so many


@dataclass
class Outcome:
    """What one run came to. counts: photos by status; reasons: (file, status, sentence) of those that are not there;
    notes: what else the user should know.
    """

    manifest: Path
    counts: Counter = field(default_factory=Counter)
    reasons: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.counts.items()))
        return "\n".join([counts or "nothing found", *self.notes])


def open_source(
    name: str,
    domain: str = "",
    query: str = "",
    manifest: str | Path | None = None,
    cookies: str | Path = "",
    depth: int = 1,
    limit: int | None = None,
) -> tuple[Source, str]:
    """A source by its name, and the words that its `search` is to be given. Raises DragFaceError for an unknown name.

    domain: of what is found, by default selfie; of a manifest only these rows. query: of folder, zip and gdown, where
    the photos are. cookies: for instagram, which also asks for no more than `limit` files. depth: levels of
    subcategories, for commons.
    """
    if name not in NEEDS:
        raise DragFaceError(f"There is no source {name!r}: use {', '.join(NEEDS)}.")
    if name == "manifest":
        return Manifest(manifest, domain), query
    domain = domain or "selfie"
    if name in ("folder", "zip", "gdown"):
        if not query.strip():
            raise DragFaceError(f"{name} needs {NEEDS[name]}.")
        return {"folder": Folder, "zip": Zip, "gdown": Drive}[name](query, domain), ""
    if name == "instagram":
        return GalleryDL(domain, cookies, limit or 1000), query
    if name == "commons":
        return Commons(domain, depth), query
    return {"openverse": Openverse, "google": Google}[name](domain), query


def collect(
    source: Source,
    photos: str | Path,
    manifest: str | Path | None = None,
    query: str = "",
    limit: int | None = None,
    unlicensed: bool = False,
    progress: bool = True,
) -> Outcome:
    """Search `source`, fetch what it finds into photos/{domain} and keep the manifest.

    manifest: by default photos/data_manifest.csv. limit: at most so many photos. Rows without a licence are noted down
    but not fetched unless `unlicensed`. Photos of withdrawn rows are removed. Of several photos with the same bytes the
    first is kept. Raises DragFaceError when nothing could be found because of the source or the network, when a line of
    the manifest is broken, or when the disk is full.
    """
    photos = Path(photos)
    outcome = Outcome(Path(manifest) if manifest else photos / NAME)
    known = read_manifest(outcome.manifest) if outcome.manifest.is_file() else []
    found: dict[str, tuple[Row, Path | None]] = {}
    try:
        for row, path in islice(source.each(query), limit):
            found.setdefault(row.id, (row, path))
    except NetworkError as error:
        if not found:
            raise
        outcome.notes.append(f"The search ended early: {error}")
    outcome.notes += source.notes
    merged = merge_rows(known, [row for row, _ in found.values()], searched=True)
    rows = {row.id: row for row in write_manifest(outcome.manifest, merged)}
    results = _remove_withdrawn(rows, photos)
    for row, _ in found.values():
        if row.licence == GalleryDL.LICENCE:  # the address in the manifest has expired
            rows[row.id] = replace(rows[row.id], image_url=row.image_url)
    wanted = [(rows[name], path) for name, (_, path) in found.items()]
    try:
        for number, result in enumerate(download(wanted, photos, unlicensed, progress), 1):
            results[result.row.id] = result
            rows[result.row.id] = result.row
            if number % SAVE_EVERY == 0:
                write_manifest(outcome.manifest, rows.values())
        _remove_copies(rows, results, photos)
    finally:  # also when the disk is full or the user pressed stop
        write_manifest(outcome.manifest, rows.values())
    outcome.counts.update(result.status for result in results.values())
    outcome.reasons += [(row.file, status, row.reason) for row, status in results.values() if row.reason]
    return outcome


def gather(
    photos: str | Path, name: str, domain: str, query: str = "", cookies: str | Path = "", limit: int | None = None
) -> Outcome:
    """`open_source` and `collect` for a notebook: what stops them becomes a note, and what is there already is used."""
    try:
        source, words = open_source(name, domain, query, cookies=cookies, limit=limit)
        return collect(source, photos, query=words, limit=limit)
    except DragFaceError as error:
        return Outcome(Path(photos) / NAME, notes=[str(error)])


def stored_rows(photos: str | Path, domain: str = "") -> list[Row]:
    """The rows of the photos that are there, of one domain or of both."""
    rows = read_manifest(manifest_of(photos))
    return [row for row in rows if row.status == "stored" and domain in ("", row.domain)]


def dry_run(source: Source, query: str = "", limit: int | None = None) -> Iterator[Row]:
    """What `collect` would fetch, without writing anything."""
    return (row for row, _ in islice(source.each(query), limit) if not row.withdrawn)


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
    merged = {row.id: row for row in write_manifest(manifest, marked)}
    return [merged[row.id] for row in marked]


def _remove_withdrawn(rows: dict[str, Row], photos: Path) -> dict[str, Result]:
    """Remove the photos of withdrawn rows; returns a result for each that was there."""
    gone = [row for row in rows.values() if row.withdrawn and row.path(photos).is_file()]
    for row in gone:
        row.path(photos).unlink()
    return {row.id: Result(row, "withdrawn") for row in gone}


def _remove_copies(rows: dict[str, Row], results: dict[str, Result], photos: Path) -> None:
    """Remove photos whose bytes another row has: one that was withdrawn, or one that stands before it."""
    first = {row.sha256: row for row in rows.values() if row.withdrawn}
    for row in list(rows.values()):
        if row.status == "stored" and (same := first.setdefault(row.sha256 or row.id, row)) is not row:
            row.path(photos).unlink(missing_ok=True)
            reason = f"{row.file} has the same bytes as {same.id}{', which was withdrawn' if same.withdrawn else ''}."
            rows[row.id] = replace(row, status="duplicate", reason=reason)
            results[row.id] = Result(rows[row.id], "duplicate")
