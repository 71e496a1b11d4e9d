"""The command line: `python -m dragface_lib COMMAND --help`.

Every command is a few lines over a room of the library. What a user can mend ends with one line on stderr
and exit code 2.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from .errors import DragFaceError

STRENGTHS = (0.0, 1.5)
SOURCES = ("manifest", "commons", "openverse", "google", "instagram", "folder", "zip", "gdown")
REASONS = 5  # printed of photos that came to nothing


def _transform(options: argparse.Namespace) -> None:
    from .images import save_photo
    from .model import load_generator
    from .showcase import crop_only, make_drag, provenance

    if len(options.photos) == 1 and (Path(options.photos[0]).is_dir() or options.photos[0].lower().endswith(".zip")):
        _transform_all(options)
        return
    outputs = _outputs(options.photos, options.output)
    originals = {Path(photo).resolve() for photo in options.photos}
    for output in outputs:
        if output.resolve() in originals:
            raise DragFaceError(f"{output} is one of the photos themselves: name another file or folder.")
    generator = None if options.crop_only else load_generator(options.weights) if options.weights else None
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
    from .model import load_generator
    from .showcase.folders import transform_all

    generator = load_generator(options.weights) if options.weights and not options.crop_only else None
    outcome = transform_all(options.photos[0], options.output, generator, options.strength, options.crop_only)
    left_out = f", {len(outcome.left_out)} photos left out" if outcome.left_out else ""
    print(f"{len(outcome.made)} pictures in {options.output}{left_out}.")


def _outputs(photos: Sequence[str], output: str) -> list[Path]:
    """Where each photo's result goes: OUT itself for one photo, a file of the photo's name in it for several.

    In a folder a PNG photo becomes a PNG, any other a JPEG.
    """
    path = Path(output)
    suffixes = (".jpg", ".jpeg", ".png", ".webp")
    if len(photos) == 1 and not path.is_dir():
        if path.suffix.lower() not in suffixes:
            raise DragFaceError(f"{output} has no picture suffix: end it in .jpg, .png or .webp.")
        return [path]
    if path.is_file() or path.suffix.lower() in suffixes:
        raise DragFaceError(f"{output} is a file, and several photos need a folder: name a folder.")
    names: list[str] = []
    for photo in photos:
        stem, number = Path(photo).stem, 2
        name = stem
        while name in names:
            name, number = f"{stem}_{number}", number + 1
        names.append(name)
    kinds = [".png" if Path(photo).suffix.lower() == ".png" else ".jpg" for photo in photos]
    return [path / (name + kind) for name, kind in zip(names, kinds, strict=True)]


def _demo(options: argparse.Namespace) -> None:
    from .images import open_photo
    from .showcase import before_after, make_drag, provenance

    if options.photo:
        photo = open_photo(options.photo)
    else:
        from skimage import data

        photo = data.astronaut()
    drag = make_drag(photo)
    provenance.save(options.output, before_after(photo, drag.at()), drag.look)
    print(f"Before and after: {Path(options.output).resolve()}")


def _progression(options: argparse.Namespace) -> None:
    from .showcase.progression import face_progression, save_progression

    found = face_progression(options.photo, options.run, options.strength)
    save_progression(found, options.output)
    print(f"{options.output}: steps {', '.join(f'{step:,}' for step in found.steps[1:])}")


def _gallery(options: argparse.Namespace) -> None:
    from .files import write_atomically
    from .model import load_generator
    from .showcase.gallery import guess_who

    if Path(options.output).suffix.lower() not in (".html", ".htm"):
        raise DragFaceError(f"{options.output} is no page: end its name in .html.")
    generator = load_generator(options.weights) if options.weights else None
    write_atomically(options.output, guess_who(options.photos, generator, options.strength).encode())
    print(options.output)


def _scrape(options: argparse.Namespace) -> None:
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


def _withdraw(options: argparse.Namespace) -> None:
    from .manifest import manifest_of
    from .scrape import withdraw
    from .workspace import Workspace

    manifest = options.manifest or manifest_of(Workspace.open().photos)
    for row in withdraw(manifest, options.photos, options.reason or ""):
        print(f"{row.id} is withdrawn ({row.reason}): its photo goes at the next scrape, its faces at the next crop.")


def _crop(options: argparse.Namespace) -> None:
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


def _practice(options: argparse.Namespace) -> None:
    from .manifest import find_manifest
    from .practice.dataset import practice_faces, summary

    rows = practice_faces(
        options.photos,
        options.output,
        options.manifest or (options.photos and _beside(options.photos)) or find_manifest(),
        look=options.look,
        seed=options.seed,
        wigs=options.wigs,
        stages=options.stages,
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


def _landmarks(options: argparse.Namespace) -> None:
    from .crop.landmark_training import train_landmarks

    print(train_landmarks(options.photos, options.output, options.minutes, options.seed, options.weights))


def _train(options: argparse.Namespace) -> None:
    from .train import TrainConfig, train

    run = Path(options.run) / "config.json"
    settings = TrainConfig.load(options.run).as_dict() if run.exists() else {}  # a run keeps its settings
    settings |= {name: value for name, value in vars(options).items() if name in TrainConfig.__dataclass_fields__}
    if not train(TrainConfig(**settings)):
        raise SystemExit(130)


def _evaluate(options: argparse.Namespace) -> None:
    from .model import load_generator, starter_path
    from .train.config import choose_device
    from .train.report import evaluate

    generator = load_generator(options.weights or starter_path()).to(choose_device("auto"))
    report = evaluate(generator, options.faces)
    report.save(options.output)
    print(json.dumps(report.as_dict()) if options.json else report.table())
    print(f"Picture, table and a row a face: {Path(options.output).resolve()}", file=sys.stderr)


def _export(options: argparse.Namespace) -> None:
    from .model import load_generator, starter_path
    from .showcase.export import export

    size = export(load_generator(options.weights or starter_path()), options.output, options.half)
    print(f"{options.output}: {size / 1e6:.1f} MB")


def _bench(options: argparse.Namespace) -> None:
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


def _credits(options: argparse.Namespace) -> None:
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
        rows = _used(rows, options.faces)
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


def _used(rows: Sequence, faces: str) -> list:
    """The manifest's rows whose photos gave the faces in a folder or archive."""
    from .crop.dataset import read_crops

    with tempfile.TemporaryDirectory() as folder:
        if zipfile.is_zipfile(faces):
            with zipfile.ZipFile(faces) as archive, suppress(KeyError):
                Path(folder, "crops.csv").write_bytes(archive.read("crops.csv"))
        kept = [crop for crop in read_crops(folder if Path(faces).is_file() else faces) if crop.status == "kept"]
    if not kept:
        raise DragFaceError(f"{faces} does not say which photos its faces come from: name a folder with a crops.csv.")
    hashes, files = {crop.sha256 for crop in kept} - {""}, {crop.photo for crop in kept}
    return [row for row in rows if {row.sha256, row.stored_sha256} & hashes or row.file in files]


