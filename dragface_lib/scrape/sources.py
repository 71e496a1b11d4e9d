"""Where photos come from: classes with one face, `search(query, limit) -> [(row, path)]`.

    Manifest().search("portrait", limit=20)     # licensed photos, listed in data_manifest.csv
    Own().search("/home/me/selfies")            # a folder, a zip or a shared Drive link

A path says where on this machine the photo lies; it is None for photos on the web (see web.py).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from html import unescape
from itertools import islice
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, urlsplit

from ..addresses import NetworkError
from ..archives import members, open_archive, read_member
from ..errors import DragFaceError
from ..images import find_photos, photos_among
from ..manifest import Row, manifest_of, read_manifest

OWN = "own photo"  # in the column of the licence, for the user's own photos
HIDDEN = re.compile(r"<(script|style)\b.*?</\1>|<(\w+)[^>]*display:\s*none.*?</\2>", re.DOTALL | re.IGNORECASE)


@dataclass
class Source(ABC):
    """The base of all sources. domain: of the photos, by default selfie; of a manifest all. notes: what the user should
    know after a search. For some sources only: manifest, the table to search; cookies, the file that a browser
    exported; depth, levels of subcategories; limit, the most files to list; unfinished, the folder where a fetching
    that broke off is continued.
    """

    domain: str = ""
    manifest: str | Path | None = None
    cookies: str | Path | None = None
    depth: int = 1
    limit: int | None = None
    unfinished: Path | None = None
    notes: list[str] = field(default_factory=list)

    NAME = ""
    NEEDS = ""  # from the user

    def search(self, query: str | Path = "", limit: int | None = None) -> list[tuple[Row, Path | None]]:
        """The first `limit` photos; where the source fails behind some of them, these and a note.

        Raises DragFaceError when the source cannot be asked or refuses.
        """
        photos: list[tuple[Row, Path | None]] = []
        if self.NEEDS and not str(query).strip():
            raise DragFaceError(f"{self.NAME} needs {self.NEEDS}.")
        try:
            photos.extend(islice(self.find(str(query).strip()), limit))  # keeps what comes before an error
        except NetworkError as error:
            if not photos:
                raise
            self.notes.append(f"The search ended early: {error}")
        return photos

    @abstractmethod
    def find(self, query: str) -> Iterator[tuple[Row, Path | None]]:
        """The photos one by one. `query` is not empty where the source needs a query."""


class Manifest(Source):
    """The rows of a manifest, by default the project's own; withdrawn ones too, so that they are acted upon."""

    NAME = "manifest"

    def find(self, query: str) -> Iterator[tuple[Row, Path | None]]:
        """Rows of the domain whose title, author or file has every word of `query`."""
        for row in read_manifest(self.manifest or manifest_of()):
            text = f"{row.title} {row.author} {row.file}".lower()
            if self.domain in ("", row.domain) and all(word in text for word in query.lower().split()):
                yield row, None


