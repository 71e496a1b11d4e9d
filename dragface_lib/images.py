"""Pictures in and out: open anything a phone or a browser saves, resize, save, lay out a contact sheet.

Inside the library a picture is a numpy array of shape (height, width, 3), uint8, RGB, the right way up.
"""

from __future__ import annotations

import importlib
import io
import math
import os
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path, PurePath
from typing import Any, BinaryIO, cast

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps, PngImagePlugin, UnidentifiedImageError

from .errors import DragFaceError
from .files import SUFFIXES, write_atomically

MAX_PIXELS = 100_000_000  # phone photos reach 50 megapixels; a decompression bomb starts far above
# Pillow knows more formats, but some of them start other programs (EPS).
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")
NAMED = 3  # most names of files without a photo's suffix that are printed

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is the limit here
# Editors write several megabytes of XMP, printers profiles as large; Pillow's limit for all texts together stays.
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY


class UnreadablePhoto(DragFaceError):
    """A file that is missing, empty, not a picture, damaged or too large."""


def open_photo(source: str | Path | bytes | BinaryIO | Image.Image) -> np.ndarray:
    """Open a picture as (height, width, 3) uint8 RGB in sRGB, turned upright by its EXIF or XMP orientation.

    Palette, grey, 16- and 32-bit and CMYK pictures become 8-bit RGB, transparency is laid over white, and of an
    animation the first frame is taken. Raises UnreadablePhoto, naming the file, for anything else.
    """
    path = Path(source) if isinstance(source, (str, Path)) else None
    name = str(source) if path else getattr(source, "name", None) or "the picture"
    try:
        if isinstance(source, Image.Image):
            return np.array(_to_rgb(ImageOps.exif_transpose(source)))
        if path and path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise UnreadablePhoto(f"{name} is {'a folder' if path.is_dir() else 'not a file'}: name a photo.")
        stream = io.BytesIO(source) if isinstance(source, bytes) else cast(BinaryIO, source)
        with open(path, "rb") if path else nullcontext(stream) as file:
            if not file.seekable():  # a download, for example
                file = io.BytesIO(file.read())
            with _recognise(file, name) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                return np.array(_to_rgb(_decoded(picture, file)))
    except DragFaceError:
        raise
    except FileNotFoundError:
        if path and path.is_symlink():
            raise UnreadablePhoto(f"{name} is a link to a file that is gone: remove it, or link it anew.") from None
        raise UnreadablePhoto(f"{name} does not exist: check the name.") from None
    except (Image.DecompressionBombError, MemoryError):
        most = f"the {MAX_PIXELS / 1e6:.0f} megapixels allowed, or than memory holds"
        raise UnreadablePhoto(f"{name} has more than {most}: make it smaller first.") from None
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        fault = f"is damaged or cut short ({reason}): copy or download it again"
        if isinstance(error, OSError) and error.errno:
            fault = f"cannot be read ({error.strerror}): check its permissions, or try again"
        raise UnreadablePhoto(f"{name} {fault}.") from error


def _recognise(file: BinaryIO, name: str) -> Image.Image:
    """Open without decoding, allowing FORMATS only."""
    file.seek(0)
    start = file.read(16)
    is_heic = start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf")
    Image.init()
    if is_heic and "HEIF" not in Image.OPEN:
        with suppress(ImportError):
            importlib.import_module("pillow_heif").register_heif_opener()
    file.seek(0)
    with suppress(UnidentifiedImageError):
        return Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])
    if not start:
        kind = "empty (0 bytes): copy or download it again"
    elif is_heic:
        kind = "a HEIC photo: run `pip install pillow-heif` and try again, or save or share it as JPEG"
    elif start.startswith(b"%PDF"):
        kind = "a PDF, not a photo: save the picture in it as JPEG or PNG"
    elif start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
        kind = "a web page, not a picture: look for the picture's own address there"
    else:
        kind = "not a picture that can be opened: use a JPEG, PNG or WebP file"
    raise UnreadablePhoto(f"{name} is {kind}.")


def _decoded(picture: Image.Image, file: BinaryIO) -> Image.Image:
    """The first frame, upright. A JPEG may lack its end marker; raises OSError where pixels are missing."""
    try:
        picture.seek(0)
        picture.load()
    except OSError:
        if picture.format not in ("JPEG", "MPO"):
            raise
        file.seek(0)
        data = file.read().rstrip(b"\xff")
        # With all pixels present, bytes between them and the end marker change none.
        ended = [Image.open(io.BytesIO(data + more + b"\xff\xd9"), formats=["JPEG"]) for more in (b"", b"U" * 1000)]
        if ended[0].tobytes() != ended[1].tobytes():
            raise
        picture = ended[0]
    with suppress(Exception):  # unreadable EXIF says nothing about the pixels
        ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    """The picture in sRGB, over white."""
    info, alpha = picture.info, None
    if picture.mode == "F" or picture.mode.startswith("I"):
        picture = Image.fromarray(_to_8_bits(picture))
    base = Image.getmodebase(picture.mode)  # L, RGB or CMYK, or P for a palette
    if base == "P":
        base = "RGB" if np.ptp(np.reshape(picture.getpalette() or [0] * 3, (-1, 3)), axis=1).any() else "L"
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    profile, gamma, rgb = info.get("icc_profile"), info.get("gamma"), None
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, KeyError, TypeError, ValueError):  # a broken profile is ignored
            opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            mode = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}[opened.profile.xcolor_space.strip()]
            if mode == base or (mode, base) == ("RGB", "L"):
                screen = ImageCms.createProfile("sRGB")
                rgb = ImageCms.profileToProfile(picture.convert(mode), opened, screen, outputMode="RGB")
    rgb = rgb or picture.convert("RGB")
    if gamma and not profile and "srgb" not in info and abs(gamma * 2.2 - 1) > 0.05:  # else sRGB is meant
        light = np.linspace(0, 1, 256) ** (1 / gamma)
        srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        rgb = rgb.point((srgb * 255).round().astype(int).tolist() * 3)
    return Image.composite(rgb, Image.new("RGB", rgb.size, "white"), alpha) if alpha else rgb


