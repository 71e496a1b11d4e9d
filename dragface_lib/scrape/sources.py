"""Where photos come from: small classes with one face, `search(query, limit) -> [(row, path)]`.

    Manifest().search("portrait", limit=20)     # licensed photos, listed in data_manifest.csv
    Folder("/home/me/selfies").search()         # the user's own; Zip is the same for an archive of them
    Drive("https://drive.google.com/drive/folders/…").search()

A path says where on this machine the photo lies; it is None for photos on the web (see web.py).
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from html import unescape
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, urlsplit

from ..archives import members, open_archive, read_member
from ..errors import DragFaceError
from ..files import SUFFIXES
from ..images import find_photos
from ..manifest import Row, find_manifest, read_manifest

OWN = "own photo"  # stands where a licence stands for photos that the user brings along
HIDDEN = re.compile(r"<(script|style)\b.*?</\1>|<(\w+)[^>]*display:\s*none.*?</\2>", re.DOTALL | re.IGNORECASE)


class Source(ABC):
    """What all sources share. notes: what the user should know after a search."""

    def __init__(self, domain: str) -> None:
        self.domain = domain
        self.notes: list[str] = []

    def search(self, query: str = "", limit: int | None = None) -> list[tuple[Row, Path | None]]:
        """The first `limit` photos that `each` yields."""
        return list(islice(self.each(query), limit))

    @abstractmethod
    def each(self, query: str = "") -> Iterator[tuple[Row, Path | None]]:
        """One photo after the other. Raises DragFaceError when the source cannot be asked or refuses."""


class Manifest(Source):
    """The rows of a manifest, by default the project's own; withdrawn ones too, so that they are acted upon."""

    def __init__(self, path: str | Path | None = None, domain: str = "") -> None:
        super().__init__(domain)
        self.path = path

    def each(self, query: str = "") -> Iterator[tuple[Row, Path | None]]:
        """Rows whose title, author or file has every word of `query`; of `domain` only, where it is named."""
        for row in read_manifest(self.path or find_manifest()):
            if self.domain in ("", row.domain) and _fits(f"{row.title} {row.author} {row.file}", query):
                yield row, None


class Folder(Source):
    """Every picture in a folder of this machine or of a mounted Drive, in its subfolders too."""

    def __init__(self, path: str | Path, domain: str = "selfie") -> None:
        super().__init__(domain)
        self.path = Path(path).expanduser()
        self.origin = str(self.path.resolve())  # what the manifest calls the place

    def each(self, query: str = "") -> Iterator[tuple[Row, Path | None]]:
        """Photos whose file name has every word of `query`; raises DragFaceError when there is no such folder."""
        folder = self.folder()
        for path in find_photos(folder):
            if _fits(path.name, query):
                yield self._row(path.relative_to(folder).as_posix(), path.stem), path

    def folder(self) -> Path:
        """Where the photos lie."""
        return self.path

    def _row(self, file: str, title: str) -> Row:
        number = digest(f"{self.origin}/{file}")
        # A name that every file system allows. The number keeps apart what it no longer tells apart.
        name = re.sub(r"[^\w. ()+/-]+|(?<![^/])[. ]+", "_", file)
        if name != file:
            name = str(PurePosixPath(name).with_stem(f"{PurePosixPath(name).stem}_{number[-6:]}"))
        origin, file = plain(self.origin), f"own/{digest(self.origin)}/{name}"
        return Row(f"own_{number}", self.domain, file, licence=OWN, title=plain(title), source="own", query=origin)


class Zip(Folder):
    """The pictures in a zip archive, unpacked into a temporary folder for as long as this object lives."""

    _temporary: tempfile.TemporaryDirectory | None = None

    def folder(self) -> Path:
        """Unpack the pictures once; raises DragFaceError where there are none and for an archive that is not safe."""
        if self._temporary is None:
            temporary = tempfile.TemporaryDirectory(prefix="dragface-")
            self.bring(Path(temporary.name))
            if not find_photos(temporary.name):
                raise DragFaceError(f"{self.origin} holds no pictures that can be read: put JPEG, PNG or WebP there.")
            self._temporary = temporary
        return Path(self._temporary.name)

    def bring(self, folder: Path) -> None:
        """Put the pictures into this folder."""
        with open_archive(self.path) as archive:
            for member in members(archive):
                if PurePosixPath(member.filename).suffix.lower() in SUFFIXES:
                    target = folder / member.filename
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(read_member(archive, member))


class Drive(Zip):
    """The pictures behind a shared Google Drive link, of a folder, of one file or of a zip, fetched with gdown."""

    def __init__(self, link: str, domain: str = "selfie") -> None:
        super().__init__("", domain)
        self.origin = link.strip()

    def bring(self, folder: Path) -> None:
        """Raises DragFaceError when the link is not one of Drive's or cannot be read by everyone."""
        parts = urlsplit(self.origin)
        named = re.search(r"/(?:file/d|folders)/([\w-]+)", parts.path)
        number = named[1] if named else parse_qs(parts.query).get("id", [""])[0]
        if parts.scheme != "https" or parts.hostname not in ("drive.google.com", "docs.google.com") or not number:
            raise DragFaceError(f"{self.origin} is not the link of a Drive folder or file: copy it from Drive's Share.")
        try:
            import gdown
        except ImportError:
            raise DragFaceError("A Drive link needs gdown: run `pip install gdown` and try again.") from None
        fetch, output = (gdown.download_folder, "") if "/folders/" in parts.path else (gdown.download, "/")
        try:
            fetch(id=number, output=f"{folder}{output}", quiet=True, use_cookies=False)
        except Exception as error:  # gdown has several errors of its own, other ones in each version
            raise DragFaceError(
                f"{self.origin} cannot be fetched ({plain(str(error))[:160]}): share it with everyone who has the "
                "link, or wait a day if it was fetched very often."
            ) from error
        for self.path in [path for path in folder.iterdir() if zipfile.is_zipfile(path)]:
            super().bring(folder)


def plain(html: str) -> str:
    """Text without markup, entities, line breaks and what cannot be shown, at most 300 characters."""
    text = unescape(re.sub(r"<[^>]+>", " ", HIDDEN.sub("", html[:5000])))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:300]


def secret(name: str) -> str:
    """A key from Colab's secrets, else from the environment variable of that name; "" where there is none.

    Raises DragFaceError where Colab has it and this notebook may not read it, and for what can be no key.
    """
    value, withheld = "", False
    with suppress(ImportError):
        from google.colab import userdata

        try:
            value = userdata.get(name) or ""
        except Exception as error:  # Colab has several of its own for a secret that is not there, or nobody to ask
            withheld = isinstance(error, userdata.NotebookAccessError)
    value = (value or os.environ.get(name, "")).strip()
    if withheld and not value:
        raise DragFaceError(
            f"Colab has the secret {name}, but this notebook may not read it: click the key on the left, switch on "
            f"'Notebook access' beside {name}, and run this cell again."
        )
    if not re.fullmatch(r"[\x21-\x7e]*", value):
        raise DragFaceError(f"The secret {name} holds characters that no key has: copy it again.")
    return value


def digest(text: str) -> str:
    """Twelve hexadecimal digits that stand for a text in a name."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]


def _fits(text: str, query: str) -> bool:
    return all(word in text.lower() for word in query.lower().split())
