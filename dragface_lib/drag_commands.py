"""The commands for generators: training them, and what they make of photos."""

from __future__ import annotations

import json
import sys
from argparse import SUPPRESS, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import COUNT, command, number, option
from .errors import DragFaceError
from .files import kind_of, reserve, write_atomically

if TYPE_CHECKING:
    from .model import Generator

LOOK = option("--look", dest="generator", default="classic", metavar="NAME", help="classic (the default) or goth")
GENERATOR = option("--weights", dest="generator", default="classic", metavar="FILE", help="a generator file")
TRAINED_SIZE = option(
    "--size", type=COUNT, metavar="N", help="px that a light .pt file of UGATIT was trained at, default 256"
)
REPORT = ("evaluation.json", "evaluation.md", "evaluation.jpg", "faces.csv")  # what evaluate writes
STRENGTH = option("--strength", type=number(0, 1.5), default=1.0, help="0 leaves the photo as it is, 1.5 is the most")


def _generator(options: Namespace, *inputs: str) -> Generator:
    """The generator that the options name. Refuses an output that would be written over it, or over an input."""
    from .model import generator_path, load_look

    reserve(options.output, generator_path(options.generator), *inputs)
    return load_look(options.generator, options.size)


@command(
    option("photos", nargs="+", metavar="PHOTO", help="photos, or one folder or zip of them"),
    option("-o", "--output", required=True, metavar="OUT", help="a file for one photo; a folder or zip for several"),
    option("--crop-only", action="store_true", help="write the aligned 256 px face instead"),
    *(LOOK, GENERATOR, TRAINED_SIZE, STRENGTH),
)
def run_transform(options: Namespace) -> None:
    """Put the faces of photos into drag."""
    from .showcase.folders import holds_photos, transform_all

    generator = None if options.crop_only else _generator(options)
    result = transform_all(options.photos, options.output, generator, options.strength, options.crop_only)
    count = f"{len(result.pictures)} pictures in " if holds_photos(options.photos) else ""
    left_out = f", {len(result.left_out)} photos left out" if result.left_out else ""
    print(f"{count}{options.output}{left_out}")
    if result.left_out and len(options.photos) > 1:
        raise DragFaceError(" ".join(reason for _, reason in result.left_out))


@command(
    option("photo", nargs="?", help="default: the public-domain astronaut portrait of scikit-image"),
    option("-o", "--output", default="out/before_after.jpg", metavar="OUT"),
    *(LOOK, GENERATOR, TRAINED_SIZE),
)
def run_demo(options: Namespace) -> None:
    """Write a before/after picture of one photo."""
    from .images import format_of
    from .showcase import provenance
    from .showcase.transform import example_photo, make_drag

    generator = _generator(options, *filter(None, [options.photo]))
    drag = make_drag(options.photo or example_photo(), generator)
    data = provenance.encode(drag.before_after(), format_of(options.output), drag.look)
    write_atomically(options.output, data)
    print(f"Before and after: {Path(options.output).resolve()}")


@command(
    option("photo", metavar="PHOTO"),
    option("--run", required=True, metavar="DIR"),
    option("-o", "--output", required=True, metavar="OUT", help=".jpg, .png: a strip; .gif, .webp: moving; .html"),
    STRENGTH,
)
def run_progression(options: Namespace) -> None:
    """Show a face through the generators that a run has kept."""
    from .showcase.pages import face_progression

    reserve(options.output, options.photo, Path(options.run, "losses.png"))
    progress = face_progression(options.photo, options.run, options.strength)
    progress.save(options.output)
    print(f"{options.output}: {', '.join(progress.captions)}")


@command(
    option("photos", metavar="PHOTOS", help="folder or zip"),
    option("-o", "--output", required=True, metavar="PAGE", help="ends in .html"),
    *(LOOK, GENERATOR, TRAINED_SIZE, STRENGTH),
)
def run_gallery(options: Namespace) -> None:
    """Guess who: a page of everybody in drag, shuffled, names on click."""
    from .showcase.pages import guess_who

    if Path(options.output).suffix.lower() not in (".html", ".htm"):
        raise DragFaceError(f"{options.output} is no page: end its name in .html.")
    page = guess_who(options.photos, _generator(options, options.photos), options.strength)
    write_atomically(options.output, page.encode())
    print(options.output)


@command(settings="all")
def run_train(options: Namespace) -> None:
    """Train, or go on with, a run. An existing run keeps the settings that are not given."""
    from .train import TrainConfig, train

    kept = asdict(TrainConfig.load(options.run)) if kind_of(Path(options.run) / "config.json") else {}
    given = {name: value for name, value in vars(options).items() if name in TrainConfig.__dataclass_fields__}
    if not train(TrainConfig(**kept | given)):
        raise SystemExit(130)


@command(
    option("--faces", required=True, metavar="FACES", help="folder or archive made by practice or crop"),
    option("-o", "--output", default="out/evaluation", metavar="OUT", help="folder, default out/evaluation"),
    option("--json", action="store_true", help="print one JSON object instead of the table"),
    *(LOOK, GENERATOR, TRAINED_SIZE),
)
def run_evaluate(options: Namespace) -> None:
    """Measure a generator on test faces: a table and a picture."""
    from .evaluate import evaluate

    generator = _generator(options, options.faces)
    standing = [path for path in map(Path(options.output).joinpath, REPORT) if path.exists()]
    if standing and standing[0].name != REPORT[0]:
        raise DragFaceError(f"{standing[0]} is of no earlier evaluation and stays: name another folder.")
    report = evaluate(generator, options.faces)
    report.save(options.output)
    print(json.dumps(report.numbers) if options.json else report.table())
    print(f"Picture, table and a row a face: {Path(options.output).resolve()}", file=sys.stderr)


@command(
    option("generator", nargs="?", default=SUPPRESS, metavar="FILE", help="a generator (default: the one of --look)"),
    *(LOOK, TRAINED_SIZE),
    option("-o", "--output", required=True, metavar="FILE", help="ends in .onnx or .safetensors"),
    option("--half", action="store_true", help="weights in half precision: half the bytes"),
)
def run_export(options: Namespace) -> None:
    """Write a generator as ONNX, for other programs, or as .safetensors."""
    from .model.export import export

    size = export(_generator(options), options.output, options.half)
    print(f"{options.output}: {size / 1e6:.1f} MB")


@command(
    option("--steps", type=COUNT, default=10, metavar="N", help="steps to time, default 10"),
    option("--json", action="store_true", help="print the JSON object in one line"),
    settings="step",
)
def run_bench(options: Namespace) -> None:
    """Time the training step on this machine."""
    from .train import TrainConfig
    from .train.bench import bench

    settings = {name: value for name, value in vars(options).items() if name in TrainConfig.__dataclass_fields__}
    result = bench(TrainConfig(faces="", run="", **settings | {"steps": 1}), options.steps)
    print(json.dumps(result, indent=None if options.json else 1))
