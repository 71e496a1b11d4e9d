"""Photos that others share on the web, each with its page, author and licence.

    photos = Commons("drag").search("Category:Drag queens in Brazil", limit=200)
    photos = Openverse("drag").search("drag queen portrait", limit=100)

Keys come from Colab's secrets or from the environment (see `secret`); they go into headers and posted forms only, never
into an address, a message or a file. None of these sources asks for two things at once.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from ..addresses import NetworkError
from ..errors import DragFaceError
from ..files import SUFFIXES
from ..manifest import Row
from ..network import Client
from .sources import Source, digest, plain, secret

WIDTH = 1920  # pixels; Commons shrinks wider pictures to this: a tenth of the bytes, and enough for a face
MIMES = ("image/jpeg", "image/png", "image/webp")


class WebSource(Source):
    """A search on the web; a subclass yields its results in `photos`."""

    API = ""
    KEYS = ("", "")

    @abstractmethod
    def photos(self, query: str) -> Iterator[dict[str, Any]]:
        """Each photo as the server describes it: columns of a row, and a unique `name`."""

    def find(self, query: str) -> Iterator[tuple[Row, Path | None]]:
        """Photos that fit `query`. Photos that a manifest cannot hold are left out and named in `notes`."""
        self.client, seen = Client(), set()
        try:
            for columns in self.photos(query):
                if columns["name"] not in seen:
                    seen.add(columns["name"])
                    try:
                        yield self._row(query, **columns), None
                    except DragFaceError as fault:
                        self.notes.append(f"A photo that {self.NAME} named is left out: {fault}")
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise NetworkError(f"{self.API} answered in a form that is not known here: run it again later.") from error

    def ask(self, path: str = "", **sent: Mapping[str, str]) -> dict:
        """The server's answer; raises NetworkError, naming the keys where it refuses them."""
        try:
            return self.client.get_json(self.API + path, **sent)
        except NetworkError as error:
            if self.KEYS[0] and error.status in (400, 401, 403):
                advice = f"check {' and '.join(self.KEYS)}"
                error = NetworkError(f"{self.NAME} refuses the key or is asked too often: {advice}.", error.status)
            raise error from None

    def _row(self, query: str, name: str, image_url: str, source: str = "", **told: Any) -> Row:
        """A row of the manifest, without the server's markup and without broken addresses."""
        image_url, source = _web_address(image_url), source or self.NAME
        suffix = PurePosixPath(urlsplit(image_url).path).suffix.lower()
        file = f"{source}/{name}{suffix if suffix in SUFFIXES else '.jpg'}"
        cleaned: dict[str, Any] = {
            column: (_web_address if column.endswith("_url") else plain)(value or "") for column, value in told.items()
        }
        return Row(f"{source}_{name}", self.domain or "selfie", file, image_url, source=source, query=query, **cleaned)


class Commons(WebSource):
    """Wikimedia Commons, without a key. depth: levels of subcategories to search."""

    NAME, API = "commons", "https://commons.wikimedia.org/w/api.php"
    NEEDS = "a query: words or Category:NAME"

    def photos(self, query: str) -> Iterator[dict[str, Any]]:
        """Files of "Category:NAME" and its subcategories, else results of a search for the words of `query`."""
        about = {"prop": "imageinfo", "iiprop": "url|size|mime|extmetadata", "iiurlwidth": str(WIDTH)}
        searches = [{"generator": "search", "gsrsearch": query, "gsrnamespace": "6", "gsrlimit": "50"}]
        if query.lower().startswith("category:"):
            of_category = {"generator": "categorymembers", "gcmtype": "file", "gcmlimit": "50"}
            searches = [of_category | {"gcmtitle": category} for category in self._categories(query)]
        for search in searches:
            for answer in self._answers(about | search):
                for page in answer.get("pages", []):
                    for info in page.get("imageinfo", [])[:1]:
                        if info.get("mime") in MIMES and info.get("url"):
                            yield self._photo(page, info)

    def _photo(self, page: dict, info: dict) -> dict[str, Any]:
        extra = {name: str(part.get("value", "")) for name, part in info.get("extmetadata", {}).items()}
        title = page.get("title", "").removeprefix("File:")
        scaled = "thumb" if info.get("thumburl") and info["width"] > WIDTH else ""
        return {
            "name": str(int(page["pageid"])),
            "image_url": info[f"{scaled}url"],
            "page_url": info.get("descriptionurl"),
            "licence": extra.get("LicenseShortName"),
            "licence_url": extra.get("LicenseUrl"),
            "author": extra.get("Artist"),
            "title": title.removesuffix(PurePosixPath(title).suffix),
            "attribution": extra.get("Attribution"),
        }

    def _categories(self, top: str) -> list[str]:
        known, level = [top], [top]
        for _ in range(self.depth):
            search = {"list": "categorymembers", "cmtype": "subcat", "cmlimit": "500"}
            answers = [answer for name in level for answer in self._answers(search | {"cmtitle": name})]
            below = [member["title"] for answer in answers for member in answer.get("categorymembers", [])]
            level = [category for category in dict.fromkeys(below) if category not in known]
            known += level
        return known

    def _answers(self, search: Mapping[str, str]) -> Iterator[dict]:
        """All pages of the answer to a search."""
        asked = {**search, "action": "query", "format": "json", "formatversion": "2"}
        answer: dict = {"continue": {}}
        while "continue" in answer:
            asked |= {name: str(value) for name, value in answer["continue"].items()}
            answer = self.ask(params=asked)
            if fault := answer.get("error"):
                reason = plain(str(fault.get("info")))[:160].rstrip(".")
                raise NetworkError(f"Wikimedia Commons refuses the search ({reason}): try another one.")
            yield answer.get("query", {})


