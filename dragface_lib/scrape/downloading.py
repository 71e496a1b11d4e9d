"""Fetches the photos of rows in parallel, checks them and stores them; run again, it goes on where it stopped.

    results = download(rows, Workspace.open().photos / "selfie")
    [result.reason for result in results if not result.ok]

`each_download` does it for rows that are too many for a list. What was stored is remembered in photos/.downloads.jsonl,
one JSON line a photo, so that a second run looks at sizes and times instead of reading every photo again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice
from pathlib import Path, PurePosixPath

import numpy as np
from tqdm.auto import tqdm

from ..duplicates import signature
from ..errors import DragFaceError
from ..files import sha256_of, write_atomically
from ..images import open_photo
from ..manifest import Row
from ..network import Client, check_sha256
from .sources import MAX_BYTES, Drive, Folder, LocalRow
from .stripping import check_format, without_metadata

AHEAD = 128  # rows that are handed to the threads at once, while those before them are fetched
CRAWLED = ("google", "openverse")  # sources that find photos on any site: its robots.txt is asked
LEFT_BEHIND = 3600.0  # seconds after which nobody writes to an unfinished file any more
JOURNAL = ".downloads.jsonl"
STOPS_ALL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # no other photo could be written either


@dataclass(frozen=True)
class Result:
    """What became of one row. status: stored, here (from an earlier run), failed, unlicensed, duplicate, withdrawn."""

    row: Row
    status: str
    reason: str = ""  # one sentence, "" when the photo is there
    learned: dict = field(default_factory=dict)  # columns of the manifest that a stored photo's bytes tell

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
    positions: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        positions.setdefault(id(row), []).append(position)
    results: list[Result | None] = [None] * len(rows)
    for result in each_download(rows, photos, workers, progress, unlicensed, total=len(rows)):
        results[positions[id(result.row)].pop(0)] = result
    return [result for result in results if result is not None]


def each_download(
    rows: Iterable[Row],
    photos: str | Path,
    workers: int = 8,
    progress: bool = True,
    unlicensed: bool = False,
    total: int | None = None,
) -> Iterator[Result]:
    """`download`, one Result after the other as photos arrive; holds a few hundred rows at a time. total: how many
    rows there are, for the progress bar.
    """
    photos = Path(photos)
    try:
        photos.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DragFaceError(f"{photos} cannot hold photos ({error.strerror}): choose another folder.") from error
    _sweep(photos)
    task = _Download(photos, unlicensed)
    pool = ThreadPoolExecutor(max(1, workers))
    rows = iter(rows)

    def handed_over() -> list[Future]:
        return [pool.submit(task.bring, row) for row in islice(rows, AHEAD)]

    try:
        with tqdm(total=total, desc="photos", unit="photo", disable=not progress) as bar:
            waiting = handed_over()
            while waiting:
                following = handed_over()  # so that no thread waits for the slowest of these
                for future in as_completed(waiting):
                    yield future.result()
                    bar.update()
                waiting = following
    finally:  # also when the disk is full or the user pressed stop
        task.client.stop.set()
        pool.shutdown(cancel_futures=True)


def take_own_photos(place: str | Path, photos: str | Path, progress: bool = True) -> list[Result]:
    """Copy the user's own photos into the folder `photos`. place: a folder, or the link of a shared Drive folder."""
    source = Drive(str(place)) if str(place).strip().startswith("http") else Folder(place)
    inside = Path(photos).resolve()
    found = [row for row in source.search() if isinstance(row, LocalRow)]
    rows = [row for row in found if inside not in row.source.resolve().parents]
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
            if row.status == "duplicate":
                return Result(row, "duplicate", row.reason)
            if self._is_here(row, path):
                return Result(row, "here")
            if not row.licence.strip() and not self.unlicensed:
                return Result(row, "unlicensed", f"{row.file} states no licence: fill it in, or leave the photo out.")
            data, learned = self._checked(row, self._bytes(row))
            write_atomically(path, data)
            self._stored.add(row, path, learned["sha256"], learned["bytes"])
            return Result(row, "stored", learned=learned)
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
        known = [sha256 for sha256 in (row.sha256, row.stored_sha256) if sha256]
        if not known or isinstance(row, LocalRow) or sha256_of(path) not in known:
            return False
        self._stored.add(row, path, row.sha256, row.bytes or 0)  # copied here by hand, or touched since
        return True

    def _bytes(self, row: Row) -> bytes:
        if isinstance(row, LocalRow):
            if row.source.stat().st_size > MAX_BYTES:
                raise DragFaceError(f"{row.source} is larger than {MAX_BYTES / 1e6:.0f} MB: make it smaller first.")
            return row.source.read_bytes()
        if not row.image_url:
            raise DragFaceError(f"{row.file} has no image_url: fill it in, or remove the row {row.id}.")
        if row.source in CRAWLED and not self.client.may_fetch(row.image_url):
            raise DragFaceError(f"{row.image_url} is closed to robots (robots.txt of its host): it is left there.")
        return self.client.get(row.image_url, MAX_BYTES)

    def _checked(self, row: Row, data: bytes) -> tuple[bytes, dict]:
        """What is to be stored, and what the manifest learns from it. Raises DragFaceError when it is no photo."""
        name = row.image_url or str(getattr(row, "source", row.file))
        check_format(name, data)
        sha256 = hashlib.sha256(data).hexdigest()
        if row.sha256 and not isinstance(row, LocalRow):  # before anything tries to read it
            check_sha256(name, data, row.sha256)
        stream = BytesIO(data)
        stream.name = name  # what an error message calls it
        with self._opening:
            rgb = open_photo(stream)
        stored = without_metadata(data, rgb)
        return stored, {"bytes": len(data), "sha256": sha256, "retrieved_at": _now(), **_seen(stored, rgb)}


