"""Zips: one reader for all of them, safe with archives of strangers, and the archive of faces.

pack("faces", "faces.zip")           Google Drive is slow with thousands of small files
unpack("faces.zip", "faces")         does nothing where the faces are there
"""

from __future__ import annotations

import lzma
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath

from .errors import DragFaceError
from .files import SUFFIXES, Unavailable, replace_atomically, retry, write_atomically
from .images import find_photos
from .manifest import path_below

MAX_MEMBERS = 100_000
MAX_UNPACKED = 20_000_000_000  # bytes of all members together
MAX_MEMBER = 200_000_000  # bytes of a member; the largest photos of phones have about 30 MB
MAX_RATIO = 100  # unpacked to packed size of a member; photos are compressed already and stay below 2
DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, OSError, RuntimeError)
DAMAGES += (ValueError, ArithmeticError, LookupError, TypeError, MemoryError)
PAIRS = "pairs"  # the folder of practice faces' test pairs
# Folders and files that travel.
FOLDERS = ("drag/test", "drag/train", f"{PAIRS}/drag", f"{PAIRS}/selfie", "selfie/test", "selfie/train")
BESIDE = ("crops.csv", "practice.json", "card.md", "card.png")


@contextmanager
def open_archive(path: str | Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip. Raises DragFaceError when it is missing or damaged, Unavailable when it cannot be read now."""
    try:
        archive = retry(lambda: _open(path), path)
    except DAMAGES as error:
        raise DragFaceError(f"{path} is not a whole zip ({_reason(error)}): make it again.") from error
    with archive:
        yield archive


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive by name, with "/" between folders; folders and hidden files are left out.

    Raises DragFaceError for a member that points outside the archive or is a link, for too much, and for a password.
    """
    named: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        member.filename = _name(member)
        path = PurePosixPath(member.filename)
        if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", member.filename):
            raise _refusal(archive, f"{member.filename!r} points outside it")
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _refusal(archive, f"{member.filename!r} is a link or a device")
        if member.flag_bits & 1:
            raise DragFaceError(f"{archive.filename} has a password: unpack it yourself, then name the folder.")
        is_file = path.name and not member.filename.endswith("/")
        if is_file and not any(part.startswith((".", "__MACOSX")) for part in path.parts):
            named[member.filename] = member
    if len(named) > MAX_MEMBERS:
        raise _refusal(archive, f"it has more than {MAX_MEMBERS} members")
    if sum(member.file_size for member in named.values()) > MAX_UNPACKED:
        raise _refusal(archive, f"it unpacks to more than {MAX_UNPACKED / 1e9:g} GB")
    return [named[name] for name in sorted(named)]


def read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of one member. Raises DragFaceError when it is damaged or too large, Unavailable as `open_archive`."""
    try:
        if member.file_size > MAX_MEMBER:
            raise ValueError(f"it has more than {MAX_MEMBER / 1e6:g} MB")
        if member.file_size > MAX_RATIO * max(member.compress_size, 1000):
            raise ValueError(f"it grows more than {MAX_RATIO} times when it is unpacked")
        return retry(lambda: archive.read(member), str(archive.filename))
    except DAMAGES as error:
        name = f"{member.filename} in {archive.filename}"
        raise DragFaceError(f"{name} cannot be read ({_reason(error)}): pack it again.") from error


def pack(faces: str | Path, archive: str | Path) -> Path:
    """Write all faces but the rejected ones, and the files beside them, into one zip; check it; move it into place.

    JPEGs are stored as they are. What a run that was killed left beside the archive is removed. Raises DragFaceError
    when there is nothing to pack or the disk is full.
    """
    faces, archive = Path(faces), Path(archive)
    files = [path for folder in FOLDERS for path in _pictures(faces / folder)]
    if not files:
        raise DragFaceError(f"{faces} holds no faces: crop photos first.")
    files += [faces / name for name in BESIDE if (faces / name).exists()]
    for part in archive.parent.glob(".*.part"):
        if part.name.startswith(f".{archive.name[:40]}."):
            part.unlink(missing_ok=True)
    with replace_atomically(archive) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
            for path in files:
                name = path.relative_to(faces).as_posix()
                # A fixed date: the same faces make the same archive.
                file.writestr(zipfile.ZipInfo(name), _content(path_below(faces, name)))
        with zipfile.ZipFile(temporary) as file:
            if file.testzip() is not None:
                raise DragFaceError(f"{archive} did not arrive on the disk as it was written: check the disk.")
    return archive


def unpack(archive: str | Path, faces: str | Path) -> Path:
    """Unpack faces, unless `faces` holds a crops.csv already or there is no archive; returns `faces`.

    Raises DragFaceError when the archive is damaged or hostile.
    """
    faces = Path(faces)
    if Path(archive).exists() and not (faces / "crops.csv").exists():
        with open_archive(archive) as packed:
            # crops.csv comes last: without it a killed run unpacks again.
            for member in sorted(members(packed), key=lambda member: member.filename == "crops.csv"):
                write_atomically(path_below(faces, member.filename), read_member(packed, member))
    return faces


def read_faces(faces: str | Path, domain: str, split: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of the faces of one domain and split, sorted by name, from a folder or a zip.

    Sub-folders are part of the name. A file that is damaged, or a folder or a broken link, comes with no bytes. Raises
    DragFaceError for an archive that is damaged or hostile, and Unavailable when the drive does not answer.
    """
    faces = Path(faces)
    files: dict[str, Callable[[], bytes]] = {}
    with ExitStack() as stack:
        if faces.is_file():
            archive = stack.enter_context(open_archive(faces))
            for member in members(archive):
                _, within, name = f"/{member.filename}".partition(f"/{domain}/{split}/")
                if within and PurePosixPath(name).suffix.lower() in SUFFIXES:
                    files[name] = partial(read_member, archive, member)
        else:
            folder = faces / domain / split
            files = {path.relative_to(folder).as_posix(): partial(_content, path) for path in _pictures(folder)}
        for name in sorted(files):
            try:
                content = files[name]()
            except Unavailable:
                raise
            except DragFaceError:  # this face is damaged; the others may be whole
                content = b""
            yield name, content


def _pictures(folder: Path) -> list[Path]:
    """The pictures in a folder that need not exist."""
    return find_photos(folder) if folder.is_dir() else []


def _content(path: Path) -> bytes:
    """The bytes of a file; none of a folder or a broken link."""
    return retry(path.read_bytes, path) if path.is_file() else b""


def _open(path: str | Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        if isinstance(error.__context__, OSError):  # zipfile reports errors of the drive as damage
            raise error.__context__ from None
        raise


def _name(member: zipfile.ZipInfo) -> str:
    """A member's name. Some programs write UTF-8 without saying so, others "\\" between folders."""
    name = member.orig_filename.split("\0")[0].replace("\\", "/")
    if not member.flag_bits & 0x800:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.encode("utf-8", "replace").decode()


def _refusal(archive: zipfile.ZipFile, fault: str) -> DragFaceError:
    return DragFaceError(f"{archive.filename} is not unpacked, as {fault}: make a zip of plain files.")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
