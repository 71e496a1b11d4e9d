"""Where photos come from: small classes with one face, `search(query, limit) -> rows`.

    rows = Manifest().search("portrait", limit=20)      # licensed photos, listed in data_manifest.csv
    rows = Folder("/home/me/selfies").search()          # the user's own
    rows = Drive("https://drive.google.com/drive/folders/…").search()

`download(rows, photos)` takes the rows of any of them.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ..errors import DragFaceError
from ..images import find_photos
from ..manifest import Row, find_manifest, read_manifest

OWN = "own photo"  # stands where a licence stands for photos that the user brings along


@dataclass(frozen=True)
class LocalRow(Row):
    """A row whose photo lies on this machine, at `source`; a manifest cannot contain one."""

    source: Path = Path()


class Manifest:
    """The rows of a manifest, by default the project's own; withdrawn ones too, so that they are acted upon."""

    def __init__(self, path: str | Path | None = None, domain: str = ""):
        self.path, self.domain = path, domain

    def search(self, query: str = "", limit: int | None = None) -> list[Row]:
        """Rows whose title, author or file has every word of `query`, at most `limit` of them."""
        rows = read_manifest(self.path or find_manifest())
        return _matching((row for row in rows if self.domain in ("", row.domain)), query, limit)


class Folder:
    """Every picture in a folder of this machine or of a mounted Drive, in its subfolders too."""

    def __init__(self, path: str | Path, domain: str = "selfie"):
        self.path, self.domain = Path(path).expanduser(), domain

    def search(self, query: str = "", limit: int | None = None) -> list[Row]:
        """Rows whose file name has every word of `query`; raises DragFaceError when there is no such folder."""
        return _matching((self._row(path) for path in find_photos(self.path)), query, limit)

    def _row(self, path: Path) -> LocalRow:
        file = path.relative_to(self.path).as_posix()
        name = f"own_{hashlib.sha256(file.encode('utf-8', 'surrogateescape')).hexdigest()[:12]}"
        size = path.stat().st_size
        return LocalRow(name, self.domain, file, licence=OWN, title=path.stem, bytes=size, source=path)


class Drive:
    """The pictures behind a shared Google Drive link, of a folder or of one file, fetched with gdown.

    They lie in a temporary folder for as long as this object lives.
    """

    def __init__(self, link: str, domain: str = "selfie"):
        self.link, self.domain = link.strip(), domain
        self._fetched: tempfile.TemporaryDirectory | None = None

    def search(self, query: str = "", limit: int | None = None) -> list[Row]:
        """Fetch everything behind the link once; rows whose file name has every word of `query`.

        Raises DragFaceError when the link is not one of Drive's or cannot be read by everyone.
        """
        if self._fetched is None:
            self._fetched = self._fetch()
        return Folder(self._fetched.name, self.domain).search(query, limit)

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
        options = {"quiet": True, "use_cookies": False}
        try:
            if "/folders/" in parts.path:
                gdown.download_folder(id=number, output=fetched.name, **options)
            else:
                gdown.download(id=number, output=f"{fetched.name}/", **options)
        except Exception as error:  # gdown has several errors of its own, other ones in each version
            raise DragFaceError(
                f"{self.link} cannot be fetched ({_shortly(error)}): share it with everyone who has the link, or "
                "wait a day if it was fetched very often."
            ) from error
        if not find_photos(fetched.name):
            raise DragFaceError(f"{self.link} has no pictures that everyone can read: share it and check its files.")
        return fetched


def _matching(rows: Iterable[Row], query: str, limit: int | None) -> list[Row]:
    words = query.lower().split()
    fitting = (row for row in rows if all(word in f"{row.title} {row.author} {row.file}".lower() for word in words))
    return list(islice(fitting, limit))


def _shortly(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
