"""Fetches the photos of rows in parallel, checks them and stores them; run again, it goes on where it stopped.

    results = download(rows, Workspace.open().photos / "selfie")
    [result.reason for result in results if not result.ok]

What was stored is remembered in photos/.downloads.jsonl, one JSON line a photo, so that a second run looks at
sizes and times instead of reading every photo again.
"""

from __future__ import annotations

import errno
import json
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from tqdm.auto import tqdm

from ..errors import DragFaceError
from ..files import sha256_of, write_atomically
from ..images import open_photo
from ..manifest import Row
from ..network import Client, check_sha256
from .sources import Drive, Folder, LocalRow

MAX_BYTES = 64_000_000  # the largest photos of phones have about 30 MB
LEFT_BEHIND = 3600.0  # seconds after which nobody writes to an unfinished file any more
JOURNAL = ".downloads.jsonl"
STOPS_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no other photo could be written either


@dataclass(frozen=True)
class Result:
    """What became of one row. status: stored, here (from an earlier run), failed, unlicensed or withdrawn."""

    row: Row
    status: str
    reason: str = ""  # one sentence, "" when the photo is there

    @property
    def ok(self) -> bool:
        """True when the photo lies in the folder."""
        return self.status in ("stored", "here")


def download(
    rows: Iterable[Row], photos: str | Path, workers: int = 8, progress: bool = True, unlicensed: bool = False
) -> list[Result]:
    """Bring each row's photo to photos/{row.file}; returns one Result a row, in the order of the rows.

    Only pictures that open and, where the row knows it, have its SHA-256 are stored. Rows without a licence
    are left out unless `unlicensed`; of withdrawn rows a stored photo is removed. A photo that fails never
    stops the others. Raises DragFaceError, once, when the disk is full or cannot be written.
    """
    rows = list(rows)
    photos = Path(photos)
    try:
        photos.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DragFaceError(f"{photos} cannot hold photos ({error.strerror}): choose another folder.") from error
    _sweep(photos)
    task = _Download(photos, unlicensed)
    pool = ThreadPoolExecutor(max(1, workers))
    futures = [pool.submit(task.bring, row) for row in rows]
    try:
        for future in tqdm(as_completed(futures), total=len(rows), desc="photos", unit="photo", disable=not progress):
            future.result()
    finally:  # also when the disk is full or the user pressed stop
        task.client.stop.set()
        pool.shutdown(cancel_futures=True)
    return [future.result() for future in futures]


def take_own_photos(place: str | Path, photos: str | Path, progress: bool = True) -> list[Result]:
    """Copy the user's own photos into the folder `photos`. place: a folder, or the link of a shared Drive folder."""
    source = Drive(place) if str(place).strip().startswith("http") else Folder(place)
    inside = Path(photos).resolve()
    rows = [row for row in source.search() if inside not in row.source.resolve().parents]
    return download(rows, photos, progress=progress)


def _sweep(photos: Path) -> None:
    """Remove what a killed download left half written; recent pieces may belong to one that is running."""
    for piece in photos.rglob(".*.part"):
        with suppress(OSError):
            if time.time() - piece.stat().st_mtime > LEFT_BEHIND:
                piece.unlink()


class _Download:
    """What the threads of one download share."""

    def __init__(self, photos: Path, unlicensed: bool):
        self.photos, self.unlicensed = photos, unlicensed
        self.client = Client()
        self._stored = _Journal(photos / JOURNAL)
        self._opening = threading.Semaphore(2)  # an open photo may take 300 MB

    def bring(self, row: Row) -> Result:
        """Fetch, check and store one photo; raises DragFaceError only for what would stop every other one too."""
        inside = PurePosixPath(row.file)
        if inside.is_absolute() or ".." in inside.parts or not inside.name:
            return Result(row, "failed", f"{row.file!r} does not lie in the folder of photos: mend the row {row.id}.")
        path = self.photos / row.file
        try:
            if row.withdrawn:
                return self._remove(row, path)
            if self._is_here(row, path):
                return Result(row, "here")
            if not row.licence.strip() and not self.unlicensed:
                return Result(row, "unlicensed", f"{row.file} states no licence: fill it in, or leave the photo out.")
            data = self._checked(row, self._bytes(row))
            write_atomically(path, data)
            self._stored.add(row, path)
            return Result(row, "stored")
        except DragFaceError as error:
            if getattr(error.__cause__, "errno", None) in STOPS_ALL:
                raise
            return Result(row, "failed", str(error))
        except OSError as error:
            return Result(row, "failed", f"{path} cannot be used ({error.strerror or error}): check that place.")

    def _remove(self, row: Row, path: Path) -> Result:
        was_here = path.is_file()
        path.unlink(missing_ok=True)
        removed = "and was removed from" if was_here else "so it does not come to"
        return Result(row, "withdrawn", f"{row.file} was withdrawn, {removed} {self.photos}.")

    def _is_here(self, row: Row, path: Path) -> bool:
        if not path.is_file():
            return False
        if self._stored.knows(row, path):
            return True
        if not row.sha256 or sha256_of(path) != row.sha256:
            return False
        self._stored.add(row, path)  # copied here by hand, or touched since
        return True

    def _bytes(self, row: Row) -> bytes:
        if isinstance(row, LocalRow):
            if row.source.stat().st_size > MAX_BYTES:
                raise DragFaceError(f"{row.source} is larger than {MAX_BYTES / 1e6:.0f} MB: make it smaller first.")
            return row.source.read_bytes()
        if not row.image_url:
            raise DragFaceError(f"{row.file} has no image_url: fill it in, or remove the row {row.id}.")
        return self.client.get(row.image_url, MAX_BYTES)

    def _checked(self, row: Row, data: bytes) -> bytes:
        name = row.image_url or str(getattr(row, "source", row.file))
        if data[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype", b"<html")):
            raise DragFaceError(f"{name} is a web page, not a picture: look for the picture's own address there.")
        if row.sha256:  # before anything tries to read it
            check_sha256(name, data, row.sha256)
        stream = BytesIO(data)
        stream.name = name  # what an error message calls it
        with self._opening:
            open_photo(stream)
        return data


class _Journal:
    """Which photos were stored with which bytes. A lost or cut line only costs one look at that photo."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._entries: dict[str, dict] = {}
        if path.is_file():
            for line in path.read_text("utf-8", "replace").splitlines():
                try:
                    entry = json.loads(line)
                    self._entries[entry["file"]] = entry
                except (ValueError, TypeError, KeyError):
                    continue  # cut off by a session that ended

    def knows(self, row: Row, path: Path) -> bool:
        """True when `path` is, by size and time, what was stored, and the row still asks for the same bytes."""
        entry = self._entries.get(row.file)
        return entry is not None and entry == _entry(row, path)

    def add(self, row: Row, path: Path) -> None:
        """Remember that `path` holds the row's photo."""
        entry = _entry(row, path)
        with self._lock:
            self._entries[row.file] = entry
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("\n" + json.dumps(entry))  # begins a line of its own after one that was cut
            except OSError as error:
                if error.errno in STOPS_ALL:
                    raise DragFaceError(
                        f"The disk is full at {self._path}: free some space and run it again."
                    ) from error
                raise


def _entry(row: Row, path: Path) -> dict:
    found = path.stat()
    return {
        "file": row.file,
        "url": row.image_url,
        "expected": row.sha256 or row.bytes,
        "bytes": found.st_size,
        "changed": int(found.st_mtime),  # whole seconds: Drive keeps no more
    }