def look_again(path: Path) -> dict:
    """What the manifest can learn from a stored photo; raises DragFaceError when it is damaged."""
    return {"retrieved_at": _now(), **_seen(path.read_bytes(), open_photo(path))}


def _seen(stored: bytes, rgb: np.ndarray) -> dict:
    height, width = rgb.shape[:2]
    digest = hashlib.sha256(stored).hexdigest()
    return {"width": width, "height": height, "stored_sha256": digest, "phash": signature(rgb)}


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class _Journal:
    """Which photos were stored with which bytes. A lost or cut line only costs one look at that photo."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._entries: set[int] = set()  # hashes, as there may be a hundred thousand
        if path.is_file():
            with path.open(encoding="utf-8", errors="replace") as lines:
                for line in lines:
                    with suppress(ValueError, TypeError, KeyError):  # cut off by a session that ended
                        self._remember(json.loads(line))

    def knows(self, row: Row, path: Path) -> bool:
        """True when `path` is, by size and time, what was stored, and the row still asks for the same bytes."""
        found = path.stat()
        asked = str(row.bytes) if isinstance(row, LocalRow) else row.sha256 or row.image_url
        return hash((row.file, asked, found.st_size, int(found.st_mtime))) in self._entries

    def add(self, row: Row, path: Path, sha256: str, size: int) -> None:
        """Remember that `path` holds the row's photo. sha256, size: of the bytes that were served."""
        found = path.stat()
        entry = {"file": row.file, "url": row.image_url, "sha256": sha256, "served": size, "bytes": found.st_size}
        entry["changed"] = int(found.st_mtime)  # whole seconds: Drive keeps no more
        with self._lock:
            self._remember(entry)
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("\n" + json.dumps(entry))  # begins a line of its own after one that was cut
            except OSError as error:
                if error.errno in STOPS_ALL:
                    raise DragFaceError(
                        f"The disk is full at {self._path}: free some space and run it again."
                    ) from error
                raise

    def _remember(self, entry: dict) -> None:
        """A row asks for a photo by its hash, by its address, or, on this machine, by its size."""
        asked = (entry.get("sha256"), entry["url"]) if entry["url"] else (str(entry.get("served")),)
        self._entries |= {hash((entry["file"], part, entry["bytes"], entry["changed"])) for part in asked if part}
