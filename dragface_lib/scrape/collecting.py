"""One run of scraping: search, note down, fetch, look for copies. It may be killed at any moment and run again.

    outcome = collect(open_source("commons", "drag"), space.photos, query="Category:Drag queens", limit=300)
    outcome.counts, outcome.reasons

Every row that was found is written into photos/data_manifest.csv before its photo is fetched, and what became of it
afterwards; photos lie in photos/{domain}.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from ..duplicates import near_duplicates
from ..errors import DragFaceError
from ..images import UnreadablePhoto
from ..manifest import DOMAINS, NAME, Row, fault_of, iterate_manifest, update_manifest
from ..network import NetworkError
from .downloading import Result, each_download, look_again
from .gallery import GalleryDL
from .sources import Drive, Folder, LocalRow, Manifest, Source, Zip, digest
from .web_sources import Commons, Google, Openverse

NEEDS = {  # every source by name, and what the user has to bring for it
    "manifest": "nothing: the project's own licensed selfies; a query is words of title or author",
    "commons": "nothing; a query is words, or Category:NAME",
    "openverse": "nothing, for a few queries an hour; for more OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET",
    "google": "the secrets GOOGLE_API_KEY and GOOGLE_SEARCH_ENGINE (no new ones are given; ends with 2026)",
    "instagram": "a file of cookies, and permission; a query is @profile, #hashtag or what gallery-dl knows",
    "folder": "a query that is the path of a folder of photos",
    "zip": "a query that is the path of a zip of photos",
    "gdown": "a query that is the link of a shared Drive folder, photo or zip",
}
BATCH = 5000  # rows between two writings of the manifest
KEPT_REASONS = 1000


@dataclass
class Outcome:
    """What one run came to. counts: photos by status; reasons: (file, status, sentence) of the first that failed;
    notes: what else the user should know.
    """

    manifest: Path
    counts: Counter = field(default_factory=Counter)
    reasons: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, row: Row, status: str, reason: str) -> None:
        """Count one photo."""
        self.counts[status] += 1
        if reason and len(self.reasons) < KEPT_REASONS:
            self.reasons.append((row.file, status, reason))

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in sorted(self.counts.items()) if count)
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
    return (
        Commons(domain, depth) if name == "commons" else {"openverse": Openverse, "google": Google}[name](domain)
    ), query


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
    but not fetched unless `unlicensed`. Photos of withdrawn rows are removed. Of several rows with the same bytes the
    first keeps its photo; copies that look alike share a split group. Raises DragFaceError when nothing could be found
    because of the source or the network, or the disk is full.
    """
    photos = Path(photos)
    record = Path(manifest) if manifest else photos / NAME
    outcome = Outcome(record)
    gone = _remove_withdrawn(record, photos)
    stored: set[str] = set()
    found = islice(source.each(query), limit)
    while batch := _batch(found, outcome, first=not outcome.counts):
        known = update_manifest(record, map(_recorded, batch.values()), found=True)
        for name in batch.keys() - known.keys():
            outcome.add(batch[name], "failed", f"{name} contradicts {record}, or its line there is broken: mend it.")
        ready = [_ready(batch[name], row) for name, row in known.items()]
        changes: list[Row] = []
        try:
            for domain in DOMAINS:
                rows = [row for row in ready if row.domain == domain]
                folder = photos / domain
                results = each_download(rows, folder, 8, progress, unlicensed, len(rows)) if rows else ()
                for result in results:
                    outcome.add(result.row, result.status, result.reason)
                    gone.pop(result.row.id, None)
                    changes += _changes(result, known[result.row.id], folder)
                    stored |= {result.row.id} if result.status == "stored" else set()
        finally:  # also when the disk is full or the user pressed stop
            update_manifest(record, changes)
    for row in gone.values():
        outcome.add(row, "withdrawn", f"{row.file} was withdrawn, and was removed from {photos / row.domain}.")
    outcome.notes += getattr(source, "faults", [])
    if stored:
        keep_copies_together(record, photos, outcome, stored, progress)
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


def dry_run(source: Source, query: str = "", limit: int | None = None) -> Iterator[Row]:
    """What `collect` would fetch, without writing anything."""
    return (row for row in islice(source.each(query), limit) if not row.withdrawn)


def withdraw(manifest: str | Path, names: Sequence[str], reason: str = "") -> list[Row]:
    """Mark photos as withdrawn for good, and every other row with the same bytes; returns their rows.

    names: ids, files or image addresses. The photo goes at the next scraping, its faces and their place in the archive
    at the next cropping. Raises DragFaceError, changing nothing, when the manifest does not know a name.
    """
    wanted: dict[str, list[Row]] = {name: [] for name in names}
    for row in iterate_manifest(manifest, []):
        for name in {row.id, row.file, row.image_url} & wanted.keys():
            wanted[name].append(row)
    unknown = [name for name, rows in wanted.items() if not rows]
    if unknown:
        raise DragFaceError(f"{manifest} has no photo {unknown[0]!r}: give an id, a file or an image's address.")
    chosen = {row.id for rows in wanted.values() for row in rows}
    bytes_of = {row.sha256 for rows in wanted.values() for row in rows} - {""}
    marked = [
        Row(row.id, row.domain, row.file, status="withdrawn", reason=reason or "withdrawn")
        for row in iterate_manifest(manifest, [])
        if row.id in chosen or row.sha256 in bytes_of
    ]
    return list(update_manifest(manifest, marked).values())


