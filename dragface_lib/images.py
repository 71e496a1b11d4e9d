"""Pictures in and out: open anything a phone or a browser saves, resize, save, lay out a contact sheet.

Inside the library a picture is a numpy array of shape (height, width, 3), uint8, RGB, the right way up.
"""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import cv2
import numpy as np
from PIL import Image, ImageCms, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from .errors import DragFaceError
from .files import SUFFIXES, write_atomically

MAX_PIXELS = 100_000_000  # phone photos reach 50 megapixels; a decompression bomb starts far above
# Pillow knows many more, some of which start other programs (EPS). HEIF needs a plug-in.
FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "BMP", "GIF", "TIFF", "AVIF", "HEIF")

_opening = threading.Lock()  # the filters of `warnings` belong to the whole process


class UnreadablePhoto(DragFaceError):
    """A file that is missing, empty, not a picture, damaged or too large."""


def open_photo(source: str | Path | bytes | BinaryIO) -> np.ndarray:
    """Open a picture as (height, width, 3) uint8 RGB, turned upright by its EXIF orientation.

    Palette, grey, 16-bit and CMYK pictures become 8-bit RGB, transparency is laid over white, and of an
    animation the first frame is taken. Raises UnreadablePhoto, naming the file, for anything else.
    """
    path = Path(source) if isinstance(source, (str, Path)) else None
    name = str(source) if path else getattr(source, "name", None) or "the picture"
    too_large = f"{name} has more than the {MAX_PIXELS / 1e6:.0f} megapixels allowed: make it smaller first."
    try:
        if path and path.is_dir():
            raise UnreadablePhoto(f"{name} is a folder: name a photo.")
        if path and path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise UnreadablePhoto(f"{name} is not a file: name a photo.")
        stream = io.BytesIO(source) if isinstance(source, bytes) else cast(BinaryIO, source)
        with open(path, "rb") if path else nullcontext(stream) as file:
            if not file.seekable():  # a download, for example
                file = io.BytesIO(file.read())
            if file.seek(0, io.SEEK_END) == 0:
                raise UnreadablePhoto(f"{name} is empty (0 bytes): copy or download it again.")
            file.seek(0)
            try:
                picture = _recognise(file)
            except UnidentifiedImageError:
                raise UnreadablePhoto(f"{name} is {_what_it_is(file)}.") from None
            with picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise UnreadablePhoto(too_large)
                picture.seek(0)
                picture.load()
                with suppress(Exception):  # unreadable EXIF says nothing about the pixels
                    ImageOps.exif_transpose(picture, in_place=True)
                return np.array(_to_rgb(picture))
    except DragFaceError:
        raise
    except FileNotFoundError:
        if path and path.is_symlink():
            raise UnreadablePhoto(f"{name} is a link to a file that is gone: remove it, or link it anew.") from None
        raise UnreadablePhoto(f"{name} does not exist: check the name.") from None
    except PermissionError:
        raise UnreadablePhoto(f"{name} cannot be read: check its permissions.") from None
    except Image.DecompressionBombError:
        raise UnreadablePhoto(too_large) from None
    except MemoryError:
        raise UnreadablePhoto(f"{name} does not fit into memory: make it smaller first.") from None
    except Exception as error:  # damaged files make Pillow's decoders raise nearly anything
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UnreadablePhoto(f"{name} is damaged or cut short ({reason}): copy or download it again.") from error


def _recognise(file: BinaryIO) -> Image.Image:
    """Open without decoding, allowing FORMATS only."""
    Image.init()
    with _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns about sizes below MAX_PIXELS
        return Image.open(file, formats=[name for name in FORMATS if name in Image.OPEN])