class Own(Source):
    """The user's own photos: of a folder, of a zip, or behind a shared Google Drive link, fetched with gdown.

    Zips and links are unpacked into a temporary folder that lasts as long as this object. What Drive gave before it
    refused to go on is used, and stays in `unfinished` until the rest is there.
    """

    NAME, NEEDS = "folder, zip or gdown", "a query: the path of a folder or zip, or a shared Drive link"

    def find(self, query: str) -> Iterator[tuple[Row, Path | None]]:
        """Every picture, in subfolders too; raises DragFaceError where there are none and for an unsafe archive."""
        folder = path = Path(query).expanduser()
        origin, archives = str(path.resolve()), [path]
        if not (path.exists() or "://" in query):
            raise DragFaceError(f"{query} does not exist: name a folder, a zip or a shared Drive link.")
        refusal = ""
        if not path.is_dir():
            self._temporary = tempfile.TemporaryDirectory(prefix="dragface-")
            folder = temporary = Path(self._temporary.name)
            if "://" in query:
                folder = (self.unfinished or temporary) / digest(query)
                refusal = _fetch_from_drive(query, folder)
                if not refusal:  # nothing is left to continue
                    folder = Path(shutil.move(folder, temporary / "whole"))
                origin, archives = query, [file for file in folder.iterdir() if zipfile.is_zipfile(file)]
            for archive in archives:
                _unpack(archive, folder)
        photos = find_photos(folder)
        if not photos:
            none = f"{query} holds no pictures that can be read: put JPEG, PNG or WebP there."
            raise DragFaceError(refusal or none)
        self.notes += [f"Only {len(photos)} photos came: {refusal}"] if refusal else []
        for photo in photos:
            yield self._row(origin, photo.relative_to(folder).as_posix()), photo

    def _row(self, origin: str, file: str) -> Row:
        number = digest(f"{origin}/{file}")
        # A name that every file system allows; the number keeps it unique.
        name = re.sub(r"[^\w. ()+/-]+|(?<![^/])[. ]+", "_", file)
        if name != file:
            name = str(PurePosixPath(name).with_stem(f"{PurePosixPath(name).stem}_{number[-6:]}"))
        title, place = plain(PurePosixPath(file).stem), f"own/{digest(origin)}/{name}"
        return Row(
            f"own_{number}", self.domain or "selfie", place, licence=OWN, title=title, source="own", query=plain(origin)
        )


def _unpack(path: Path, folder: Path) -> None:
    with open_archive(path) as archive:
        files = {member.filename: member for member in members(archive)}
        for name in photos_among(files):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(read_member(archive, files[name]))


def _fetch_from_drive(link: str, folder: Path) -> str:
    """Fetch the missing files of a shared file or folder into `folder`; returns why some are missing, or ""."""
    parts = urlsplit(link)
    named = re.search(r"/(?:file/d|folders)/([\w-]+)", parts.path)
    number = named[1] if named else parse_qs(parts.query).get("id", [""])[0]
    if parts.scheme != "https" or parts.hostname not in ("drive.google.com", "docs.google.com") or not number:
        raise DragFaceError(f"{link} is not the link of a Drive folder or file: copy it from Drive's Share.")
    try:
        import gdown
    except ImportError:
        raise DragFaceError("A Drive link needs gdown: run `pip install gdown` and try again.") from None
    folder.mkdir(parents=True, exist_ok=True)
    fetch, output = (gdown.download_folder, "") if "/folders/" in parts.path else (gdown.download, "/")
    try:
        fetch(id=number, output=f"{folder}{output}", quiet=True, use_cookies=False, resume=True)
    except Exception as error:  # gdown has several errors of its own, other ones in each version
        if "MaximumLimit" in type(error).__name__:
            return f"{link} holds 50 files or more, too many for this gdown: share one zip, or update gdown."
        return (
            f"{link} cannot be fetched ({plain(str(error))[:160]}): share it with everyone who has the link, or wait a "
            "day if it was fetched very often, and run it again, which goes on with what is missing."
        )
    return ""


def plain(html: str) -> str:
    """Text without markup, entities, line breaks and what cannot be shown, at most 300 characters."""
    text = unescape(re.sub(r"<[^>]+>", " ", HIDDEN.sub("", html[:5000])))
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:300]


def secret(name: str) -> str:
    """A key from Colab's secrets, else from the environment variable of that name, else "".

    Raises DragFaceError where Colab has it and this notebook may not read it, and for what can be no key.
    """
    value = os.environ.get(name, "")
    with suppress(ImportError):
        from google.colab import userdata

        try:
            value = userdata.get(name) or value
        except Exception as error:  # Colab has several of its own for a secret that is not there, or nobody to ask
            if isinstance(error, userdata.NotebookAccessError) and not value:
                raise DragFaceError(
                    f"Colab has the secret {name}, but this notebook may not read it: click the key on the left, "
                    f"switch on 'Notebook access' beside {name}, and run this cell again."
                ) from None
    if not re.fullmatch(r"[\x21-\x7e]*", value.strip()):
        raise DragFaceError(f"The secret {name} holds characters that no key has: copy it again.")
    return value.strip()


def digest(text: str) -> str:
    """Twelve hexadecimal digits that identify a text, for names of files."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:12]
