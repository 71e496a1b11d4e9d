"""Many photos at once, from files, folders and zips; one photo is in memory at a time.

    result = transform_all("photos", "drag.zip", generator)
    print(len(result.pictures), result.left_out)

A zip is never unpacked: each photo is read from it when its turn comes.
"""

from __future__ import annotations

import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from tqdm.auto import tqdm

from ..archives import members, open_archive, read_member
from ..errors import DragFaceError
from ..files import SUFFIXES, DiskFull, replace_atomically, reserve, write_atomically
from ..images import encode_photo, find_photos, format_of, photos_among
from ..model import Generator
from . import provenance
from .transform import Photo, crop_only, make_drag

Photos = str | Path | Sequence[str | Path]  # a photo, a folder or a zip, or a list of them


class Transformed(NamedTuple):
    """pictures: names of the files written; left_out: (photo, reason) of each photo that gave none."""

    pictures: list[str]
    left_out: list[tuple[str, str]]


def transform_all(
    source: Photos,
    output: str | Path,
    generator: Generator | None = None,
    strength: float = 1.0,
    crops: bool = False,
) -> Transformed:
    """Put photos into drag, each under its own name: a PNG as PNG, any other as JPEG.

    output: a folder, or a zip where the name ends so; of a single photo also a file. In a folder nothing is replaced:
    a name that is taken gets a number. crops: write the aligned 256 px faces instead. Raises DragFaceError when the
    output makes no sense, and what `for_each_photo` and `transform` raise; DiskFull.
    """
    output = folder = reserve(output, *_listed(source))
    is_zip = output.suffix.lower() == ".zip"
    is_file = not is_zip and not output.is_dir() and not holds_photos(source)
    if is_file:
        format_of(output)  # refuses other suffixes
        folder = output.parent
    elif not is_zip and not output.is_dir() and (output.exists() or output.suffix.lower() in SUFFIXES):
        raise DragFaceError(f"{output} is no folder and cannot hold several photos: name a folder or a .zip.")
    pictures: list[str] = []
    taken: set[str] = set()
    with _writer(folder, is_zip) as write:

        def work(name: str, photo: Photo) -> None:
            kind = ".png" if name.lower().endswith(".png") else ".jpg"
            path = output if is_file else folder / PurePosixPath(name).with_suffix(kind)
            format = format_of(path)
            if crops:
                encoded = [encode_photo(face, format) for face in crop_only(photo)]
            else:
                drag = make_drag(photo, generator)
                encoded = [provenance.encode(drag.at(strength), format, drag.look)]
            for data in encoded:
                target = path if is_file and not pictures else reserve(path, taken=taken)
                pictures.append(target.relative_to(folder).as_posix())
                write(pictures[-1], data)

        left_out = for_each_photo(source, work)
    return Transformed(pictures, left_out)


def for_each_photo(
    source: Photos, work: Callable[[str, Photo], None], most: int = sys.maxsize
) -> list[tuple[str, str]]:
    """Call `work` with each photo's name and with the photo, as `make_drag` takes it.

    Photos that cannot be read, or have no face, are named on the progress bar (on stderr) and left out. Returns
    (name, reason) of each. most: says so and stops after so many photos. Raises DragFaceError when no photo gave
    anything, and what `photos_in` raises; DiskFull.
    """
    left_out: list[tuple[str, str]] = []
    with photos_in(source) as photos:
        if len(photos) > most:
            print(f"These are {len(photos)} photos: only the first {most} are taken.", file=sys.stderr)
            del photos[most:]
        bar = tqdm(photos, unit="photo", disable=len(photos) == 1)
        for name, read in bar:
            try:
                work(name, read())
            except (DiskFull, OSError):
                raise
            except Exception as error:  # any error costs this photo alone
                told = isinstance(error, DragFaceError)
                reason = str(error) if told else f"{name} cannot be used ({type(error).__name__}: {error})."
                left_out.append((name, reason))
                if len(photos) > 1:
                    bar.write(f"left out: {reason}", file=sys.stderr)
    if len(left_out) == len(photos):
        several = f"None of the {len(photos)} photos gave a picture; " if len(photos) > 1 else ""
        raise DragFaceError(several + left_out[0][1])
    return left_out


def holds_photos(source: Photos) -> bool:
    """Whether these may be several photos: a list, a folder or a zip."""
    paths = _listed(source)
    return len(paths) != 1 or os.path.isdir(paths[0]) or Path(paths[0]).suffix.lower() == ".zip"


@contextmanager
def photos_in(source: Photos) -> Iterator[list[tuple[str, Callable[[], Photo]]]]:
    """The photos of a source: each photo's name, and a function that opens it.

    Raises DragFaceError when there is no such zip, when it is damaged, or when there is no photo.
    """
    photos: list[tuple[str, Callable[[], Photo]]] = []
    with ExitStack() as stack:
        for path in map(Path, _listed(source)):
            if os.path.isdir(path):
                for photo in find_photos(path):
                    photos.append((os.fsencode(photo.relative_to(path)).decode(errors="replace"), partial(Path, photo)))
            elif path.suffix.lower() == ".zip":
                archive = stack.enter_context(open_archive(path))
                files = {file.filename: file for file in members(archive)}
                photos += [(name, partial(_unpacked, archive, files[name])) for name in photos_among(files)]
            else:
                photos.append((path.name, partial(Path, path)))
        if not photos:
            raise DragFaceError(f"{source} holds no photos: put JPEG, PNG or WebP files into it.")
        yield photos


def _listed(source: Photos) -> list[str | Path]:
    return [source] if isinstance(source, (str, Path)) else [*source]


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    file = io.BytesIO(read_member(archive, member))
    file.name = member.filename  # for error messages
    return file


@contextmanager
def _writer(output: Path, is_zip: bool) -> Iterator[Callable[[str, bytes], None]]:
    """A function that writes a named file into the folder or the zip. The zip exists when the block ends."""
    if not is_zip:
        yield lambda name, data: write_atomically(output / name, data)
        return
    with replace_atomically(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        yield lambda name, data: archive.writestr(zipfile.ZipInfo(name), data)  # a fixed date; pictures are packed
