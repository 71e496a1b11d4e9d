"""Files that matter are written beside themselves, flushed to the disk and then moved into place.

A drive that does not answer is no missing and no damaged file: `retry`, `kind_of` and `open_to_read` keep them apart.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import stat
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout

from .errors import DragFaceError

# Suffixes treated as images.
SUFFIXES = {".bmp", ".gif", ".tif", ".tiff", ".avif", ".heic", ".heif", ".hif"}
SUFFIXES |= {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp"}

RETRY_AFTER = (0.2, 1.0, 3.0)  # seconds; Google Drive drops out and comes back within seconds
# Errors about the path itself. All others mean that its drive does not answer.
DEFINITE = (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
Result = TypeVar("Result")


class DiskFull(DragFaceError):
    """The disk is full: stop writing, also further files."""


class Unavailable(DragFaceError):
    """A file cannot be read now, although it may be whole: trying again may help."""


def retry(read: Callable[[], Result], path: str | Path) -> Result:
    """The result of `read`, which reads `path`; an error of the drive makes it try again.

    Raises Unavailable when the last try fails too. Errors that no new try mends pass through: a missing file, and
    those without an error number, by which decoders report damage.
    """
    for seconds in (*RETRY_AFTER, 0.0):
        try:
            return read()
        except OSError as error:
            if error.errno is None or error.errno in DEFINITE:
                raise
            reason = error.strerror
        time.sleep(seconds)
    raise Unavailable(f"{path} cannot be read now ({reason}): look whether its drive is there, and try again.")


def kind_of(path: str | Path) -> str:
    """ "file", "folder", "other" (such as a pipe), or "" where nothing is there.

    To be used on Drive in place of pathlib's `exists`, `is_file` and `is_dir`: on a mount that dropped out those fail,
    or call its files missing. Raises Unavailable.
    """
    try:
        mode = retry(lambda: os.stat(path).st_mode, path)
    except (OSError, ValueError):  # nothing can be there
        return ""
    return {stat.S_IFREG: "file", stat.S_IFDIR: "folder"}.get(stat.S_IFMT(mode), "other")


class _Readable(io.FileIO):
    """A file that remembers a failed read."""

    failure: OSError | None = None

    def _remembering(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            if error.errno != errno.EINVAL:  # zipfile looks before the start of files that are too short
                self.failure = OSError(error.errno, error.strerror, self.name)
            raise

    def readinto(self, *arguments: Any) -> Any:
        return self._remembering(super().readinto, *arguments)

    def readall(self) -> Any:
        return self._remembering(super().readall)

    def seek(self, *arguments: Any) -> Any:
        return self._remembering(super().seek, *arguments)


@contextmanager
def open_to_read(path: Path) -> Iterator[Any]:
    """Open a file. A read that fails ends the block with its OSError, also where zipfile or torch call it damage."""
    file = _Readable(path)
    with io.BufferedReader(file, 1 << 20) as buffered:  # type: ignore[type-var]
        try:
            yield buffered
        except Exception as error:
            raise file.failure or error from None


@contextmanager
def replace_atomically(path: str | Path, make_folder: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it into place when the block ends without an error.

    Readers see the old file or the new one, never half of one. The folder is created when missing, if `make_folder`.
    Raises DiskFull when there is no room and DragFaceError when the folder cannot be written; the old file then
    stays. Errors of the block that do not concern this file pass through.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex[:8]}.part")
    try:
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch(exist_ok=False)  # with the permissions of the user's umask
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        yield temporary
        _flush_to_disk(temporary)
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


def reserve(path: str | Path, *inputs: str | Path, taken: set[str] | None = None) -> Path:
    """The path that a command may write to without losing anything. Every command asks here.

    inputs: files and folders that the command reads. Raises DragFaceError where the path is one of them, be it through
    a link or in other letters' case, or lies in one of the folders. taken: for a name that the user did not choose, the
    paths reserved so far, in small letters; it gets a number where a file stands there or it is taken, and is added.
    """
    path, number = Path(path), 2
    places = [os.path.realpath(path), *map(str, Path(os.path.realpath(path)).parents)]
    for place, source in product(places, inputs):
        with suppress(OSError):  # one of them does not exist
            if os.path.samefile(place, source):
                raise DragFaceError(f"{path} is {source} itself, or lies within it: name another place.")
    if taken is not None:
        first = path
        while os.path.lexists(path) or str(path).casefold() in taken:
            path, number = first.with_stem(f"{first.stem}_{number}"), number + 1
        taken.add(str(path).casefold())
    return path


def numbered(folder: str | Path, suffix: str) -> dict[int, Path]:
    """The files of a run that are named by their step, such as step_00000012.jpg, by that step, in order.

    Files of any other name, such as "step_00000012 (1).jpg", are not the run's.
    """
    name = re.compile(r"step_(\d{8}|[1-9]\d{8,})" + re.escape(suffix), re.ASCII)
    entries: list[str] = []
    with suppress(FileNotFoundError):
        entries = os.listdir(folder)  # glob takes an unreadable folder for empty
    return dict(sorted((int(match[1]), Path(folder, match[0])) for match in map(name.fullmatch, entries) if match))


def sha256_of(path: str | Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def locked(folder: str | Path, doing: str = "") -> Iterator[None]:
    """Hold a folder until the block or the process ends. Waits while another process holds it.

    doing: does not wait, but raises DragFaceError: "FOLDER is being DOING by another process".
    A file system without locks (some network drives) keeps nobody out.
    """
    lock = FileLock(Path(folder) / ".lock", timeout=0 if doing else -1)
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise DragFaceError(
            f"{folder} is being {doing} by another process: wait for it, stop it, or name another folder."
        ) from None
    except NotImplementedError:  # no locks here
        pass
    except OSError as error:
        raise _unwritable(Path(folder), error) from error
    try:
        yield
    finally:
        lock.release()


def _flush_to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Google Drive refuses fsync on folders; the move itself is still atomic there.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EBADF):
            raise
    finally:
        os.close(descriptor)


def _unwritable(path: Path, error: OSError) -> DragFaceError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"The disk is full, so {path} was not written: free some space and run it again.")
    return DragFaceError(
        f"{path} cannot be written ({error.strerror or error}): choose a folder you may write to, or another name."
    )
