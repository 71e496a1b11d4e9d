"""The commands for photos and faces. Each is a few lines over a room, imported when the command runs."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from .arguments import COUNT, command, option
from .errors import DragFaceError

REASONS = 5  # photos printed with the reason why they were left out
DOMAIN = option("--domain", choices=("selfie", "drag"), default="selfie", help="what the photos show (default: selfie)")
SOURCE_NAMES = "manifest (the default), commons, openverse, google, instagram, folder, zip or gdown"
MANIFEST = option("--manifest", metavar="CSV", help="default: the workspace's, else DRAGFACE_MANIFEST or the project's")


@command(
    option("--source", metavar="NAME", default="manifest", help=SOURCE_NAMES),
    option("--query", metavar="TEXT", help="words; for commons also Category:NAME; for folder, zip a path"),
    option("--domain", choices=("selfie", "drag"), help="what the photos show (default: selfie)"),
    option("--limit", type=COUNT, metavar="N", help="at most so many photos"),
    option("--manifest", metavar="CSV", help="kept up to date (default: PHOTOS/data_manifest.csv)"),
    option("--depth", type=int, default=1, metavar="N", help="levels of subcategories on commons, default 1"),
    option("--cookies", metavar="FILE", help="of your own account, for instagram and the like"),
    option("--unlicensed", action="store_true", help="fetch photos without a licence too"),
    option("--dry-run", action="store_true", help="only list what would be fetched"),
    option("-o", "--output", metavar="PHOTOS", help="default: the workspace's folder of photos"),
)
def run_scrape(options: Namespace) -> None:
    """Find licensed photos, note down whose they are, and fetch them."""
    from .scrape import collect, open_source
    from .session import Workspace

    given = {name: getattr(options, name) for name in ("manifest", "cookies", "depth", "limit")}
    source, query = open_source(options.source, options.domain or "", **given), options.query or ""
    if options.dry_run:
        rows = [row for row, _ in source.search(query, options.limit) if not row.withdrawn]
        for row in rows:
            print(f"{row.image_url or row.file}  {row.licence or 'no licence stated: left out'}")
        counts: Counter[str] = Counter(row.licence or "without a licence" for row in rows)
    else:
        photos = Path(options.output) if options.output else Workspace.open().photos
        outcome = collect(source, photos, options.manifest, query, options.limit, options.unlicensed)
        print(*outcome.notes[:REASONS], sep="\n", end="\n" * bool(outcome.notes), file=sys.stderr)
        counts = outcome.counts
    if not counts:
        raise DragFaceError(
            f"{options.source} has nothing that fits: use other words for --query, or another --domain."
        )
    if options.dry_run:
        print(f"{len(rows)} photos would be looked at: {', '.join(f'{n} {licence}' for licence, n in counts.items())}.")
    else:
        _report(counts, [reason for _, _, reason in outcome.reasons], photos, ("stored", "here", "withdrawn"))


@command(
    option("photos", nargs="+", metavar="PHOTO", help="an id, file or image address of the manifest"),
    *(option("--reason", metavar="TEXT"), MANIFEST),
)
def run_withdraw(options: Namespace) -> None:
    """Mark photos whose people or authors take them back."""
    from .manifest import manifest_of
    from .scrape import withdraw
    from .session import Workspace

    manifest = options.manifest or manifest_of(Workspace.open().photos)
    for row in withdraw(manifest, options.photos, options.reason or ""):
        print(f"{row.id} is withdrawn ({row.reason}): its photo goes at the next scrape, its faces at the next crop.")


@command(
    MANIFEST,
    option("--faces", metavar="DIR", help="only photos that gave faces in this folder or archive"),
    option("--run", metavar="DIR", help="only photos that this run was trained on"),
    option("-o", "--output", metavar="FILE", help="write a page in HTML that names every photo"),
)
def run_credits(options: Namespace) -> None:
    """Say whose photos were used, and under which licences."""
    from .crop.table import used_in
    from .files import reserve, write_atomically
    from .manifest import manifest_of, read_manifest
    from .scrape import credits, credits_page
    from .session import Workspace
    from .train import TrainConfig

    manifest = options.manifest or manifest_of(Workspace.open().photos)
    if options.output:
        reserve(options.output, manifest, *filter(None, [options.faces, options.run]))
    rows = read_manifest(manifest)
    faces = TrainConfig.load(options.run).faces if options.run else options.faces
    rows = [row for row in (used_in(faces, rows) if faces else rows) if row.status in ("", "stored")]
    if options.output:
        write_atomically(options.output, credits_page(rows).encode())
        print(f"{len(rows)} photos are credited in {options.output}.")
    else:
        print(*credits(rows), sep="\n")


@command(
    option("photos", metavar="PHOTOS"),
    option("-o", "--output", required=True, metavar="FACES"),
    DOMAIN,
    option("--manifest", metavar="CSV", help="decides splits (default: the one beside the photos, if any)"),
    option("--detector", choices=("auto", "yunet", "haar"), default="auto"),
    option("--gate", action="append", metavar="NAME=NUMBER", help="a threshold, e.g. yaw=20"),
)
def run_crop(options: Namespace) -> None:
    """Find, align and cut out the faces of photos."""
    from .crop.dataset import crop_photos
    from .crop.quality import changed_gates
    from .manifest import manifest_beside

    manifest, gates = options.manifest or manifest_beside(options.photos), changed_gates(" ".join(options.gate or ()))
    rows = crop_photos(options.photos, options.output, options.domain, manifest, options.detector, gates=gates)
    reasons = [f"{row.photo}: {row.reason}" for row in rows if row.status != "kept"]
    _report(Counter(row.status for row in rows), reasons, Path(options.output), ("kept",))


@command(
    option("-o", "--output", required=True, metavar="FACES"),
    option("--photos", metavar="DIR", help="default: the manifest's own selfies, once they are downloaded"),
    option("--manifest", metavar="CSV", help="default: DRAGFACE_MANIFEST, else data_manifest.csv"),
    option("--look", default="classic", metavar="NAME", help="classic (the default), neon, goth or glitter"),
    option("--seed", type=int, default=0, metavar="N"),
    option("--limit", type=COUNT, metavar="N", help="only so many photos"),
)
def run_practice(options: Namespace) -> None:
    """Make practice faces: half of the people as they are, half in painted drag."""
    from .manifest import manifest_of
    from .practice import practice_faces

    photos, manifest = options.photos, options.manifest
    manifest = manifest or manifest_of(photos)
    rows = practice_faces(photos, options.output, manifest, options.look, options.seed, options.limit)
    counts = Counter(f"{row.domain}/{row.split}" if row.status == "kept" else row.status for row in rows)
    reasons = [f"{row.photo}: {row.reason}" for row in rows if row.status != "kept"]
    _report(counts, reasons, Path(options.output), [f"{row.domain}/{row.split}" for row in rows])


def _report(counts: Mapping[str, int], reasons: Sequence[str], folder: Path, good: Sequence[str]) -> None:
    """Print how many photos have which status and the first reasons; an error where none has a good status."""
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count) + f" ({folder})"
    if reasons and not any(counts.get(status) for status in good):
        raise DragFaceError(f"Nothing came of it: {summary}. The first reason: {reasons[0]}")
    for reason in reasons[:REASONS]:
        print(reason, file=sys.stderr)
    if len(reasons) > REASONS:
        print(f"and {len(reasons) - REASONS} more", file=sys.stderr)
    print(summary)