def _what_it_is(file: BinaryIO) -> str:
    """What a file is that cannot be opened as a picture, and what to do."""
    file.seek(0)
    start = file.read(16)
    if start[4:8] == b"ftyp" and start[8:11] in (b"hei", b"hev", b"mif", b"msf"):
        return "a HEIC photo, which cannot be opened here: save or share it as JPEG"
    if start.startswith(b"%PDF"):
        return "a PDF, not a photo: save the picture in it as JPEG or PNG"
    if start.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
        return "a web page, not a picture: look for the picture's own address there"
    return "not a picture that can be opened: use a JPEG, PNG or WebP file"


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I") or picture.mode == "F":
        values = np.nan_to_num(np.asarray(picture).astype(np.float64), posinf=0.0, neginf=0.0)
        # 16-bit files fill 0..65535; a float or 32-bit one is stretched to the range it uses.
        top = 65535.0 if picture.mode.startswith("I") and values.max(initial=0) <= 65535 else values.max()
        values = np.clip(values / max(top, 1e-9) * 255.0, 0, 255)
        return Image.fromarray(values.round().astype(np.uint8)).convert("RGB")
    if picture.mode in ("CMYK", "RGB", "RGBA") and picture.info.get("icc_profile"):
        # The profile says how an ink looks; phones photograph in wider colour spaces than sRGB.
        with suppress(ImageCms.PyCMSError, OSError):
            profile = ImageCms.ImageCmsProfile(io.BytesIO(picture.info["icc_profile"]))
            if "sRGB" not in ImageCms.getProfileDescription(profile):
                mode = "RGBA" if picture.mode == "RGBA" else "RGB"
                screen = ImageCms.createProfile("sRGB")
                picture = ImageCms.profileToProfile(picture, profile, screen, outputMode=mode) or picture
    if picture.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        page = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(page, picture).convert("RGB")
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def encode_photo(
    rgb: np.ndarray, format: str = "JPEG", quality: int = 92, metadata: Mapping[str, Any] | None = None
) -> bytes:
    """Encode (height, width, 3) uint8 RGB as JPEG, PNG or WebP bytes, without any metadata but that given.

    metadata: arguments of Pillow's `save` (exif, xmp, pnginfo). Raises DragFaceError for a size that the format cannot
    hold.
    """
    buffer = io.BytesIO()
    options = {"JPEG": {"quality": quality, "subsampling": 0}, "PNG": {}, "WEBP": {"quality": quality}}[format]
    try:
        Image.fromarray(rgb).save(buffer, format=format, **options, **(metadata or {}))
    except (OSError, ValueError) as error:  # JPEG ends at 65,535 pixels a side, WebP at 16,383
        raise DragFaceError(
            f"A picture of {rgb.shape[1]} x {rgb.shape[0]} pixels cannot be saved as {format} ({error}): "
            "save it as .png or make it smaller."
        ) from error
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


def find_photos(folder: str | Path, strays: bool = False) -> list[Path]:
    """Every file below `folder` whose suffix is a picture's, sorted; hidden files and folders are left out.

    strays: also folders and broken links of such names, which a caller then reports.
    Raises DragFaceError when the folder does not exist.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DragFaceError(f"{folder} is not a folder: name one that holds photos.")
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and (strays or path.is_file())
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def resize(rgb: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize (H, W, C) to (height, width, C): area average when shrinking, bicubic when enlarging."""
    shrinking = height * width < rgb.shape[0] * rgb.shape[1]
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC)


def contact_sheet(
    images: Sequence[np.ndarray], columns: int = 8, cell: int = 128, captions: Sequence[str] | None = None
) -> np.ndarray:
    """Lay pictures out on a white page, each fitted into a square of `cell` pixels, row by row.

    images: any number of (H, W, 3) uint8 RGB arrays; captions: one short line below each.
    Returns (height, width, 3) uint8 RGB, at least one cell large.
    """
    columns = max(1, min(columns, len(images)))
    caption_height = 14 if captions is not None else 0
    rows = max(1, math.ceil(len(images) / columns))
    page = Image.new("RGB", (columns * cell, rows * (cell + caption_height)), "white")
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(10) if captions is not None else None
    for index, image in enumerate(images):
        left, top = index % columns * cell, index // columns * (cell + caption_height)
        height, width = (max(1, round(side * cell / max(image.shape[:2]))) for side in image.shape[:2])
        corner = (left + (cell - width) // 2, top + (cell - height) // 2)
        page.paste(Image.fromarray(resize(image, height, width)), corner)
        if captions is not None:
            text = " ".join(captions[index].split())
            while len(text) > 1 and draw.textlength(text, font) > cell - 4:
                text = text[:-2] + "…"
            draw.text((left + 2, top + cell), text, fill="black", font=font)
    return np.array(page)
