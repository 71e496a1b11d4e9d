"""Damaged pictures and zips through `transform` and `crop`: each ends with a picture or in a sentence.

PYTHONPATH=. python tests/benchmarks/fuzz.py [N] [SEED]      N files (default 500), seed 0

A portrait in a dozen forms, and a zip of them, get bytes changed, cut out, doubled and put in. A traceback is any
exception that leaves a command; an unexpected error is one by which a photo was left out without its own sentence.
"""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import traceback
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo
from skimage import data
from tqdm.auto import tqdm

from dragface_lib.__main__ import main
from dragface_lib.crop import read_crops

BATCH = 50  # files that are cropped together
PAINTED_EVERY = 25  # of the files, this one is put into drag; of the others only the face is cut out


def originals() -> dict[str, bytes]:
    """The portrait by the name of a file, and a zip of all."""
    picture = Image.fromarray(data.astronaut()[:240, 100:340])
    grey = np.asarray(picture.convert("L"))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif, text = Image.Exif(), PngInfo()
    exif[0x0112], exif[0x010E] = 6, "a portrait"
    text.add_text("Comment", "a portrait " * 50, zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x/>")
    forms: dict[str, tuple[Image.Image, dict]] = {
        "a.jpg": (picture, {"icc_profile": profile, "exif": exif}),
        "progressive.jpeg": (picture, {"progressive": True, "restart_marker_rows": 2}),
        "inks.jpe": (picture.convert("CMYK"), {}),
        "two.mpo": (picture, {"save_all": True, "append_images": [picture]}),
        "a.png": (picture, {"pnginfo": text, "icc_profile": profile}),
        "palette.png": (picture.quantize(64), {"transparency": 3}),
        "deep.png": (Image.fromarray(grey.astype(np.uint16) * 257), {"exif": exif}),
        "a.webp": (picture, {"exif": exif, "icc_profile": profile}),
        "moving.gif": (picture, {"save_all": True, "append_images": [picture.rotate(90)]}),
        "a.tif": (picture, {"compression": "tiff_lzw", "icc_profile": profile}),
        "float.tiff": (Image.fromarray(grey.astype(np.float32) / 255), {}),
        "a.bmp": (picture, {}),
        "a.avif": (picture, {"icc_profile": profile}),
    }
    files = {}
    for name, (form, options) in forms.items():
        form.save(file := io.BytesIO(), Image.registered_extensions()[Path(name).suffix], **options)
        files[name] = file.getvalue()
    with zipfile.ZipFile(file := io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return files | {"all.zip": file.getvalue()}


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """The file with one or two faults, half of them near its start or end, where its structure lies."""
    file = bytearray(content)
    for _ in range(rng.integers(1, 3)):
        near = min(len(file), 600)
        place = int(
            rng.choice([rng.integers(near), len(file) - rng.integers(1, near + 1), *rng.integers(len(file), size=2)])
        )
        length = int(rng.integers(1, 65))
        part = bytes(file[place : place + length])
        match rng.integers(7):
            case 0:
                file[place] = rng.integers(256)
            case 1:
                file[place : place + 4] = [b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff"][rng.integers(3)]
            case 2:
                file[place : place + length] = rng.bytes(length)
            case 3:
                file[place : place + length] = b""
            case 4:
                file[place:place] = part * int(rng.integers(1, 9))
            case 5:
                file[place:place] = rng.bytes(length)
            case _:
                del file[max(64, place) :]
    return bytes(file)


def run(arguments: list[str], outcomes: Counter[str]) -> None:
    """Run a command and count how it ended; its traceback is printed, if any."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = main(arguments)
        outcomes[{0: "a picture", 2: "a sentence"}.get(code, f"exit code {code}")] += 1
    except BaseException:
        outcomes["traceback"] += 1
        traceback.print_exc()
    reasons = said.getvalue().splitlines()
    if arguments[0] == "crop":
        reasons = [row.reason for row in read_crops(arguments[-1])]
    for reason in reasons:
        if "cannot be used (" in reason or "cannot be cropped (" in reason:
            outcomes["unexpected error"] += 1
            print(reason)


def fuzz(count: int, seed: int) -> dict[str, Counter[str]]:
    """What came of so many damaged files: by command, how often it ended how."""
    rng, files = np.random.default_rng(seed), originals()
    names, transformed, cropped = list(files), Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in tqdm(range(count)):
            original = names[number % len(names)]
            file = folder / f"{number // BATCH}" / f"{number}_{original}"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(damaged(files[original], rng))
            output = folder / f"out{number}{'' if file.suffix == '.zip' else '.png'}"
            crop_only = [] if number % PAINTED_EVERY == 0 else ["--crop-only"]
            run(["transform", str(file), "-o", str(output), *crop_only], transformed)
            if number % BATCH == BATCH - 1 or number == count - 1:
                run(["crop", str(file.parent), "-o", str(folder / f"faces{number}")], cropped)
    return {"transform": transformed, "crop": cropped}


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:]]
    for command, outcomes in fuzz(*(numbers + [500, 0][len(numbers) :])).items():
        print(command, dict(outcomes))
