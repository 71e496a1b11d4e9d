"""The command line: `python -m dragface_lib COMMAND --help`.

`commands.py` has what each command does. What a user can mend ends with one line on stderr and exit code 2.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from . import commands
from .errors import DragFaceError

STRENGTHS = (0.0, 1.5)
SOURCES = ("manifest", "commons", "openverse", "google", "instagram", "folder", "zip", "gdown")


class _Parser(argparse.ArgumentParser):
    """Says what it did not understand in one line, without repeating every option."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"dragface: {' '.join(message.split())}: see {self.prog} --help.\n")


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = _Parser(prog="dragface_lib", description="From licensed photos to a selfie in drag.")
    known = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        text = run.__doc__ or ""
        sub = known.add_parser(name, help=text[:1].lower() + text[1:].rstrip("."), description=text)
        sub.set_defaults(run_command=run)
        return sub

    sub = command("transform", commands.run_transform)
    sub.add_argument("photos", nargs="+", metavar="PHOTO", help="photos, or one folder or zip of them")
    sub.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="OUT",
        help="a file for a photo, a folder for several, either for a folder or zip",
    )
    _add_generator(sub)
    sub.add_argument("--strength", type=_strength, default=1.0, help="0 leaves the photo as it is, 1.5 is the most")
    sub.add_argument("--crop-only", action="store_true", help="write the aligned 256 px face instead")

    sub = command("progression", commands.run_progression)
    sub.add_argument("photo", metavar="PHOTO")
    sub.add_argument("--run", required=True, metavar="DIR")
    sub.add_argument(
        "-o", "--output", required=True, metavar="OUT", help=".jpg, .png: a strip; .gif, .webp: moving; .html: a slider"
    )
    sub.add_argument("--strength", type=_strength, default=1.0, help="0 leaves the photo as it is, 1.5 is the most")

    sub = command("gallery", commands.run_gallery)
    sub.add_argument("photos", metavar="PHOTOS", help="folder or zip")
    sub.add_argument("-o", "--output", required=True, metavar="PAGE", help="ends in .html")
    _add_generator(sub)
    sub.add_argument("--strength", type=_strength, default=1.0, help="0 leaves the photo as it is, 1.5 is the most")

    sub = command("demo", commands.run_demo)
    sub.add_argument("photo", nargs="?", help="default: the public-domain astronaut portrait of scikit-image")
    sub.add_argument("-o", "--output", default="out/before_after.jpg", metavar="OUT")
    _add_generator(sub)

    sub = command("scrape", commands.run_scrape)
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

    sub = command("withdraw", commands.run_withdraw)
    sub.add_argument("photos", nargs="+", metavar="PHOTO", help="an id, file or image address of the manifest")
    sub.add_argument("--reason", metavar="TEXT")
    sub.add_argument(
        "--manifest", metavar="CSV", help="default: the workspace's, else DRAGFACE_MANIFEST or the project's"
    )

    sub = command("crop", commands.run_crop)
    sub.add_argument("photos", metavar="PHOTOS")
    sub.add_argument("-o", "--output", required=True, metavar="FACES")
    sub.add_argument("--domain", choices=("selfie", "drag"), default="selfie")
    sub.add_argument("--manifest", metavar="CSV", help="decides splits (default: the one beside the photos, if any)")
    sub.add_argument("--detector", choices=("auto", "yunet", "haar"), default="auto")
    sub.add_argument("--gate", type=_gate, action="append", metavar="NAME=NUMBER", help="a threshold, e.g. yaw=20")

    sub = command("practice", commands.run_practice)
    sub.add_argument("-o", "--output", required=True, metavar="FACES")
    sub.add_argument("--photos", metavar="DIR", help="default: the manifest's own selfies, once they are downloaded")
    sub.add_argument("--manifest", metavar="CSV", help="default: DRAGFACE_MANIFEST, else data_manifest.csv")
    sub.add_argument("--look", default="classic", metavar="NAME", help="classic (the default), neon, goth or glitter")
    sub.add_argument("--seed", type=int, default=0, metavar="N")
    sub.add_argument("--limit", type=_positive, metavar="N", help="only so many photos")

    sub = command("landmarks", commands.run_landmarks)
    sub.add_argument("photos", metavar="PHOTOS")
    sub.add_argument("-o", "--output", required=True, metavar="FILE")
    sub.add_argument("--minutes", type=_minutes, default=10.0)
    sub.add_argument("--weights", metavar="FILE", help="go on from these (default: begin anew)")
    sub.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="bf16: half the time")
    sub.add_argument("--seed", type=int, default=0)

    keep = argparse.SUPPRESS  # an option not given leaves the run's own setting, or the default, alone
    sub = command("train", commands.run_train)
    sub.add_argument("--faces", required=True, metavar="DIR", help="folder or archive of aligned faces")
    sub.add_argument("--run", required=True, metavar="DIR", help="an existing run goes on where it stopped")
    sub.add_argument("--steps", type=int, default=keep, metavar="N", help="default 10000")
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
    sub.add_argument("--look", default=keep, metavar="NAME", help="what the generator file calls its style")
    sub.add_argument("--licence", default=keep, metavar="TEXT", help="what the generator file says about its use")
    sub.add_argument("--deterministic", action="store_true", default=keep, help="the same bytes each time on a GPU")
    sub.add_argument("--diff-augment", action="store_true", default=keep, help="for a few hundred faces or fewer")
    _add_model_options(sub)

    sub = command("evaluate", commands.run_evaluate)
    sub.add_argument("--faces", required=True, metavar="FACES", help="folder or archive made by practice or crop")
    _add_generator(sub)
    sub.add_argument("-o", "--output", default="out/evaluation", metavar="OUT", help="folder, default out/evaluation")
    sub.add_argument("--json", action="store_true", help="print one JSON object instead of the table")

    sub = command("export", commands.run_export)
    sub.add_argument("weights", nargs="?", metavar="FILE", help="a generator (default: the one of --look)")
    sub.add_argument("--look", default="classic", metavar="NAME", help="classic (the default) or goth")
    sub.add_argument("-o", "--output", required=True, metavar="FILE", help="ends in .onnx or .safetensors")
    sub.add_argument("--half", action="store_true", help="weights in half precision: half the bytes")

    sub = command("bench", commands.run_bench)
    sub.add_argument("--steps", type=int, default=keep, metavar="N", help="default 10")
    sub.add_argument("--json", action="store_true", help="print one JSON object")
    _add_model_options(sub)

    sub = command("credits", commands.run_credits)
    sub.add_argument(
        "--manifest", metavar="CSV", help="default: the workspace's, else DRAGFACE_MANIFEST or the project's"
    )
    sub.add_argument("--faces", metavar="DIR", help="only photos that gave faces in this folder or archive")
    sub.add_argument("--run", metavar="DIR", help="only photos that this run was trained on")
    sub.add_argument("-o", "--output", metavar="FILE", help="write a page that names every photo, .html or .md")
    return top


