"""The commands for generators: training them, and what they make of photos."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

from .arguments import COUNT, command, number, option
from .errors import DragFaceError
from .files import refuse_inputs, write_atomically

LOOK = option("--look", dest="generator", default="classic", metavar="NAME", help="classic (the default) or goth")
WEIGHTS = option("--weights", dest="generator", default="classic", metavar="FILE", help="a generator file")
STRENGTH = option("--strength", type=number(0, 1.5), default=1.0, help="0 leaves the photo as it is, 1.5 is the most")


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
    result = transform_all(source, options.output, generator, options.strength, options.crop_only)
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

    refuse_inputs(options.output, *filter(None, [options.photo]))
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

    refuse_inputs(options.output, options.photo)
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
    from .showcase.looks import load_look
    from .showcase.pages import guess_who

    if Path(options.output).suffix.lower() not in (".html", ".htm"):
        raise DragFaceError(f"{options.output} is no page: end its name in .html.")
    refuse_inputs(options.output, options.photos)
    page = guess_who(options.photos, load_look(options.generator), options.strength)
    write_atomically(options.output, page.encode())
    print(options.output)


@command(settings="all")
def run_train(options: Namespace) -> None:
    """Train, or go on with, a run. An existing run keeps the settings that are not given."""
    from .train import TrainConfig, train

    kept = asdict(TrainConfig.load(options.run)) if (Path(options.run) / "config.json").exists() else {}
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
    print(json.dumps(report.numbers) if options.json else report.table())
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

    refuse_inputs(options.output, *filter(None, [options.weights]))
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
