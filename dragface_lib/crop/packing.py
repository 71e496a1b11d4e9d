"""Faces travel as one archive: Google Drive is slow with thousands of small files.

pack("faces", "faces.zip")      unpack("faces.zip", "faces")
"""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from ..errors import DragFaceError
from ..files import SUFFIXES, replace_atomically, write_atomically
from .decisions import REJECTED

BESIDE = ("crops.csv", "decisions.csv", "practice.json", "card.md", "card.png")  # what travels with the faces


def pack(faces: str | Path, archive: str | Path) -> Path:
    """Write all faces but the rejected ones, and what lies beside them, into one zip, read it back, move it into place.

    JPEGs are stored as they are. Raises DragFaceError when there is nothing to pack or the disk is full.
    """
    faces, archive = Path(faces), Path(archive)
    files = sorted(path for path in _faces_below(faces) if path.name[0] != ".")
    if not files:
        raise DragFaceError(f"{faces} holds no faces: crop photos first.")
    files += [faces / name for name in BESIDE if (faces / name).exists()]
    with replace_atomically(archive) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as file:
            for path in files:
                # A fixed date: the same faces make the same archive.
                entry = zipfile.ZipInfo(path.relative_to(faces).as_posix())
                file.writestr(entry, path.read_bytes())
        with zipfile.ZipFile(temporary) as file:
            if file.testzip() is not None:
                raise DragFaceError(f"{archive} did not arrive on the disk as it was written: check the disk.")
    return archive


def unpack(archive: str | Path, faces: str | Path) -> Path:
    """Bring `faces` to what the archive holds; files that are there already are not written again.

    Faces that the archive does not hold are removed. Raises DragFaceError when the archive is damaged, or names a
    file outside the folder.
    """
    archive, faces = Path(archive), Path(faces)
    try:
        with zipfile.ZipFile(archive) as file:
            entries = [entry for entry in file.infolist() if not entry.filename.endswith("/")]
            for entry in entries:
                path = PurePosixPath(entry.filename)
                if not path.parts or path.is_absolute() or ".." in path.parts or set(entry.filename) & set("\\:"):
                    raise DragFaceError(f"{archive} names a file outside its folder ({path}): do not use it.")
            for entry in entries:
                path = faces / entry.filename
                if not (path.is_file() and path.stat().st_size == entry.file_size and _crc(path) == entry.CRC):
                    write_atomically(path, file.read(entry))
    except FileNotFoundError:
        raise DragFaceError(f"There is no archive {archive}: pack the faces first.") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:  # RuntimeError: encrypted
        raise DragFaceError(f"{archive} is damaged ({error}): pack the faces again.") from error
    expected = {faces / entry.filename for entry in entries}
    for path in _faces_below(faces):
        if path not in expected:
            path.unlink()
    return faces


def _faces_below(faces: Path) -> list[Path]:
    """Faces by domain and split; the rejected ones stay where they are."""
    found = (path for path in faces.glob("*/*/*") if path.suffix.lower() in SUFFIXES)
    return [path for path in found if path.relative_to(faces).parts[0] != REJECTED]


def _crc(path: Path) -> int:
    return zlib.crc32(path.read_bytes())