def _add_generator(sub: argparse.ArgumentParser) -> None:
    group = sub.add_mutually_exclusive_group()
    group.add_argument("--look", dest="generator", default="classic", metavar="NAME", help="classic (default) or goth")
    group.add_argument("--weights", dest="generator", default="classic", metavar="FILE", help="a generator file")


def _add_model_options(sub: argparse.ArgumentParser) -> None:
    keep = argparse.SUPPRESS
    sub.add_argument("--size", type=int, default=keep, metavar="N", help="pixels a side, default 256")
    sub.add_argument("--channels", type=int, default=keep, metavar="N", help="width of the first layer, default 64")
    kind = sub.add_mutually_exclusive_group()
    kind.add_argument("--light", dest="light", action="store_true", default=keep, help="the default")
    kind.add_argument("--full", dest="light", action="store_false", default=keep, help="needs 13 GiB and more")
    sub.add_argument("--form", choices=("residual", "published"), default=keep, help="default residual")
    sub.add_argument(
        "--cam-weight", type=float, default=keep, metavar="W", help="default 10; 1000 for the published form"
    )
    sub.add_argument(
        "--gain", type=float, default=keep, metavar="G", help="of discriminators, default 2; 1 for the published form"
    )
    sub.add_argument("--discriminator-input", choices=("face", "picture"), default=keep, help="default face")
    sub.add_argument("--batch", type=int, default=keep, metavar="N", help="default 1")
    sub.add_argument("--device", default=keep, help="auto, cuda, mps or cpu")
    sub.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default=keep)
    sub.add_argument("--no-graph", dest="graph", action="store_false", default=keep, help="to look for faults")
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
