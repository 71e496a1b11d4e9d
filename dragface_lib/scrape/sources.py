"""Where photos come from: small classes with one face, `search(query, limit) -> rows`.

    rows = Manifest().search("portrait", limit=20)      # licensed photos, listed in data_manifest.csv
    rows = Folder("/home/me/selfies").search()          # the user's own; Zip is the same for an archive of them
    rows = Drive("https://drive.google.com/drive/folders/…").search()

Those on the web are in `web_sources`. `download(rows, photos)` takes the rows of any of them.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, urlsplit

from ..errors import DragFaceError
from ..files import DAMAGES, SUFFIXES
from ..images import find_photos
from ..manifest import Row, find_manifest, iterate_manifest

OWN = "own photo"  # stands where a licence stands for photos that the user brings along
MAX_BYTES = 64_000_000  # of a photo; the largest photos of phones have about 30 MB
MAX_MEMBERS = 100_000  # of an archive
MAX_UNPACKED = 20_000_000_000  # bytes of an archive's photos together
MAX_RATIO = 100  # a member's size unpacked to packed; photos are packed already and stay below 2


@dataclass(frozen=True, slots=True)
class LocalRow(Row):
    """A row whose photo lies on this machine, at `source`; a manifest cannot contain one. place: what holds it."""

    source: Path = Path()  # type: ignore[assignment]  # in other rows the name of the source
    place: str = ""


class Source(ABC):
    """What all sources share. A subclass says in `each` what it finds, lazily."""

    def search(self, query: str = "", limit: int | None = None) -> list[Row]:
        """The first `limit` rows that `each` finds."""
        return list(islice(self.each(query), limit))

    @abstractmethod
    def each(self, query: str = "") -> Iterator[Row]:
        """One row after the other. Raises DragFaceError when the source cannot be asked or refuses."""


class Manifest(Source):
    """The rows of a manifest, by default the project's own; withdrawn ones too, so that they are acted upon.

    A broken row is left out and named in `faults`.
    """

    def __init__(self, path: str | Path | None = None, domain: str = ""):
        self.path, self.domain = path, domain
        self.faults: list[str] = []

    def each(self, query: str = "") -> Iterator[Row]:
        """Rows whose title, author or file has every word of `query`."""
        self.faults.clear()
        rows = iterate_manifest(self.path or find_manifest(), self.faults)
        return _matching((row for row in rows if self.domain in ("", row.domain)), query)


class Folder(Source):
    """Every picture in a folder of this machine or of a mounted Drive, in its subfolders too. place: its name for
    ever, where it is only unpacked there for now.
    """

    def __init__(self, path: str | Path, domain: str = "selfie", place: str = ""):
        self.path, self.domain = Path(path).expanduser(), domain
        self.place = place or str(self.path.resolve())

    def each(self, query: str = "") -> Iterator[Row]:
        """Rows whose file name has every word of `query`; raises DragFaceError when there is no such folder."""
        return _matching(map(self._row, find_photos(self.path)), query)

    def _row(self, path: Path) -> LocalRow:
        file = path.relative_to(self.path).as_posix()
        name = f"own_{digest(f'{self.place}/{file}')}"
        size = path.stat().st_size
        return LocalRow(
            name, self.domain, file, licence=OWN, title=path.stem, bytes=size, source=path, place=self.place
        )


class Zip(Source):
    """The pictures in a zip archive, unpacked into a temporary folder for as long as this object lives."""

    def __init__(self, path: str | Path, domain: str = "selfie", place: str = ""):
        self.path, self.domain = Path(path).expanduser(), domain
        self.place = place or str(self.path.resolve())
        self._unpacked: tempfile.TemporaryDirectory | None = None

    def each(self, query: str = "") -> Iterator[Row]:
        """Rows whose file name has every word of `query`.

        Raises DragFaceError, before anything is written, when the archive is damaged, has a password, has members
        that point outside it or are links, or unpacks to too much.
        """
        if self._unpacked is None:
            self._unpacked = self._unpack()
        return Folder(self._unpacked.name, self.domain, self.place).each(query)

    def _unpack(self) -> tempfile.TemporaryDirectory:
        folder = tempfile.TemporaryDirectory(prefix="dragface-zip-")
        try:
            with zipfile.ZipFile(self.path) as archive:
                for member in self._checked(archive, folder.name):
                    target = Path(folder.name) / member.filename
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with archive.open(member) as packed, open(target, "wb") as file:
                        shutil.copyfileobj(packed, file)
        except FileNotFoundError:
            raise DragFaceError(f"{self.path} does not exist: check the name of the archive.") from None
        except DAMAGES as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DragFaceError(f"{self.path} cannot be unpacked ({reason}): make a zip of it again.") from error
        return folder

    def _checked(self, archive: zipfile.ZipFile, folder: str) -> list[zipfile.ZipInfo]:
        """The pictures among the members, once every member has been looked at."""
        members = [member for member in archive.infolist() if not member.is_dir()]
        for member in members:
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or set(member.filename) & set("\\:\0"):
                raise self._refusal(f"{member.filename!r} points outside it")
            if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
                raise self._refusal(f"{member.filename!r} is a link or a device")
            if member.file_size > MAX_RATIO * max(member.compress_size, 1000):
                raise self._refusal(f"{member.filename!r} grows more than {MAX_RATIO} times when it is unpacked")
        if len(members) > MAX_MEMBERS:
            raise self._refusal(f"it has more than {MAX_MEMBERS} members")
        pictures = [member for member in members if PurePosixPath(member.filename).suffix.lower() in SUFFIXES]
        pictures = [member for member in pictures if "__MACOSX" not in member.filename]
        if sum(member.file_size for member in pictures) > min(MAX_UNPACKED, shutil.disk_usage(folder).free):
            raise self._refusal("its photos are larger than the disk has room for or than 20 GB")
        if not pictures:
            raise DragFaceError(f"{self.path} holds no pictures: put JPEG, PNG or WebP files into it.")
        return pictures

    def _refusal(self, fault: str) -> DragFaceError:
        return DragFaceError(f"{self.path} is not unpacked, as {fault}: make a zip of plain photos.")


class Drive(Source):
    """The pictures behind a shared Google Drive link, of a folder, of one file or of a zip, fetched with gdown.

    They lie in a temporary folder for as long as this object lives.
    """

    def __init__(self, link: str, domain: str = "selfie"):
        self.link, self.domain = link.strip(), domain
        self._fetched: tempfile.TemporaryDirectory | None = None
        self._within: Source | None = None

    def each(self, query: str = "") -> Iterator[Row]:
        """Fetch everything behind the link once; rows whose file name has every word of `query`.

        Raises DragFaceError when the link is not one of Drive's or cannot be read by everyone.
        """
        if self._within is None:
            self._fetched = self._fetch()
            self._within = self._open(Path(self._fetched.name))
        return self._within.each(query)

    def _open(self, folder: Path) -> Source:
        files = [path for path in folder.rglob("*") if path.is_file()]
        if len(files) == 1 and zipfile.is_zipfile(files[0]):
            return Zip(files[0], self.domain, self.link)
        if not find_photos(folder):
            raise DragFaceError(f"{self.link} has no pictures that everyone can read: share it and check its files.")
        return Folder(folder, self.domain, self.link)

    def _fetch(self) -> tempfile.TemporaryDirectory:
        parts = urlsplit(self.link)
        found = re.search(r"/(?:file/d|folders)/([\w-]+)", parts.path)
        number = found[1] if found else parse_qs(parts.query).get("id", [""])[0]
        if parts.scheme != "https" or parts.hostname not in ("drive.google.com", "docs.google.com") or not number:
            raise DragFaceError(f"{self.link} is not the link of a Drive folder or file: copy it from Drive's Share.")
        try:
            import gdown
        except ImportError:
            raise DragFaceError("A Drive link needs gdown: run `pip install gdown` and try again.") from None
        fetched = tempfile.TemporaryDirectory(prefix="dragface-drive-")
        try:
            if "/folders/" in parts.path:
                gdown.download_folder(id=number, output=fetched.name, quiet=True, use_cookies=False)
            else:
                gdown.download(id=number, output=f"{fetched.name}/", quiet=True, use_cookies=False)
        except Exception as error:  # gdown has several errors of its own, other ones in each version
            raise DragFaceError(
                f"{self.link} cannot be fetched ({_shortly(error)}): share it with everyone who has the link, or "
                "wait a day if it was fetched very often."
            ) from error
        return fetched


def _matching(rows: Iterable[Row], query: str) -> Iterator[Row]:
    words = query.lower().split()
    return (row for row in rows if all(word in f"{row.title} {row.author} {row.file}".lower() for word in words))


def digest(text: str) -> str:
    """Twelve hexadecimal digits that stand for a text in a name."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _shortly(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
