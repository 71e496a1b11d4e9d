"""Photos that others share on the web, each with its page, author and licence.

    rows = Commons("drag").search("Category:Drag queens in Brazil", limit=200)
    rows = Openverse("drag").search("drag queen portrait", limit=100)

What needs a key reads it from Colab's secrets or from the environment (see `secret`); keys go into headers and posted
forms only, never into an address, a message or a file. None of these sources asks for two things at once.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import PurePosixPath
from typing import Any

from .. import network
from ..errors import DragFaceError
from ..manifest import Row
from ..network import Client, NetworkError
from .answers import plain, required, secret, shortly, suffix_of, web_address
from .licences import attribution
from .sources import Source, digest

WIDTH = 1920  # pixels; of larger pictures Commons makes one of this width, a tenth of the bytes and enough for a face
MIMES = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}
BUSY = ("maxlag", "ratelimited", "readonly")  # errors of MediaWiki that pass


def _in_known_form(each: Callable[..., Iterator[Row]]) -> Callable[..., Iterator[Row]]:
    """An answer whose parts are of other kinds than documented ends the search with NetworkError."""

    @wraps(each)
    def checked(self: Any, query: str = "") -> Iterator[Row]:
        try:
            yield from each(self, query)
        except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
            raise NetworkError(f"{self.API} answered in a form that is not known here: run it again later.") from error

    return checked


class Commons(Source):
    """Wikimedia Commons, without a key. depth: how many levels of subcategories belong to a category."""

    API = "https://commons.wikimedia.org/w/api.php"

    def __init__(self, domain: str = "drag", depth: int = 1):
        self.domain, self.depth = domain, depth
        self._client = Client()

    @_in_known_form
    def each(self, query: str = "") -> Iterator[Row]:
        """Files of "Category:NAME", with its subcategories, or else of a search for the words of `query`."""
        query = required(query, "commons", "words or Category:NAME")
        if not query.lower().startswith("category:"):
            yield from self._rows(query, generator="search", gsrsearch=query, gsrnamespace="6", gsrlimit="50")
            return
        seen: set[str] = set()
        for category in self._categories(query):
            found = {"gcmtitle": category, "gcmtype": "file", "gcmlimit": "50"}
            for row in self._rows(query, generator="categorymembers", **found):
                if row.id not in seen:
                    seen.add(row.id)
                    yield row

    def _categories(self, top: str) -> Iterator[str]:
        level, seen = [top], {top}
        for depth in range(self.depth + 1):
            yield from level
            if depth == self.depth:
                return
            below = []
            for category in level:
                asked = {"list": "categorymembers", "cmtitle": category, "cmtype": "subcat", "cmlimit": "500"}
                for answer in self._pages(**asked):
                    below += [member["title"] for member in answer.get("query", {}).get("categorymembers", [])]
            level = [title for title in dict.fromkeys(below) if title not in seen]
            seen.update(level)

    def _rows(self, query: str, **asked: str) -> Iterator[Row]:
        about = {"iiprop": "url|size|mime|sha1|extmetadata", "iiurlwidth": str(WIDTH)}
        for answer in self._pages(prop="imageinfo", **about, **asked):
            for page in answer.get("query", {}).get("pages", []):
                for info in page.get("imageinfo", [])[:1]:
                    if info.get("mime") in MIMES and info.get("url"):
                        yield self._row(page, info, query)

    def _row(self, page: dict, info: dict, query: str) -> Row:
        told = {name: plain(str(part.get("value", ""))) for name, part in info.get("extmetadata", {}).items()}
        title = plain(page.get("title", "")).removeprefix("File:")
        title = title[: -len(PurePosixPath(title).suffix)] if PurePosixPath(title).suffix else title
        author, licence = told.get("Artist", ""), told.get("LicenseShortName", "")
        scaled = info.get("thumburl") if (info.get("width") or 0) > WIDTH else ""
        return Row(
            id=f"commons_{page['pageid']}",
            domain=self.domain,
            file=f"commons/{page['pageid']}{MIMES[info['mime']]}",
            image_url=scaled or info["url"],
            page_url=info.get("descriptionurl", ""),
            licence=licence,
            licence_url=web_address(told.get("LicenseUrl", "")),
            author=author,
            title=title,
            width=info.get("thumbwidth" if scaled else "width"),
            height=info.get("thumbheight" if scaled else "height"),
            source="commons",
            query=query,
            attribution=told.get("Attribution", "") or attribution(title, author, licence),
        )

    def _pages(self, **asked: str) -> Iterator[dict]:
        """Every answer to one question, to its end."""
        asked |= {"action": "query", "format": "json", "formatversion": "2", "maxlag": "5"}
        further: dict[str, str] = {}
        while True:
            answer = self._ask(asked | further)
            yield answer
            further = {name: str(value) for name, value in answer.get("continue", {}).items()}
            if not further:
                return

    def _ask(self, asked: dict[str, str]) -> dict:
        for attempt in range(network.ATTEMPTS):
            answer = self._client.get_json(self.API, query=asked)
            fault = answer.get("error", {})
            if fault.get("code") not in BUSY:
                break
            time.sleep(10 * network.BACKOFF * 2**attempt)
        if fault:
            raise NetworkError(f"Wikimedia Commons refuses the search ({shortly(fault.get('info'))}): try another one.")
        return answer


class Openverse(Source):
    """Openverse, a search over many collections of openly licensed pictures. Without a key it answers a few times an
    hour; with OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET (api.openverse.org, register an application) more often.
    """

    API = "https://api.openverse.org/v1/"
    NAMES = {"cc0": "CC0", "pdm": "Public Domain Mark"}

    def __init__(self, domain: str = "drag"):
        self.domain = domain
        self._client = Client()

    @_in_known_form
    def each(self, query: str = "") -> Iterator[Row]:
        """Photos that may be altered, as painting a face into them does (no ND licences)."""
        query = required(query, "openverse", "words")
        headers = self._headers()
        asked = {"q": query, "license_type": "modification", "mature": "false", "category": "photograph"}
        asked["page_size"] = "100" if headers else "20"
        page, last = 1, 1
        while page <= last:
            answer = self._ask(headers, asked | {"page": str(page)}, page)
            for found in answer.get("results", []):
                if found.get("id") and found.get("url"):
                    yield self._row(found, query)
            last = int(answer.get("page_count") or 0) if answer.get("results") else 0
            page += 1

    def _headers(self) -> dict[str, str]:
        name, word = secret("OPENVERSE_CLIENT_ID"), secret("OPENVERSE_CLIENT_SECRET")
        if not (name and word):
            return {}
        form = {"grant_type": "client_credentials", "client_id": name, "client_secret": word}
        try:
            answer = self._client.get_json(f"{self.API}auth_tokens/token/", form=form)
        except NetworkError as error:
            raise _refused(error, "Openverse", "OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET") from None
        return {"Authorization": f"Bearer {answer.get('access_token', '')}"}

    def _ask(self, headers: dict[str, str], asked: dict[str, str], page: int) -> dict:
        try:
            return self._client.get_json(f"{self.API}images/", query=asked, headers=headers)
        except NetworkError as error:
            if page > 1 and error.status in (400, 401):  # deeper than this user may look
                return {}
            raise _refused(error, "Openverse", "OPENVERSE_CLIENT_ID and OPENVERSE_CLIENT_SECRET") from None

    def _row(self, found: dict, query: str) -> Row:
        code, version = str(found.get("license") or "").lower(), str(found.get("license_version") or "")
        licence = self.NAMES.get(code, f"CC {code.upper()}" if code else "")
        title, author = plain(found.get("title") or ""), plain(found.get("creator") or "")
        licence = f"{licence} {version}".strip() if licence else ""
        name = re.sub(r"[^\w-]", "", str(found["id"]), flags=re.ASCII)
        return Row(
            id=f"openverse_{name}",
            domain=self.domain,
            file=f"openverse/{name}{suffix_of(found['url'], found.get('filetype'))}",
            image_url=web_address(found["url"]),
            page_url=web_address(found.get("foreign_landing_url") or ""),
            licence=licence,
            licence_url=web_address(found.get("license_url") or ""),
            author=author,
            title=title,
            width=found.get("width"),
            height=found.get("height"),
            source="openverse",
            query=query,
            attribution=plain(found.get("attribution") or "") or attribution(title, author, licence),
        )


class Google(Source):
    """Google's Custom Search JSON API, with GOOGLE_API_KEY and GOOGLE_SEARCH_ENGINE (an engine for pictures).

    Google gives no new keys any more and announced the end of this API for 2027-01-01. It only says by which filter a
    picture was found, not its licence: look at the page before you publish anything.
    """

    API = "https://www.googleapis.com/customsearch/v1"
    RIGHTS = {"cc_publicdomain": "public domain", "cc_attribute": "CC BY", "cc_sharealike": "CC BY-SA"}

    def __init__(self, domain: str = "drag"):
        self.domain = domain
        self._client = Client()

    @_in_known_form
    def each(self, query: str = "") -> Iterator[Row]:
        """Photos of each kind of free licence in turn, at most 100 a kind; a page of ten costs one of 100 a day."""
        query = required(query, "google", "words")
        key, engine = secret("GOOGLE_API_KEY"), secret("GOOGLE_SEARCH_ENGINE")
        if not (key and engine):
            raise DragFaceError(
                "google needs the secrets GOOGLE_API_KEY and GOOGLE_SEARCH_ENGINE: put them into Colab's secrets or "
                "environment variables of these names."
            )
        seen: set[str] = set()
        for rights in self.RIGHTS:
            asked = {"q": query, "cx": engine, "searchType": "image", "imgType": "photo", "rights": rights, "num": "10"}
            start = 1
            while start and start <= 91:
                answer = self._ask(key, asked | {"safe": "active", "start": str(start)})
                for found in answer.get("items", []):
                    if found.get("link") and found["link"] not in seen and web_address(found["link"]):
                        seen.add(found["link"])
                        yield self._row(found, query, rights)
                following = answer.get("queries", {}).get("nextPage", [])
                start = int(following[0].get("startIndex", 0)) if following and answer.get("items") else 0

    def _ask(self, key: str, asked: dict[str, str]) -> dict:
        try:
            return self._client.get_json(self.API, query=asked, headers={"X-Goog-Api-Key": key})
        except NetworkError as error:
            raise _refused(error, "Google", "GOOGLE_API_KEY and GOOGLE_SEARCH_ENGINE") from None

    def _row(self, found: dict, query: str, rights: str) -> Row:
        image, name = found.get("image", {}), f"google_{digest(found['link'])}"
        title, licence = plain(found.get("title") or ""), f"{self.RIGHTS[rights]} by Google's filter"
        return Row(
            id=name,
            domain=self.domain,
            file=f"google/{name}{suffix_of(found['link'], found.get('fileFormat'))}",
            image_url=found["link"],
            page_url=web_address(image.get("contextLink") or ""),
            licence=licence,
            author=plain(found.get("displayLink") or ""),
            title=title,
            width=image.get("width"),
            height=image.get("height"),
            source="google",
            query=query,
            attribution=attribution(title, found.get("displayLink") or "", licence),
        )


def _refused(error: NetworkError, who: str, names: str) -> NetworkError:
    if error.status in (400, 401, 403):
        return NetworkError(f"{who} refuses the key or has no more answers for it today: check {names}.", error.status)
    return error