def _to_8_bits(picture: Image.Image) -> np.ndarray:
    """Grey values of 16 or 32 bits or floats as (H, W) uint8; white is 1, 255 or 65,535, or else the highest value."""
    values = np.asarray(picture)
    if picture.mode == "I":
        values = values.view(np.uint32)  # Pillow has no mode for these
    values = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    highest = values.max(initial=0.0) / (4 if picture.mode == "F" else 1)  # floats may go beyond white
    least = 65535.0 if picture.mode.startswith("I;16") else 1.0
    white = next((white for white in (1.0, 255.0, 65535.0) if white >= max(least, highest)), highest)
    return (values / white * 255).clip(0, 255).round().astype(np.uint8)


def encode_photo(
    rgb: np.ndarray, format: str = "JPEG", quality: int = 92, metadata: Mapping[str, Any] | None = None
) -> bytes:
    """Encode (height, width, 3) uint8 RGB as JPEG, PNG or WebP bytes, without other metadata.

    metadata: arguments of Pillow's `save`. Raises DragFaceError for a size that the format cannot hold.
    """
    buffer = io.BytesIO()
    options = {"JPEG": {"quality": quality, "subsampling": 0}, "PNG": {}, "WEBP": {"quality": quality}}[format]
    try:
        Image.fromarray(rgb).save(buffer, format=format, **options, **(metadata or {}))
    except (OSError, ValueError) as error:  # JPEG ends at 65,535 pixels a side, WebP at 16,383
        fault = f"{rgb.shape[1]} x {rgb.shape[0]} pixels cannot be saved as {format} ({error})"
        raise DragFaceError(f"{fault}: save the picture as .png or make it smaller.") from error
    return buffer.getvalue()


def save_photo(path: str | Path, rgb: np.ndarray, quality: int = 92) -> None:
    """Save (height, width, 3) uint8 RGB atomically; the suffix (.jpg, .png, .webp) chooses the format."""
    write_atomically(path, encode_photo(rgb, format_of(path), quality))


def format_of(path: str | Path) -> str:
    """The format that a file's suffix names, as `encode_photo` takes it; raises DragFaceError for any other suffix."""
    formats = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        raise DragFaceError(f"{path} has no picture suffix: end the name in .jpg, .png or .webp.")
    return formats[suffix]


def find_photos(folder: str | Path) -> list[Path]:
    """Every photo below `folder`, sorted, see `photos_among`; hidden files and folders are left out.

    Folders and broken links with a photo's suffix are among them: opening them says what they are. Raises DragFaceError
    when the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DragFaceError(f"{folder} is not a folder: name one that holds photos.")
    return photos_among(
        path
        for path in sorted(folder.rglob("*"))
        if (path.is_file() or path.suffix.lower() in SUFFIXES)
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def photos_among(files: Iterable[Any]) -> list[Any]:
    """The files, by their names or paths, with a photo's suffix. The others are counted and named on stderr."""
    files = list(files)
    photos = [file for file in files if PurePath(file).suffix.lower() in SUFFIXES]
    if others := [file for file in files if PurePath(file).suffix.lower() not in SUFFIXES]:
        names = [os.fsencode(PurePath(file).name).decode(errors="replace") for file in others[:NAMED]]
        count = f"{len(others)} files are no photos" if len(others) > 1 else "1 file is no photo"
        print(f"{count}: {', '.join(names + ['…'] * (len(others) > NAMED))}", file=sys.stderr)
    return photos


def resize(rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (H, W, C) to (height, width, C): area average when shrinking, bicubic when enlarging."""
    shrinking = height * width < rgb.shape[0] * rgb.shape[1]
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)


def contact_sheet(
    images: Sequence[np.ndarray], columns: int = 8, cell: int = 128, captions: Sequence[str] = ()
) -> np.ndarray:
    """Lay pictures out on a white page of one cell at least, each fitted into a square of `cell` pixels, row by row.

    images: (H, W, 3) uint8 RGB arrays; captions: one short line below each. Returns (height, width, 3) uint8 RGB.
    """
    columns = max(1, min(columns, len(images)))
    caption_height = 14 if captions else 0
    rows = max(1, math.ceil(len(images) / columns))
    page = Image.new("RGB", (columns * cell, rows * (cell + caption_height)), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(10)
    for index, image in enumerate(images):
        left, top = index % columns * cell, index // columns * (cell + caption_height)
        height, width = (max(1, round(side * cell / max(image.shape[:2]))) for side in image.shape[:2])
        corner = (left + (cell - width) // 2, top + (cell - height) // 2)
        page.paste(Image.fromarray(resize(image, height, width)), corner)
        if captions:
            text = " ".join(captions[index].split())
            while len(text) > 1 and draw.textlength(text, font) > cell - 4:
                text = text[:-2] + "…"
            draw.text((left + 2, top + cell), text, fill="black", font=font)
    return np.array(page)