class Openverse(WebSource):
    """Openverse, a search over many collections of openly licensed pictures. Without a key it answers a few times an
    hour; with OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET (api.openverse.org, register an application) more often.
    """

    NAME, API = "openverse", "https://api.openverse.org/v1/"
    NEEDS = "a query: words; for many, OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET too"
    KEYS = "OPENVERSE_CLIENT_ID", "OPENVERSE_CLIENT_SECRET"
    NAMES = {"": "", "cc0": "CC0", "pdm": "Public Domain Mark"}  # other licences: "CC" and their code

    def photos(self, query: str) -> Iterator[dict[str, Any]]:
        """Photos that may be altered, since make-up alters them (no ND licences)."""
        name, word = map(secret, self.KEYS)
        headers = {}
        if name and word:
            form = {"grant_type": "client_credentials", "client_id": name, "client_secret": word}
            headers["Authorization"] = f"Bearer {self.ask('auth_tokens/token/', data=form).get('access_token', '')}"
        size, pages = (100, 100) if headers else (20, 12)  # the server answers no further pages
        asked = {"q": query, "license_type": "modification", "mature": "false", "category": "photograph"}
        for page in range(1, pages + 1):
            sent = asked | {"page_size": str(size), "page": str(page)}
            answer = self.ask("images/", params=sent, headers=headers)
            results = answer.get("results", [])
            yield from (self._photo(entry) for entry in results if entry.get("id") and entry.get("url"))
            if not results or page >= int(answer.get("page_count") or 0):
                return

    def _photo(self, entry: dict) -> dict[str, Any]:
        code = str(entry.get("license") or "").lower()
        licence = self.NAMES.get(code, f"CC {code.upper()}")
        return {
            "name": re.sub(r"[^\w-]", "", str(entry["id"]), flags=re.ASCII),
            "image_url": entry["url"],
            "page_url": entry.get("foreign_landing_url"),
            "licence": f"{licence} {entry.get('license_version') or ''}",
            "licence_url": entry.get("license_url"),
            "author": entry.get("creator"),
            "title": entry.get("title"),
        }


class Google(WebSource):
    """Google's Custom Search JSON API, with GOOGLE_API_KEY and GOOGLE_SEARCH_ENGINE (an engine for pictures).

    Google gives no new keys any more and ends this API with 2026: Openverse and Commons serve instead. It only says by
    which filter a picture was found, not its licence: look at the page before you publish anything.
    """

    NAME, API = "google", "https://www.googleapis.com/customsearch/v1"
    NEEDS = "a query, and keys that Google no longer gives; it ends with 2026: use openverse or commons instead"
    KEYS = "GOOGLE_API_KEY", "GOOGLE_SEARCH_ENGINE"
    RIGHTS = {"cc_publicdomain": "public domain", "cc_attribute": "CC BY", "cc_sharealike": "CC BY-SA"}

    def photos(self, query: str) -> Iterator[dict[str, Any]]:
        """Photos of each kind of free licence in turn, at most 100 each; a page of ten costs one query of 100 a day."""
        key, engine = map(secret, self.KEYS)
        if not (key and engine):
            raise DragFaceError(f"google needs the secrets {' and '.join(self.KEYS)}, or use openverse or commons.")
        asked = {"q": query, "cx": engine, "searchType": "image", "imgType": "photo", "num": "10", "safe": "active"}
        for rights, licence in self.RIGHTS.items():
            for start in range(1, 92, 10):
                page = asked | {"rights": rights, "start": str(start)}
                answer = self.ask(params=page, headers={"X-Goog-Api-Key": key})
                for item in answer.get("items", []):
                    yield {
                        "name": digest(item["link"]),
                        "image_url": item["link"],
                        "page_url": item["image"].get("contextLink"),
                        "licence": f"{licence} by Google's filter",
                        "author": item.get("displayLink"),
                        "title": item.get("title"),
                    }
                if not (answer.get("items") and answer.get("queries", {}).get("nextPage")):
                    break


def _web_address(url: str) -> str:
    """`url`, or "" when a manifest cannot hold it."""
    url = f"https:{url}" if url.startswith("//") else url.strip()
    return url if re.fullmatch(r"https?://[^/\s]+\S*", url) else ""
