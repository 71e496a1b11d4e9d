"""Photos in, pictures out: one photo, several, or a folder or zip of them; one photo is in memory at a time.

    result = transform_all("photos", "drag.zip", generator)
    print(len(result.pictures), result.left_out)

A zip is never unpacked: each photo is read from it when its turn comes.
"""

from __future__ import annotations

import io
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
from ..files import SUFFIXES, DiskFull, replace_atomically, write_atomically
from ..images import encode_photo, find_photos, format_of
from ..model import Generator
from . import provenance
from .transform import Photo, checked_strength, crop_only, make_drag

Source = str | Path | Sequence[str | Path]  # a photo, a folder, a zip, or a list of photos


class Transformed(NamedTuple):
    """pictures: names of the files written; left_out: (photo, reason) of each photo that gave none."""

    pictures: list[str]
    left_out: list[tuple[str, str]]


def transform_all(
    source: Source,
    output: str | Path,
    generator: Generator | None = None,
    strength: float = 1.0,
    crops: bool = False,
    progress: bool = True,
) -> Transformed:
    """Put photos into drag, each under its own name: a PNG as PNG, any other as JPEG.

    output: a folder, or a zip where the name ends so; of a single photo also a file. crops: write the aligned 256 px
    faces instead. Raises DragFaceError when the output makes no sense, and what `for_each_photo` and `transform`
    raise; DiskFull.
    """
    output, single = Path(output), isinstance(source, (str, Path)) and not holds_photos(source)
    folder, file_name = output, ""
    checked_strength(strength)
    if _lies_in(source, output):
        raise DragFaceError(f"{output} is one of the photos themselves, or lies within {source}: name another place.")
    if single and not output.is_dir() and output.suffix.lower() != ".zip":
        format_of(output)  # refuses other suffixes
        folder, file_name = output.parent, output.name
    elif output.suffix.lower() != ".zip" and (output.is_file() or output.suffix.lower() in SUFFIXES):
        name = source if isinstance(source, (str, Path)) else f"{len(source)} photos"
        raise DragFaceError(f"{output} is no folder and cannot hold all of {name}: name a folder or a .zip.")
    pictures: list[str] = []
    with _writer(folder) as write:

        def work(name: str, photo: Photo) -> None:
            kind = ".png" if name.lower().endswith(".png") else ".jpg"
            path = PurePosixPath(file_name or PurePosixPath(name).with_suffix(kind))
            for data in _pictures_of(photo, format_of(str(path)), generator, strength, crops):
                target = _free_name(path, pictures)
                if _lies_in(source, folder / target):
                    raise DragFaceError(f"{folder / target} is one of the photos themselves: name another folder.")
                write(target, data)
                pictures.append(target)

        left_out = for_each_photo(source, work, progress)
    return Transformed(pictures, left_out)


def for_each_photo(
    source: Source, work: Callable[[str, Photo], None], progress: bool = True, limit: int | None = None
) -> list[tuple[str, str]]:
    """Call `work` with the name of each photo, and with what `make_drag` takes.

    Photos that cannot be read, or have no face, are named on the progress bar (on stderr) and left out. Returns
    (name, reason) of each. Raises DragFaceError when that is all of them, and what `photos_in` raises; DiskFull.
    """
    left_out: list[tuple[str, str]] = []
    with photos_in(source) as photos:
        bar = tqdm(photos[:limit], unit="photo", disable=not progress)
        for name, read in bar:
            try:
                work(name, read())
            except DiskFull:
                raise
            except (DragFaceError, MemoryError) as error:
                left_out.append((name, str(error) or f"{name} does not fit into memory."))
                if len(photos) == 1:
                    raise DragFaceError(left_out[0][1]) from error
                if progress:
                    bar.write(f"left out: {left_out[-1][1]}", file=sys.stderr)
        if len(left_out) == len(photos[:limit]):
            raise DragFaceError(f"None of the {len(left_out)} photos gave a picture; {left_out[0][1]}")
    return left_out


def holds_photos(source: str | Path) -> bool:
    """Whether this is a folder or zip of photos, and not a photo."""
    return Path(source).is_dir() or Path(source).suffix.lower() == ".zip"


@contextmanager
def photos_in(source: Source) -> Iterator[list[tuple[str, Callable[[], Photo]]]]:
    """The photos of a source: the name of each, and what opens it.

    Raises DragFaceError when there is no such zip, when it is damaged, or when there is no photo.
    """
    photos: list[tuple[str, Callable[[], Photo]]]
    with ExitStack() as stack:
        if not isinstance(source, (str, Path)):
            photos = [(Path(path).name, partial(Path, path)) for path in source]
        elif not holds_photos(source):
            photos = [(Path(source).name, partial(Path, source))]
        elif Path(source).is_dir():
            photos = [(_printable(path.relative_to(source)), partial(Path, path)) for path in find_photos(source)]
        else:
            archive = stack.enter_context(open_archive(source))
            files = [file for file in members(archive) if PurePosixPath(file.filename).suffix.lower() in SUFFIXES]
            photos = [(file.filename, partial(_unpacked, archive, file)) for file in files]
        if not photos:
            raise DragFaceError(f"{source} holds no photos: put JPEG, PNG or WebP files into it.")
        yield photos


def _printable(path: Path) -> str:
    return path.as_posix().encode("utf-8", "replace").decode()


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> BinaryIO:
    file = io.BytesIO(read_member(archive, member))
    file.name = member.filename  # for error messages
    return file


def _pictures_of(photo: Photo, format: str, generator: Generator | None, strength: float, crops: bool) -> list[bytes]:
    """The file of the photo in drag, or with `crops` a file for each aligned face."""
    if crops:
        return [encode_photo(face, format) for face in crop_only(photo)]
    drag = make_drag(photo, generator)
    return [provenance.encode(drag.at(strength), format, drag.look)]


def _lies_in(source: Source, target: Path) -> bool:
    """Whether a file to write is one of the photos, or lies in the folder of the photos."""
    target = target.resolve()
    if isinstance(source, (str, Path)):
        return Path(source).resolve() in (target, *target.parents)
    return target in {Path(photo).resolve() for photo in source}


@contextmanager
def _writer(output: Path) -> Iterator[Callable[[str, bytes], None]]:
    """A function that writes a file of a name into the folder or the zip; the zip is there when all is done."""
    if output.suffix.lower() != ".zip":
        yield lambda name, data: write_atomically(output / name, data)
        return
    with replace_atomically(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        yield lambda name, data: archive.writestr(zipfile.ZipInfo(name), data)  # a fixed date; pictures are packed


def _free_name(path: PurePosixPath, taken: list[str]) -> str:
    """The name of the path, with a number where it is taken, be it in other letters' case."""
    folded, name, number = {name.casefold() for name in taken}, path, 2
    while str(name).casefold() in folded:
        name, number = path.with_stem(f"{path.stem}_{number}"), number + 1
    return str(name)