class _Parser(argparse.ArgumentParser):
    """Says what it did not understand in one line, without repeating every option."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"dragface: {' '.join(message.split())}: see {self.prog} --help.\n")


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = _Parser(prog="dragface_lib", description="From licensed photos to a selfie in drag.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None], help: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=help, description=help[0].upper() + help[1:] + ".")
        sub.set_defaults(run_command=run)
        return sub

    sub = command("transform", _transform, "put the faces of photos into drag")
    sub.add_argument("photos", nargs="+", metavar="PHOTO", help="photos, or one folder or zip of them")
    sub.add_argument(
        "-o", "--output", required=True, metavar="OUT", help="a file for one photo, a folder or zip for several"
    )
    sub.add_argument("--weights", metavar="FILE", help="generator to use (default: the starter that comes along)")
    sub.add_argument("--strength", type=_strength, default=1.0, help="0 leaves the photo as it is, 1.5 is the most")
    sub.add_argument("--crop-only", action="store_true", help="write the aligned 256 px face instead")

    sub = command("progression", _progression, "show a face through the generators that a run has kept")
    sub.add_argument("photo", metavar="PHOTO")
    sub.add_argument("--run", required=True, metavar="DIR")
    sub.add_argument(
        "-o", "--output", required=True, metavar="OUT", help=".jpg, .png: a strip; .gif, .webp: moving; .html: a slider"
    )
    sub.add_argument("--strength", type=_strength, default=1.0, help="0 leaves the photo as it is, 1.5 is the most")

    sub = command("gallery", _gallery, "guess who: a page of everybody in drag, shuffled, names on click")
    sub.add_argument("photos", metavar="PHOTOS", help="folder or zip")
    sub.add_argument("-o", "--output", required=True, metavar="PAGE", help="ends in .html")
    sub.add_argument("--weights", metavar="FILE", help="generator to use (default: the starter that comes along)")
    sub.add_argument("--strength", type=_strength, default=1.0, help="0 leaves the photo as it is, 1.5 is the most")

    sub = command("demo", _demo, "write a before/after picture of one photo")
    sub.add_argument("photo", nargs="?", help="default: the public-domain astronaut portrait of scikit-image")
    sub.add_argument("-o", "--output", default="out/before_after.jpg", metavar="OUT")

    sub = command("scrape", _scrape, "find licensed photos, note down whose they are, and fetch them")
    sub.add_argument("--source", choices=SOURCES, default="manifest", help="where to look (default: the manifest)")
    sub.add_argument("--query", metavar="TEXT", help="words; for commons also Category:NAME; for folder, zip a path")
    sub.add_argument("--domain", choices=("selfie", "drag"), help="what the photos are (default: selfie)")
    sub.add_argument("--limit", type=_positive, metavar="N", help="at most so many photos")
    sub.add_argument("--manifest", metavar="CSV", help="kept up to date (default: PHOTOS/data_manifest.csv)")
    sub.add_argument("--depth", type=int, default=1, metavar="N", help="levels of subcategories on commons, default 1")
    sub.add_argument("--cookies", metavar="FILE", help="of your own account, for instagram and the like")
    sub.add_argument("--unlicensed", action="store_true", help="fetch photos without a licence too")
    sub.add_argument("--dry-run", action="store_true", help="only list what would be fetched")
    sub.add_argument("-o", "--output", metavar="PHOTOS", help="default: the workspace's folder of photos")

    sub = command("withdraw", _withdraw, "mark photos whose people or authors take them back")
    sub.add_argument("photos", nargs="+", metavar="PHOTO", help="an id, file or image address of the manifest")
    sub.add_argument("--reason", metavar="TEXT")
    sub.add_argument(
        "--manifest", metavar="CSV", help="default: the workspace's, else DRAGFACE_MANIFEST or the project's"
    )

    sub = command("crop", _crop, "find, align and cut out the faces of photos")
    sub.add_argument("photos", metavar="PHOTOS")
    sub.add_argument("-o", "--output", required=True, metavar="FACES")
    sub.add_argument("--domain", choices=("selfie", "drag"), default="selfie")
    sub.add_argument("--manifest", metavar="CSV", help="decides splits (default: the one beside the photos, if any)")
    sub.add_argument("--detector", choices=("auto", "yunet", "haar"), default="auto")
    sub.add_argument("--gate", type=_gate, action="append", metavar="NAME=NUMBER", help="a threshold, e.g. yaw=20")

    sub = command("practice", _practice, "make practice faces: half of the people as they are, half in painted drag")
    sub.add_argument("-o", "--output", required=True, metavar="FACES")
    sub.add_argument("--photos", metavar="DIR", help="default: the manifest's own selfies, once they are downloaded")
    sub.add_argument("--manifest", metavar="CSV", help="default: DRAGFACE_MANIFEST, else data_manifest.csv")
    sub.add_argument("--look", default="classic", metavar="NAME", help="classic (the default), neon, goth or glitter")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--wigs", action="store_true", help="painted faces wear wigs")
    sub.add_argument("--stages", action="store_true", help="painted faces stand on a stage")
    sub.add_argument("--limit", type=_positive, metavar="N", help="only so many photos")

    sub = command("landmarks", _landmarks, "train the landmark network on photos with .tem files")
    sub.add_argument("photos", metavar="PHOTOS")
    sub.add_argument("-o", "--output", required=True, metavar="FILE")
    sub.add_argument("--minutes", type=_minutes, default=10.0)
    sub.add_argument("--weights", metavar="FILE", help="go on from these (default: begin anew)")
    sub.add_argument("--seed", type=int, default=0)

    keep = argparse.SUPPRESS  # an option not given leaves the run's own setting, or the default, alone
    sub = command("train", _train, "train, or go on with, a run")
    sub.add_argument("--faces", required=True, metavar="DIR", help="folder or archive of aligned faces")
    sub.add_argument("--run", required=True, metavar="DIR", help="an existing run goes on where it stopped")
    sub.add_argument("--steps", type=int, default=keep, metavar="N", help="default 300000")
    sub.add_argument("--lr", type=float, default=keep, metavar="RATE", help="learning rate, default 0.0001")
    sub.add_argument("--save-every", type=int, default=keep, metavar="STEPS", help="default 1000")
    sub.add_argument("--save-minutes", type=float, default=keep, metavar="MINUTES", help="default 10")
    sub.add_argument("--session-minutes", type=float, default=keep, metavar="MINUTES", help="stops by itself before")
    sub.add_argument("--scratch", default=keep, metavar="DIR", help="local folder to work in; --run gets copies")
    sub.add_argument("--validate-every", type=int, default=keep, metavar="STEPS", help="default 2500")
    sub.add_argument("--sample-every", type=int, default=keep, metavar="STEPS", help="default 500")
    sub.add_argument(
        "--milestone-every", type=int, default=keep, metavar="STEPS", help="first generator to keep, default 1000"
    )
    sub.add_argument("--soften", type=float, default=keep, metavar="SHARE", help="of faces to blur, default 0")
    sub.add_argument("--look", default=keep, metavar="NAME", help="what the generator file calls its style")
    sub.add_argument("--licence", default=keep, metavar="TEXT", help="what the generator file says about its use")
    sub.add_argument("--deterministic", action="store_true", default=keep, help="the same bytes each time on a GPU")
    sub.add_argument("--diff-augment", action="store_true", default=keep, help="for a few hundred faces or fewer")
    _add_model_options(sub)

    sub = command("evaluate", _evaluate, "measure a generator on test faces: a table and a picture")
    sub.add_argument("--faces", required=True, metavar="FACES", help="folder or archive made by practice or crop")
    sub.add_argument("--weights", metavar="FILE", help="generator to measure (default: the starter that comes along)")
    sub.add_argument("-o", "--output", default="out/evaluation", metavar="OUT", help="folder, default out/evaluation")
    sub.add_argument("--json", action="store_true", help="print one JSON object instead of the table")

    sub = command("export", _export, "write a generator as ONNX, for other programs, or as .safetensors")
    sub.add_argument("weights", nargs="?", metavar="WEIGHTS", help="default: the starter that comes along")
    sub.add_argument("-o", "--output", required=True, metavar="FILE", help="ends in .onnx or .safetensors")
    sub.add_argument("--half", action="store_true", help="weights in half precision: half the bytes")

    sub = command("bench", _bench, "time the training step on this machine")
    sub.add_argument("--steps", type=int, default=keep, metavar="N", help="default 10")
    sub.add_argument("--json", action="store_true", help="print one JSON object")
    _add_model_options(sub)

    sub = command("credits", _credits, "say whose photos were used, and under which licences")
    sub.add_argument(
        "--manifest", metavar="CSV", help="default: the workspace's, else DRAGFACE_MANIFEST or the project's"
    )
    sub.add_argument("--faces", metavar="DIR", help="only photos that gave faces in this folder or archive")
    sub.add_argument("--run", metavar="DIR", help="only photos that this run was trained on")
    sub.add_argument("-o", "--output", metavar="FILE", help="write a page that names every photo, .html or .md")
    return top


def _add_model_options(sub: argparse.ArgumentParser) -> None:
    keep = argparse.SUPPRESS
    sub.add_argument("--size", type=int, default=keep, metavar="N", help="pixels a side, default 256")
    sub.add_argument("--channels", type=int, default=keep, metavar="N", help="width of the first layer, default 64")
    kind = sub.add_mutually_exclusive_group()
    kind.add_argument("--light", dest="light", action="store_true", default=keep, help="the default")
    kind.add_argument("--full", dest="light", action="store_false", default=keep, help="needs 13 GiB and more")
    sub.add_argument("--form", choices=("residual", "published"), default=keep, help="default residual")
    sub.add_argument("--judge", choices=("face", "picture"), default=keep, help="by what: default the face alone")
    sub.add_argument("--batch", type=int, default=keep, metavar="N", help="default 1")
    sub.add_argument("--device", default=keep, help="auto, cuda, mps or cpu")
    sub.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default=keep)
    sub.add_argument(
        "--compile", choices=("off", "on", "graphs"), default=keep, help="torch.compile, alone or with CUDA graphs"
    )
    sub.add_argument("--seed", type=int, default=keep)


def _strength(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not STRENGTHS[0] <= value <= STRENGTHS[1]:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1.5")
    return value


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return value


def _gate(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a gate and a number, as in yaw=20") from None


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of 1 or more")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0, or 2 with one line on stderr."""
    options = parser().parse_args(arguments)
    try:
        options.run_command(options)
    except DragFaceError as error:
        print(f"dragface: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("dragface: stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
