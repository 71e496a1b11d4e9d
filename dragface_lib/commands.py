"""The commands: options and action side by side. Each is a few lines over a room, imported when the command runs."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from .arguments import command, gate, number, option
from .errors import DragFaceError

REASONS = 5  # photos printed with the reason why they were left out
SOURCES = ("manifest", "commons", "openverse", "google", "instagram", "folder", "zip", "gdown")


COUNT = number(1, kind=int)
LOOK = option("--look", dest="generator", default="classic", metavar="NAME", help="classic (the default) or goth")
WEIGHTS = option("--weights", dest="generator", default="classic", metavar="FILE", help="a generator file")
STRENGTH = option("--strength", type=number(0, 1.5), default=1.0, help="0 leaves the photo as it is, 1.5 is the most")
DOMAIN = option("--domain", choices=("selfie", "drag"), default="selfie", help="what the photos show (default: selfie)")
MANIFEST = option("--manifest", metavar="CSV", help="default: the workspace's, else DRAGFACE_MANIFEST or the project's")


@command(
    option("photos", nargs="+", metavar="PHOTO", help="photos, or one folder or zip of them"),
    option("-o", "--output", required=True, metavar="OUT", help="a file for one photo; a folder or zip for several"),
    option("--crop-only", action="store_true", help="write the aligned 256 px face instead"),
    *(LOOK, WEIGHTS, STRENGTH),
)
def run_transform(options: Namespace) -> None:
    """Put the faces of photos into drag."""
    from .showcase.folders import holds_photos, transform_all
    from .showcase.looks import load_look

    generator = None if options.crop_only else load_look(options.generator)
    source = options.photos[0] if len(options.photos) == 1 else options.photos
    many = source is not options.photos and holds_photos(source)
    result = transform_all(source, options.output, generator, options.strength, options.crop_only, progress=many)
    left_out = f", {len(result.left_out)} photos left out" if result.left_out else ""
    print(f"{len(result.pictures)} pictures in {options.output}{left_out}." if many else options.output)
    if result.left_out and not many:
        raise DragFaceError(" ".join(reason for _, reason in result.left_out))


@command(
    option("photo", nargs="?", help="default: the public-domain astronaut portrait of scikit-image"),
    option("-o", "--output", default="out/before_after.jpg", metavar="OUT"),
    *(LOOK, WEIGHTS),
)
def run_demo(options: Namespace) -> None:
    """Write a before/after picture of one photo."""
    from .showcase import provenance
    from .showcase.looks import load_look
    from .showcase.transform import example_photo, make_drag

    drag = make_drag(options.photo or example_photo(), load_look(options.generator))
    provenance.save(options.output, drag.before_after(), drag.look)
    print(f"Before and after: {Path(options.output).resolve()}")


@command(
    option("photo", metavar="PHOTO"),
    option("--run", required=True, metavar="DIR"),
    option("-o", "--output", required=True, metavar="OUT", help=".jpg, .png: a strip; .gif, .webp: moving; .html"),
    STRENGTH,
)
def run_progression(options: Namespace) -> None:
    """Show a face through the generators that a run has kept."""
    from .showcase.pages import face_progression, save_progression

    progress = face_progression(options.photo, options.run, options.strength)
    save_progression(progress, options.output)
    print(f"{options.output}: {', '.join(progress.captions)}")


@command(
    option("photos", metavar="PHOTOS", help="folder or zip"),
    option("-o", "--output", required=True, metavar="PAGE", help="ends in .html"),
    *(LOOK, WEIGHTS, STRENGTH),
)
def run_gallery(options: Namespace) -> None:
    """Guess who: a page of everybody in drag, shuffled, names on click."""
    from .files import write_atomically
    from .showcase.looks import load_look
    from .showcase.pages import guess_who

    if Path(options.output).suffix.lower() not in (".html", ".htm"):
        raise DragFaceError(f"{options.output} is no page: end its name in .html.")
    page = guess_who(options.photos, load_look(options.generator), options.strength)
    write_atomically(options.output, page.encode())
    print(options.output)


@command(
    option("--source", choices=SOURCES, default="manifest", help="where to look (default: the manifest)"),
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
    from .scrape import collect, dry_run, open_source
    from .session import Workspace

    given = {name: getattr(options, name) or "" for name in ("domain", "query", "manifest", "cookies")}
    source, words = open_source(options.source, depth=options.depth, limit=options.limit, **given)
    nothing = DragFaceError(
        f"{options.source} has nothing that fits: use other words for --query, or another --domain."
    )
    if options.dry_run:
        rows = list(dry_run(source, words, options.limit))
        for row in rows:
            print(f"{row.image_url or row.file}  {row.licence or 'no licence stated: left out'}")
        if not rows:
            raise nothing
        counts = Counter(row.licence or "without a licence" for row in rows)
        print(f"{len(rows)} photos would be looked at: {', '.join(f'{n} {licence}' for licence, n in counts.items())}.")
        return
    photos = Path(options.output) if options.output else Workspace.open().photos
    outcome = collect(source, photos, options.manifest, words, options.limit, options.unlicensed)
    for note in outcome.notes[:REASONS]:
        print(note, file=sys.stderr)
    if not outcome.counts:
        raise nothing
    _report(outcome.counts, [reason for _, _, reason in outcome.reasons], photos, ("stored", "here", "withdrawn"))


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
    option("photos", metavar="PHOTOS"),
    option("-o", "--output", required=True, metavar="FACES"),
    DOMAIN,
    option("--manifest", metavar="CSV", help="decides splits (default: the one beside the photos, if any)"),
    option("--detector", choices=("auto", "yunet", "haar"), default="auto"),
    option("--gate", type=gate, action="append", metavar="NAME=NUMBER", help="a threshold, e.g. yaw=20"),
)
def run_crop(options: Namespace) -> None:
    """Find, align and cut out the faces of photos."""
    from .crop.dataset import crop_photos

    manifest, gates = options.manifest or _beside(options.photos), dict(options.gate or ())
    rows = crop_photos(
        options.photos, options.output, options.domain, manifest=manifest, detector=options.detector, gates=gates
    )
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
    from .manifest import find_manifest
    from .practice.dataset import practice_faces, summary

    manifest = options.manifest or (options.photos and _beside(options.photos)) or find_manifest()
    rows = practice_faces(
        options.photos, options.output, manifest, look=options.look, seed=options.seed, limit=options.limit
    )
    if not any(row.status == "kept" for row in rows):
        raise DragFaceError(f"None of the {len(rows)} photos gave a face; {rows[0].photo}: {rows[0].reason}")
    print(f"{summary(rows)} ({options.output})")


def _beside(photos: str) -> Path | None:
    """The manifest that scraping left in or above a folder of photos, if it did."""
    from .manifest import NAME

    folders = Path(photos).resolve(), Path(photos).resolve().parent
    return next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)


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


@command(settings="all")
def run_train(options: Namespace) -> None:
    """Train, or go on with, a run. An existing run keeps the settings that are not given."""
    from .train import TrainConfig, train

    kept = TrainConfig.load(options.run).as_dict() if (Path(options.run) / "config.json").exists() else {}
    given = {name: value for name, value in vars(options).items() if name in TrainConfig.__dataclass_fields__}
    if not train(TrainConfig(**kept | given)):
        raise SystemExit(130)


@command(
    option("--faces", required=True, metavar="FACES", help="folder or archive made by practice or crop"),
    option("-o", "--output", default="out/evaluation", metavar="OUT", help="folder, default out/evaluation"),
    option("--json", action="store_true", help="print one JSON object instead of the table"),
    *(LOOK, WEIGHTS),
)
def run_evaluate(options: Namespace) -> None:
    """Measure a generator on test faces: a table and a picture."""
    from .evaluate import evaluate
    from .showcase.looks import load_look

    report = evaluate(load_look(options.generator), options.faces)
    report.save(options.output)
    print(json.dumps(report.as_dict()) if options.json else report.table())
    print(f"Picture, table and a row a face: {Path(options.output).resolve()}", file=sys.stderr)


@command(
    option("weights", nargs="?", metavar="FILE", help="a generator (default: the one of --look)"),
    option("--look", default="classic", metavar="NAME", help="classic (the default) or goth"),
    option("-o", "--output", required=True, metavar="FILE", help="ends in .onnx or .safetensors"),
    option("--half", action="store_true", help="weights in half precision: half the bytes"),
)
def run_export(options: Namespace) -> None:
    """Write a generator as ONNX, for other programs, or as .safetensors."""
    from .model.export import export
    from .showcase.looks import load_look

    size = export(load_look(options.weights or options.look), options.output, options.half)
    print(f"{options.output}: {size / 1e6:.1f} MB")


@command(
    option("--steps", type=COUNT, default=10, metavar="N", help="steps to time, default 10"),
    option("--json", action="store_true", help="print one JSON object"),
    settings="step",
)
def run_bench(options: Namespace) -> None:
    """Time the training step on this machine."""
    from .train import TrainConfig
    from .train.bench import bench

    settings = {name: value for name, value in vars(options).items() if name in TrainConfig.__dataclass_fields__}
    result = bench(TrainConfig(faces="", run="", **settings | {"steps": 1}), options.steps)
    if options.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name.replace('_', ' '):>25}  {value}")


@command(
    MANIFEST,
    option("--faces", metavar="DIR", help="only photos that gave faces in this folder or archive"),
    option("--run", metavar="DIR", help="only photos that this run was trained on"),
    option("-o", "--output", metavar="FILE", help="write a page that names every photo, .html or .md"),
)
def run_credits(options: Namespace) -> None:
    """Say whose photos were used, and under which licences."""
    from .crop.splits import used_in
    from .files import write_atomically
    from .manifest import manifest_of, read_manifest
    from .scrape import credits, credits_page
    from .session import Workspace
    from .train import TrainConfig

    formats = {".html": "html", ".htm": "html", ".md": "md"}
    kind = formats.get(Path(options.output or "-.md").suffix.lower())
    if not kind:
        raise DragFaceError(f"{options.output} has neither the suffix .html nor .md: end it in one of them.")
    rows = read_manifest(options.manifest or manifest_of(Workspace.open().photos))
    faces = TrainConfig.load(options.run).faces if options.run else options.faces
    rows = [row for row in (used_in(faces, rows) if faces else rows) if row.status in ("", "stored")]
    if options.output:
        write_atomically(options.output, credits_page(rows, kind).encode())
        print(f"{len(rows)} photos are credited in {options.output}.")
    else:
        print(*credits(rows), sep="\n")
