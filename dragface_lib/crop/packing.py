"""Faces travel as one archive: Google Drive is slow with thousands of small files.

pack("faces", "faces.zip")
unpack("faces.zip", "faces")      does nothing where the faces are there
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

from ..archives import members, open_archive, read_member
from ..errors import DragFaceError
from ..files import SUFFIXES, Unavailable, replace_atomically, retry, write_atomically
from .table import REJECTED

BESIDE = ("crops.csv", "practice.json", "card.md", "card.png")  # what travels with the faces


def pack(faces: str | Path, archive: str | Path) -> Path:
    """Write all faces but the rejected ones, and BESIDE, into one zip; read it back; move it into place.

    JPEGs are stored as they are. Raises DragFaceError when there is nothing to pack or the disk is full.
    """
    faces, archive = Path(faces), Path(archive)
    paths = [path for path in sorted(faces.glob("*/*/*")) if path.suffix.lower() in SUFFIXES]
    files = [path for path in paths if path.name[0] != "." and path.relative_to(faces).parts[0] != REJECTED]
    if not files:
        raise DragFaceError(f"{faces} holds no faces: crop photos first.")
    files += [faces / name for name in BESIDE if (faces / name).exists()]
    with replace_atomically(archive) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
            for path in files:
                # A fixed date: the same faces make the same archive.
                file.writestr(zipfile.ZipInfo(path.relative_to(faces).as_posix()), path.read_bytes())
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
            # crops.csv comes last: without it a run that was killed unpacks again.
            for member in sorted(members(packed), key=lambda member: member.filename == "crops.csv"):
                write_atomically(faces / member.filename, read_member(packed, member))
    return faces


def read_faces(faces: str | Path, domain: str, split: str) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes) of the faces of one domain and split, sorted by name, from a folder or a zip.

    A file that is damaged, or a folder or a broken link, comes with no bytes. Raises DragFaceError for an archive that
    is damaged or hostile, and Unavailable when the drive does not answer.
    """
    faces = Path(faces)
    if not faces.is_file():
        for path in sorted((faces / domain / split).glob("*")):
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                content = b""
                with suppress(OSError):  # a folder or a broken link with the name of a picture
                    content = retry(path.read_bytes, path)
                yield path.name, content
        return
    with open_archive(faces) as archive:
        for member in members(archive):
            path = PurePosixPath(member.filename)
            if path.suffix.lower() in SUFFIXES and path.parent.parts[-2:] == (domain, split):
                try:
                    content = read_member(archive, member)
                except Unavailable:
                    raise
                except DragFaceError:  # one face is damaged; the others may be whole
                    content = b""
                yield path.name, content
