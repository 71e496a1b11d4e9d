"""The commands: each a few lines over a room of the library, which is imported when it is needed.

`__main__.py` reads the options that they are given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import DragFaceError

REASONS = 5  # printed of photos that came to nothing


def run_transform(options: argparse.Namespace) -> None:
    """Put the faces of photos into drag."""
    from .images import save_photo
    from .showcase import crop_only, make_drag, provenance
    from .showcase.folders import outputs_of
    from .showcase.looks import load_look

    if len(options.photos) == 1 and (Path(options.photos[0]).is_dir() or options.photos[0].lower().endswith(".zip")):
        _transform_all(options)
        return
    outputs = outputs_of(options.photos, options.output)
    originals = {Path(photo).resolve() for photo in options.photos}
    for output in outputs:
        if output.resolve() in originals:
            raise DragFaceError(f"{output} is one of the photos themselves: name another file or folder.")
    generator = None if options.crop_only else load_look(options.generator)
    failures = []
    for photo, output in zip(options.photos, outputs, strict=True):
        try:
            if options.crop_only:
                faces = crop_only(photo)
                for number, face in enumerate(faces):
                    save_photo(output.with_stem(f"{output.stem}_{number + 1}") if number else output, face)
            else:
                drag = make_drag(photo, generator)
                provenance.save(output, drag.at(options.strength), drag.look)
            print(output, file=sys.stderr)
        except DragFaceError as error:
            failures.append(str(error))
    if failures:
        raise DragFaceError(" ".join(failures))


def _transform_all(options: argparse.Namespace) -> None:
    from .showcase.folders import transform_all
    from .showcase.looks import load_look

    generator = None if options.crop_only else load_look(options.generator)
    outcome = transform_all(options.photos[0], options.output, generator, options.strength, options.crop_only)
    left_out = f", {len(outcome.left_out)} photos left out" if outcome.left_out else ""
    print(f"{len(outcome.made)} pictures in {options.output}{left_out}.")


def run_demo(options: argparse.Namespace) -> None:
    """Write a before/after picture of one photo."""
    from .images import open_photo
    from .showcase import before_after, make_drag, provenance
    from .showcase.looks import load_look

    if options.photo:
        photo = open_photo(options.photo)
    else:
        from skimage import data

        photo = data.astronaut()
    drag = make_drag(photo, load_look(options.generator))
    provenance.save(options.output, before_after(photo, drag.at()), drag.look)
    print(f"Before and after: {Path(options.output).resolve()}")


def run_progression(options: argparse.Namespace) -> None:
    """Show a face through the generators that a run has kept."""
    from .showcase.progression import face_progression, save_progression

    found = face_progression(options.photo, options.run, options.strength)
    save_progression(found, options.output)
    print(f"{options.output}: steps {', '.join(f'{step:,}' for step in found.steps[1:])}")


def run_gallery(options: argparse.Namespace) -> None:
    """Guess who: a page of everybody in drag, shuffled, names on click."""
    from .files import write_atomically
    from .showcase.gallery import guess_who
    from .showcase.looks import load_look

    if Path(options.output).suffix.lower() not in (".html", ".htm"):
        raise DragFaceError(f"{options.output} is no page: end its name in .html.")
    page = guess_who(options.photos, load_look(options.generator), options.strength)
    write_atomically(options.output, page.encode())
    print(options.output)


def run_scrape(options: argparse.Namespace) -> None:
    """Find licensed photos, note down whose they are, and fetch them."""
    from .scrape import collect, dry_run, open_source
    from .workspace import Workspace

    given = {name: getattr(options, name) or "" for name in ("domain", "query", "manifest", "cookies")}
    source, words = open_source(options.source, depth=options.depth, limit=options.limit, **given)
    nothing = DragFaceError(
        f"{options.source} has nothing that fits: use other words for --query, or another --domain."
    )
    if options.dry_run:
        licences: dict[str, int] = {}
        for row in dry_run(source, words, options.limit):
            print(f"{row.image_url or row.file}  {row.licence or 'no licence stated: left out'}")
            licences[row.licence] = licences.get(row.licence, 0) + 1
        if not licences:
            raise nothing
        counts = ", ".join(f"{count} {licence or 'without a licence'}" for licence, count in licences.items())
        print(f"{sum(licences.values())} photos would be looked at: {counts}.")
        return
    photos = Path(options.output) if options.output else Workspace.open().photos
    outcome = collect(source, photos, options.manifest, words, options.limit, options.unlicensed)
    for note in outcome.notes[:REASONS]:
        print(note, file=sys.stderr)
    if not outcome.counts:
        raise nothing
    _report(outcome.counts, [reason for _, _, reason in outcome.reasons], photos, ("stored", "here", "withdrawn"))


def run_withdraw(options: argparse.Namespace) -> None:
    """Mark photos whose people or authors take them back."""
    from .manifest import manifest_of
    from .scrape import withdraw
    from .workspace import Workspace

    manifest = options.manifest or manifest_of(Workspace.open().photos)
    for row in withdraw(manifest, options.photos, options.reason or ""):
        print(f"{row.id} is withdrawn ({row.reason}): its photo goes at the next scrape, its faces at the next crop.")


def run_crop(options: argparse.Namespace) -> None:
    """Find, align and cut out the faces of photos."""
    from .crop.dataset import crop_photos

    rows = crop_photos(
        options.photos,
        options.output,
        options.domain,
        manifest=options.manifest or _beside(options.photos),
        detector=options.detector,
        gates=dict(options.gate or ()),
    )
    _summarise(rows, Path(options.output), ("kept",))


def run_practice(options: argparse.Namespace) -> None:
    """Make practice faces: half of the people as they are, half in painted drag."""
    from .manifest import find_manifest
    from .practice.dataset import practice_faces, summary

    rows = practice_faces(
        options.photos,
        options.output,
        options.manifest or (options.photos and _beside(options.photos)) or find_manifest(),
        look=options.look,
        seed=options.seed,
        limit=options.limit,
    )
    if not any(row.status == "kept" for row in rows):
        raise DragFaceError(f"None of the {len(rows)} photos gave a face; {rows[0].photo}: {rows[0].reason}")
    print(f"{summary(rows)} ({options.output})")


def _beside(photos: str) -> Path | None:
    """The manifest that scraping left in or above a folder of photos, if it did."""
    from .manifest import NAME

    folders = Path(photos).resolve(), Path(photos).resolve().parent
    return next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)


def _summarise(rows: Sequence, folder: Path, good: Sequence[str]) -> None:
    """Print how many rows have which status, and why the first of the others have theirs; an error if all do."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.status] = counts.get(row.status, 0) + 1
    reasons = [
        f"{getattr(row, 'photo', '')}: {row.reason}".removeprefix(": ") for row in rows if row.status not in good
    ]
    _report(counts, reasons, folder, good)


