"""The one reader of zips of photos and faces, safe with archives of strangers."""

from __future__ import annotations

import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from .errors import DragFaceError
from .files import retry

MAX_MEMBERS = 100_000
MAX_UNPACKED = 20_000_000_000  # bytes of all members together
MAX_MEMBER = 200_000_000  # bytes of a member; the largest photos of phones have about 30 MB
MAX_RATIO = 100  # unpacked to packed size of a member; photos are compressed already and stay below 2
DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, ValueError)


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
            raise _refusal(archive, "it has a password")
        if not member.is_dir() and not any(part.startswith((".", "__MACOSX")) for part in path.parts):
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


def _open(path: str | Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        if isinstance(error.__context__, OSError):  # zipfile takes any error of the drive for damage
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
