"""Fetches photos in parallel, checks them and stores them; run again, it fetches what is missing.

Photos are stored without what cameras and people wrote into them: place, time, names, previews.

for row, status in download(Manifest().search("portrait"), Workspace.open().photos):
    print(status, row.reason)
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urljoin
from urllib.robotparser import RobotFileParser

import numpy as np
from PIL import ImageCms
from tqdm.auto import tqdm

from ..addresses import NetworkError
from ..errors import DragFaceError, printable
from ..files import DiskFull, kind_of, sha256_of, write_atomically
from ..images import UnreadablePhoto, encode_photo, open_photo
from ..manifest import Row
from ..network import Client

WORKERS = 8
MAX_BYTES = 64_000_000  # of a photo; the largest photos of phones have about 30 MB
MAX_ROBOTS = 500_000  # bytes of a robots.txt
CRAWLED = ("google", "openverse")  # sources that find photos on any site: its robots.txt is asked
OPENING = threading.Semaphore(2)  # an open photo may take 300 MB
QUALITY = 95  # of photos that have to be encoded again
PIXELS = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD} - {0xC8}  # markers of a JPEG's tables and scans
SCAN_END = re.compile(rb"\xff[^\x00\xd0-\xd7]")  # the first marker that is no part of a JPEG's pixels


class Crawler(Client):
    """A client that obeys robots.txt."""

    def __init__(self) -> None:
        super().__init__()
        self._robots: dict[str, RobotFileParser] = {}

    def may_fetch(self, url: str) -> bool:
        """Whether robots.txt allows it. None allows all, a failing server nothing, as RFC 9309 says."""
        address = urljoin(url, "/robots.txt")
        if address not in self._robots:
            rules = RobotFileParser()
            try:
                rules.parse(self.get(address, MAX_ROBOTS).decode("utf-8", "replace").splitlines())
            except NetworkError as error:
                missing = 400 <= (error.status or 500) < 500
                rules.parse(["User-agent: *", "Allow: /" if missing else "Disallow: /"])
            self._robots[address] = rules
        return self._robots[address].can_fetch("DragFace", url)


def download(
    candidates: Iterable[tuple[Row, Path | None]], photos: str | Path, unlicensed: bool = False, progress: bool = True
) -> Iterator[tuple[Row, str]]:
    """Bring each photo to photos/{domain}/{file}; yields (row, its status, or "here" from an earlier run) as it comes.

    candidates: rows, with the path of those that lie on this machine. Only pictures that open are stored, and only with
    the row's SHA-256 if it has one. Rows without a licence are left out unless `unlicensed`. A failing photo never
    stops the others. Raises DragFaceError when the disk is full.
    """
    client, pool = Crawler(), ThreadPoolExecutor(WORKERS)
    try:
        waiting = [pool.submit(_bring, row, source, Path(photos), unlicensed, client) for row, source in candidates]
        for future in tqdm(as_completed(waiting), "photos", len(waiting), unit="photo", disable=not progress):
            yield future.result()
    finally:  # also when the disk is full or the user pressed stop
        client.stop()
        pool.shutdown(cancel_futures=True)


def _bring(row: Row, source: Path | None, photos: Path, unlicensed: bool, client: Crawler) -> tuple[Row, str]:
    if row.status in ("withdrawn", "duplicate"):
        return (row, row.status)
    try:
        path = row.path(photos)
        status, columns = "here", _known(row, source, path)
        if columns is None:
            if not row.licence.strip() and not unlicensed:
                reason = f"{row.file} states no licence: fill it in, or leave the photo out."
                return (replace(row, status="unlicensed", reason=reason), "unlicensed")
            status, columns = "stored", _store(_fetched(row, source, client), row, source, path)
        return (replace(row, status="stored", reason="", **columns), status)
    except DiskFull:
        raise
    except DragFaceError as error:
        reason = str(error)
    except OSError as error:
        reason = f"{error.filename or row.file} cannot be used ({error.strerror or error}): check that place."
    return (replace(row, status="failed", reason=printable(reason)), "failed")


def _known(row: Row, source: Path | None, path: Path) -> dict[str, Any] | None:
    """Columns of a photo that an earlier run stored; None where it must be fetched."""
    if kind_of(path) != "file" or source is not None and row.sha256 != sha256_of(source):
        return None
    if row.status == "stored":
        return {}
    with suppress(UnreadablePhoto):  # the run was killed before it wrote the manifest
        return _described(path.read_bytes(), open_photo(path))
    return None


def _fetched(row: Row, source: Path | None, client: Crawler) -> bytes:
    if source is not None:
        if source.stat().st_size > MAX_BYTES:
            raise DragFaceError(f"{source} is larger than {MAX_BYTES / 1e6:.0f} MB: make it smaller first.")
        return source.read_bytes()
    if not row.image_url:
        raise DragFaceError(f"{row.file} has no image_url: fill it in, or remove the row {row.id}.")
    if row.source in CRAWLED and not client.may_fetch(row.image_url):
        raise DragFaceError(f"{row.image_url} is closed to robots (robots.txt of its host): it is left there.")
    return client.get(row.image_url, MAX_BYTES)


def _store(data: bytes, row: Row, source: Path | None, path: Path) -> dict[str, Any]:
    """Check a photo and write it without its metadata. Returns its columns."""
    sha256, stream = hashlib.sha256(data).hexdigest(), BytesIO(data)
    stream.name = row.image_url or str(source)  # what an error message calls it
    if source is None and row.sha256 not in ("", sha256):  # before anything tries to open it
        raise DragFaceError(f"{stream.name} has other bytes than expected (sha256 {sha256[:12]}…): it is not stored.")
    with OPENING:
        rgb = open_photo(stream)
        stored = without_metadata(data, rgb)
    write_atomically(path, stored)
    return {"bytes": len(data), "sha256": sha256, **_described(stored, rgb)}


def _described(stored: bytes, rgb: np.ndarray) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    columns = {"stored_sha256": hashlib.sha256(stored).hexdigest(), "retrieved_at": now}
    return columns | {"width": rgb.shape[1], "height": rgb.shape[0]}


def without_metadata(data: bytes, rgb: np.ndarray) -> bytes:
    """The photo's file without metadata. rgb: the photo as `open_photo` gave it, upright.

    A JPEG keeps its pixels bit for bit and its colour profile, unless it lies on its side: then it is encoded again,
    like other formats. A PNG becomes a PNG, all else a JPEG.
    """
    with suppress(UnreadablePhoto, ValueError, IndexError):
        stripped = _pixels_of_jpeg(data)
        if np.array_equal(open_photo(stripped), rgb):
            return stripped
    return encode_photo(rgb, "PNG" if data.startswith(b"\x89PNG") else "JPEG", QUALITY)


def _pixels_of_jpeg(data: bytes, with_profile: bool = True) -> bytes:
    """The segments of a JPEG that its pixels need. Raises ValueError or IndexError for any other file."""
    kept, start, profile = data[:2], 2, b""
    while data[start : start + 2] != b"\xff\xd9":
        if kept[:2] != b"\xff\xd8" or data[start] != 0xFF:
            raise ValueError("not a JPEG")
        marker, end = data[start + 1], start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        if marker == 0xDA:  # pixels follow
            scan_end = SCAN_END.search(data, end)
            end = scan_end.start() if scan_end else len(data)
        content = data[start + 4 : end]
        needed = marker in PIXELS or (content[:5], len(content)) in ((b"JFIF\0", 14), (b"Adobe", 12))
        if with_profile and content.startswith(b"ICC_PROFILE\0"):
            profile, needed = profile + content[14:], True
        kept += data[start:end] if needed else b""
        start = end
    if profile:
        try:
            ImageCms.ImageCmsProfile(BytesIO(profile))
            if len(profile) != int.from_bytes(profile[:4], "big"):
                raise ValueError("more than a profile")
        except (OSError, ImageCms.PyCMSError, ValueError):
            return _pixels_of_jpeg(data, with_profile=False)
    return kept + b"\xff\xd9"