def _report(counts: Mapping[str, int], reasons: Sequence[str], folder: Path, good: Sequence[str]) -> None:
    summary = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()) if count) + f" ({folder})"
    if reasons and not any(counts.get(status) for status in good):
        raise DragFaceError(f"Nothing came of it: {summary}. The first reason: {reasons[0]}")
    for reason in reasons[:REASONS]:
        print(reason, file=sys.stderr)
    if len(reasons) > REASONS:
        print(f"and {len(reasons) - REASONS} more", file=sys.stderr)
    print(summary)


def run_landmarks(options: argparse.Namespace) -> None:
    """Train the landmark network on photos with .tem files."""
    from .crop.landmark_training import train_landmarks

    settings = {"minutes": options.minutes, "seed": options.seed, "precision": options.precision}
    print(train_landmarks(options.photos, options.output, start=options.weights, **settings))


def run_train(options: argparse.Namespace) -> None:
    """Train, or go on with, a run."""
    from .train import TrainConfig, train

    run = Path(options.run) / "config.json"
    settings = TrainConfig.load(options.run).as_dict() if run.exists() else {}  # a run keeps its settings
    settings |= {name: value for name, value in vars(options).items() if name in TrainConfig.__dataclass_fields__}
    if not train(TrainConfig(**settings)):
        raise SystemExit(130)


def run_evaluate(options: argparse.Namespace) -> None:
    """Measure a generator on test faces: a table and a picture."""
    from .evaluate import evaluate
    from .showcase.looks import load_look

    report = evaluate(load_look(options.generator), options.faces)
    report.save(options.output)
    print(json.dumps(report.as_dict()) if options.json else report.table())
    print(f"Picture, table and a row a face: {Path(options.output).resolve()}", file=sys.stderr)


def run_export(options: argparse.Namespace) -> None:
    """Write a generator as ONNX, for other programs, or as .safetensors."""
    from .model.export import export
    from .showcase.looks import load_look

    size = export(load_look(options.weights or options.look), options.output, options.half)
    print(f"{options.output}: {size / 1e6:.1f} MB")


def run_bench(options: argparse.Namespace) -> None:
    """Time the training step on this machine."""
    from .train import TrainConfig
    from .train.bench import bench

    given = {name: value for name, value in vars(options).items() if name in TrainConfig.__dataclass_fields__}
    steps = given.pop("steps", 10)
    if steps < 1:
        raise DragFaceError(f"steps is {steps}: use 1 or more.")
    found = bench(TrainConfig(faces="", run="", **given), steps)
    if options.json:
        print(json.dumps(found))
    else:
        parts = found.pop("seconds_by_part")
        for name, value in (found | {f"seconds in {part}": value for part, value in parts.items()}).items():
            print(f"{name.replace('_', ' '):>25}  {value}")


def run_credits(options: argparse.Namespace) -> None:
    """Say whose photos were used, and under which licences."""
    from .files import write_atomically
    from .manifest import manifest_of, read_manifest
    from .scrape import credits, credits_page
    from .workspace import Workspace

    faults: list[str] = []
    rows = read_manifest(options.manifest or manifest_of(Workspace.open().photos), faults)
    for fault in faults:
        print(fault, file=sys.stderr)
    if options.run:
        from .train import TrainConfig

        options.faces = TrainConfig.load(options.run).faces
    if options.faces:
        from .crop.splits import used_in

        rows = used_in(options.faces, rows)
    rows = [row for row in rows if row.status in ("", "stored")]
    if not options.output:
        for line in credits(rows):
            print(line)
        return
    formats = {".html": "html", ".htm": "html", ".md": "md"}
    format = formats.get(Path(options.output).suffix.lower())
    if not format:
        raise DragFaceError(f"{options.output} has neither the suffix .html nor .md: end it in one of them.")
    write_atomically(options.output, credits_page(rows, format).encode())
    print(f"{len(rows)} photos are credited in {options.output}.")
