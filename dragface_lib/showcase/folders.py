"""A folder or zip of photos in, a folder or zip of pictures out; one photo is in memory at a time.

    outcome = transform_all("photos", "drag.zip", generator)
    print(len(outcome.made), outcome.left_out)

A zip is never unpacked: each photo is read from it when its turn comes.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from ..errors import DragFaceError
from ..files import DAMAGES, SUFFIXES, DiskFull, replace_atomically, write_atomically
from ..images import UnreadablePhoto, encode_photo, find_photos, format_of
from ..model import Generator
from . import provenance
from .transforming import STRONGEST, crop_only, make_drag

LARGEST = 200 << 20  # bytes of a photo's file


class Entry(NamedTuple):
    """A photo of a folder or zip. name: where it lies in there, "/" between folders; read: its file's bytes."""

    name: str
    read: Callable[[], bytes]

    def opened(self) -> io.BytesIO:
        """The file, as `make_drag` takes it; errors then name it. Raises UnreadablePhoto when it cannot be read."""
        try:
            file = io.BytesIO(self.read())
        except DAMAGES as error:
            raise UnreadablePhoto(f"{self.name} cannot be read ({error}): copy it again.") from error
        file.name = self.name
        return file


class Outcome(NamedTuple):
    """made: names of the pictures written; left_out: (photo, why) of each that gave none."""

    made: list[str]
    left_out: list[tuple[str, str]]


@contextmanager
def photos_in(source: str | Path) -> Iterator[list[Entry]]:
    """The photos below a folder, or in a zip, in the order of their names; other and hidden files are passed over.

    Raises DragFaceError when there is no such folder or zip, when it is damaged, or holds no photo.
    """
    source = Path(source)
    nothing = DragFaceError(f"{source} holds no photos: put JPEG, PNG or WebP files into it.")
    if source.is_dir():
        paths = find_photos(source)
        entries = [Entry(_printable(path.relative_to(source).as_posix()), path.read_bytes) for path in paths]
        if not entries:
            raise nothing
        yield entries
        return
    try:
        archive = zipfile.ZipFile(source)
    except FileNotFoundError:
        raise DragFaceError(f"{source} does not exist: check the name.") from None
    except (*DAMAGES, ValueError) as error:
        raise DragFaceError(f"{source} is not a whole zip ({error}): make it again.") from error
    with archive:
        names = {_name(member): member for member in archive.infolist() if not member.is_dir()}
        entries = [Entry(name, _reader(archive, names[name])) for name in sorted(names) if _is_photo(name)]
        if not entries:
            raise nothing
        yield entries


def outputs_of(photos: Sequence[str], output: str) -> list[Path]:
    """Where each photo's result goes: OUT itself for one photo, a file of the photo's name in it for several.

    In a folder a PNG photo becomes a PNG, any other a JPEG.
    """
    path = Path(output)
    suffixes = (".jpg", ".jpeg", ".png", ".webp")
    if len(photos) == 1 and not path.is_dir():
        if path.suffix.lower() not in suffixes:
            raise DragFaceError(f"{output} has no picture suffix: end it in .jpg, .png or .webp.")
        return [path]
    if path.is_file() or path.suffix.lower() in (*suffixes, ".zip"):
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


def transform_all(
    source: str | Path,
    output: str | Path,
    generator: Generator | None = None,
    strength: float = 1.0,
    crops: bool = False,
    progress: bool = True,
) -> Outcome:
    """Put every photo of a folder or zip into drag; a PNG becomes a PNG, any other a JPEG, under the same name.

    output: a folder, or a zip where the name ends so. crops: write the aligned 256 px faces instead. A photo that
    cannot be opened, or has no face, is named on the progress bar (on stderr) and left out. Raises DragFaceError when
    that is all of them, when the output lies within the source, and what `photos_in` and `transform` raise; DiskFull.
    """
    source, output = Path(source), Path(output)
    if not 0 <= strength <= STRONGEST:
        raise DragFaceError(f"The strength {strength} is out of range: choose 0 to {STRONGEST}, where 1 is normal.")
    if output.resolve() == source.resolve() or source.resolve() in output.resolve().parents:
        raise DragFaceError(f"{output} lies within {source}, whose photos are to stay as they are: name another place.")
    if output.suffix.lower() != ".zip" and (output.is_file() or output.suffix.lower() in SUFFIXES):
        raise DragFaceError(f"{output} is no folder, and {source} may hold many photos: name a folder or a .zip.")
    outcome, taken = Outcome([], []), set[str]()
    with photos_in(source) as entries, _writer(output, source) as write:
        bar = tqdm(entries, unit="photo", disable=not progress)
        for entry in bar:
            try:
                photo, kind = entry.opened(), ".png" if entry.name.lower().endswith(".png") else ".jpg"
                if crops:
                    pictures, look = crop_only(photo), ""
                else:
                    drag = make_drag(photo, generator)
                    pictures, look = [drag.at(strength)], drag.look
                for picture in pictures:
                    name = _free(_inside(entry.name), kind, taken)
                    write(name, _encoded(picture, name, look))
                    outcome.made.append(name)
            except DiskFull:
                raise
            except (DragFaceError, MemoryError) as error:
                outcome.left_out.append((entry.name, str(error) or f"{entry.name} does not fit into memory."))
                if progress:
                    bar.write(f"left out: {outcome.left_out[-1][1]}", file=sys.stderr)
        if not outcome.made:
            raise DragFaceError(
                f"None of the {len(entries)} photos in {source} gave a picture; {outcome.left_out[0][1]}"
            )
    return outcome


@contextmanager
def _writer(output: Path, source: Path) -> Iterator[Callable[[str, bytes], None]]:
    """A function that writes a file of a name into the folder or the zip; the zip is there when all is done."""
    if output.suffix.lower() != ".zip":

        def write(name: str, data: bytes) -> None:
            target = output / name
            if source.resolve() in target.resolve().parents:
                raise DragFaceError(f"{target} lies within {source}, whose photos are to stay as they are.")
            write_atomically(target, data)

        yield write
        return
    with replace_atomically(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        yield lambda name, data: archive.writestr(zipfile.ZipInfo(name), data)  # a fixed date; pictures are packed


def _encoded(picture: np.ndarray, name: str, look: str) -> bytes:
    format = format_of(name)
    return provenance.encode(picture, format, look) if look else encode_photo(picture, format)


def _name(member: zipfile.ZipInfo) -> str:
    """A member's name. Some programs write UTF-8 without saying so."""
    name = member.filename
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return _printable(name.replace("\\", "/"))


def _printable(name: str) -> str:
    return name.encode("utf-8", "replace").decode()


def _is_photo(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in SUFFIXES and not any(
        p.startswith(".") and p != ".." or p == "__MACOSX" for p in path.parts
    )


def _reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Callable[[], bytes]:
    def read() -> bytes:
        with archive.open(member) as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise OSError(f"more than {LARGEST >> 20} MB")
        return data

    return read


def _inside(name: str) -> PurePosixPath:
    """The place of a photo as one below any folder, whatever its name says."""
    parts = [part.replace(":", "_") for part in PurePosixPath(name).parts if part not in ("/", "//", "..")]
    return PurePosixPath(*parts)


def _free(path: PurePosixPath, kind: str, taken: set[str]) -> str:
    """A name that no other picture has, not even in other letters' case."""
    name, number = path.with_suffix(kind), 2
    while str(name).casefold() in taken:
        name, number = path.with_name(f"{path.stem}_{number}{kind}"), number + 1
    taken.add(str(name).casefold())
    return str(name)
