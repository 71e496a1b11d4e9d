"""Files that matter are written beside themselves, flushed to the disk and then moved into place."""

from __future__ import annotations

import errno
import hashlib
import lzma
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import DragFaceError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # a module or None, which no annotation says


# Of files that may be pictures; whether they are, opening them says.
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif"}
# What zipfile raises for damaged archives; RuntimeError is a password, UnicodeDecodeError a member's name.
DAMAGES = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, RuntimeError, UnicodeDecodeError)


class DiskFull(DragFaceError):
    """There is no room left: nothing else can be written either, so whoever writes many files stops."""


@contextmanager
def replace_atomically(path: str | Path, make_folder: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block ends without an error.

    Readers see the old file or the new one, never half of one. The folder is created when missing, if `make_folder`.
    Raises DiskFull when there is no room and DragFaceError when the folder cannot be written; the old file
    then stays. Errors of the block that are not about writing pass through unchanged.
    """
    path = Path(path)
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _unwritable(path, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        with suppress(OSError):  # some file systems have no permissions to set
            os.chmod(temporary, 0o644)
        os.replace(temporary, path)
        _flush_to_disk(path.parent)
    except OSError as error:
        elsewhere = error.filename is not None and Path(str(error.filename)) not in (temporary, path, path.parent)
        if error.errno is None or elsewhere:  # reading another file, a broken connection
            raise
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_atomically(path: str | Path, data: bytes) -> None:
    """Write `data` to `path` in one step (see `replace_atomically`)."""
    with replace_atomically(path) as temporary:
        temporary.write_bytes(data)


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def only_one(folder: str | Path, doing: str) -> Iterator[None]:
    """Keep a second process out of a folder. The lock ends with its process, however that ends.

    doing: what is done to the folder, e.g. "trained". Raises DragFaceError when another process does it already.
    Where a file system knows no locks (some network drives) nothing is kept out.
    """
    if fcntl is None:
        yield
        return
    path = Path(folder) / ".lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "w")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise _unwritable(path, error) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DragFaceError(
                f"{folder} is being {doing} by another process: wait for it, stop it, or name another folder."
            ) from None
        except OSError:
            pass
        yield


@contextmanager
def locked(folder: str | Path) -> Iterator[None]:
    """Wait until no other process or thread holds this folder, then hold it; leaves nothing behind.

    Where a file system knows no locks (some network drives, Windows) nothing is waited for.
    """
    if fcntl is None:
        yield
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise _unwritable(Path(folder), error) from error
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Google Drive's file system refuses fsync on folders; the move itself is still atomic there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> DragFaceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"The disk is full, so {path} was not written: free some space and run it again.")
    return DragFaceError(f"{path} cannot be written ({error.strerror or error}): choose a folder you may write to.")