def keep_copies_together(
    record: Path, photos: Path, outcome: Outcome, new: Iterable[str], progress: bool = True
) -> None:
    """Remove photos whose bytes another row has, and let copies that look alike share a split and its group.

    new: ids of the photos that were not compared yet.
    """
    changes: list[Row] = []
    first: dict[str, Row] = {}
    looked: list[Row] = []
    for row in iterate_manifest(record, []):
        if row.withdrawn:
            first.setdefault(row.sha256, row)
    for row in iterate_manifest(record, []):
        if row.status != "stored":
            continue
        same = first.setdefault(row.sha256 or row.stored_sha256 or row.id, row)
        if same.id == row.id:
            looked.append(_slim(row))
            continue
        row.path(photos).unlink(missing_ok=True)
        reason = f"{row.file} has the same bytes as {same.id}{', which was withdrawn' if same.withdrawn else ''}."
        changes.append(Row(row.id, row.domain, row.file, status="duplicate", reason=reason))
        outcome.add(row, "duplicate", reason)
        outcome.counts["stored"] -= row.id in new
    paths, only = [row.path(photos) for row in looked], [n for n, row in enumerate(looked) if row.id in new]
    for numbers in near_duplicates(paths, progress, [row.phash for row in looked], only):
        changes += _one_group([looked[number] for number in numbers], looked)
    update_manifest(record, changes)


def _one_group(copies: list[Row], rows: list[Row]) -> list[Row]:
    """The rows that change so that these copies, and whoever belongs to them, share one group and split."""
    groups = {row.split_group: None for row in copies if row.split_group}  # in their order
    together = [row for row in rows if row.split_group in groups] + [row for row in copies if not row.split_group]
    group = next(iter(groups), f"copies_of_{copies[0].id}")
    splits = {row.split for row in together}
    split = "test" if "test" in splits else "train" if "train" in splits else ""
    if splits == {split} and {row.split_group for row in together} == {group}:
        return []
    return [Row(row.id, row.domain, row.file, split=split, split_group=group) for row in together]


def _batch(found: Iterator[Row], outcome: Outcome, first: bool) -> dict[str, Row]:
    """The next rows, by id, without those that no manifest may hold."""
    batch: dict[str, Row] = {}
    try:
        for row in found:
            fault = fault_of(_recorded(row))
            if fault:
                outcome.add(row, "failed", f"What the source says of {row.id} cannot be used: {fault}.")
                continue
            batch[row.id] = row
            if len(batch) == BATCH:
                break
    except NetworkError as error:
        if first and not batch:
            raise
        outcome.notes.append(f"The search ended early: {error}")
    return batch


def _recorded(row: Row) -> Row:
    """The row as a manifest holds it: a local photo gets a file name that is good everywhere."""
    if not isinstance(row, LocalRow):
        return row
    values = {part.name: getattr(row, part.name) for part in fields(Row)}
    path = re.sub(r"[^\w. ()+/-]+|(?<![^/])[. ]+", "_", row.file)
    if path != row.file:  # what was told apart stays apart
        path = str(PurePosixPath(path).with_stem(f"{PurePosixPath(path).stem}_{row.id[-6:]}"))
    values |= {"file": f"own/{digest(row.place)}/{path}", "source": "own", "query": row.place}
    return Row(**values)


def _ready(found: Row, known: Row) -> Row:
    """The manifest's row as it is to be fetched: from where the source has it now."""
    if isinstance(found, LocalRow):
        values = {part.name: getattr(known, part.name) for part in fields(Row)}
        return LocalRow(**values | {"source": found.source, "place": found.place, "bytes": found.bytes})
    return replace(known, image_url=found.image_url) if known.licence == GalleryDL.LICENCE else known


def _changes(result: Result, known: Row, folder: Path) -> list[Row]:
    """What the manifest learns from one result; nothing where it knows it all."""
    status, learned = ("stored" if result.ok else result.status), result.learned
    if result.status == "here" and not known.stored_sha256:
        try:
            learned = look_again(folder / known.file)
        except UnreadablePhoto as error:
            status, learned = "failed", {"reason": str(error)}
    if (status, result.reason) == (known.status, known.reason) and not learned:
        return []
    return [Row(known.id, known.domain, known.file, **{"status": status, "reason": result.reason, **learned})]


def _remove_withdrawn(record: Path, photos: Path) -> dict[str, Row]:
    """Remove the photos of withdrawn rows; returns the rows whose photo was there, by id."""
    rows = iterate_manifest(record, []) if record.is_file() else ()
    gone = {row.id: row for row in rows if row.withdrawn and row.path(photos).is_file()}
    for row in gone.values():
        row.path(photos).unlink()
    return gone


def _slim(row: Row) -> Row:
    """What looking for copies needs of a row: there may be a hundred thousand."""
    return Row(row.id, row.domain, row.file, split=row.split, split_group=row.split_group, phash=row.phash)
