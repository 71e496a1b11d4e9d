"""Photos of Instagram and other sites, handed over to gallery-dl with the user's own cookies.

rows = GalleryDL("drag", cookies="cookies.txt").search("@my_own_profile", limit=50)
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from ..errors import DragFaceError
from ..files import SUFFIXES
from ..manifest import Row
from ..network import check_address
from .answers import plain, required, shortly, web_address
from .licences import attribution
from .sources import Source, digest

LONGEST_HANDOVER = 1800  # seconds that gallery-dl may take to list what it found


class GalleryDL(Source):
    """Instagram and every other site that gallery-dl knows, by the user's own account: own or permitted posts only.

    cookies: the file that a browser exported; without one this source stays off. most: how many files of an address are
    listed, so that a large profile costs no more questions than photos that are wanted.
    """

    LICENCE = "permission claimed by user"  # stands where a licence stands; addresses of such photos expire

    def __init__(self, domain: str = "drag", cookies: str | Path = "", most: int = 1000):
        self.domain, self.cookies, self.most = domain, cookies, most

    def each(self, query: str = "") -> Iterator[Row]:
        """The pictures behind an address, such as a profile's; "#word" is a hashtag of Instagram, "@name" a profile."""
        query = required(query, "instagram", "an address, #hashtag or @profile")
        if not self.cookies or not Path(self.cookies).is_file():
            raise DragFaceError(
                "instagram is off until you name the file of cookies that your browser exported (--cookies FILE): use "
                "it for your own posts, or ones you have permission for."
            )
        url = query
        if query[0] in "#@":
            path = "explore/tags/" if query[0] == "#" else ""
            url = f"https://www.instagram.com/{path}{quote(query[1:])}/"
        check_address(url)
        for number, (address, about) in enumerate(self._listed(url)):
            suffix = f".{about.get('extension') or PurePosixPath(urlsplit(address).path).suffix[1:]}".lower()
            if suffix in SUFFIXES:
                yield self._row(address, about, suffix, url, number)

    def _listed(self, url: str) -> Iterator[tuple[str, dict]]:
        if find_spec("gallery_dl") is None:
            raise DragFaceError("instagram needs gallery-dl: run `pip install gallery-dl` and try again.")
        command = [sys.executable, "-m", "gallery_dl", "--cookies", str(self.cookies), "--no-input"]
        command += ["--range", f"1-{self.most}", "--resolve-json"]
        try:
            done = subprocess.run(
                [*command, "--", url], capture_output=True, text=True, timeout=LONGEST_HANDOVER, check=False
            )
            messages = json.loads(done.stdout or "[]")
        except (subprocess.TimeoutExpired, ValueError):
            raise DragFaceError(f"gallery-dl did not come to an end with {url}: try a smaller address.") from None
        found = [(message[1], message[2]) for message in messages if len(message) == 3 and message[0] == 3]
        faults = [str(message[-1].get("message", "")) for message in messages if message[0] == -1]
        if not found and (faults or done.returncode):
            reason = shortly(faults[0] if faults else (done.stderr.strip().splitlines() or [""])[-1])
            raise DragFaceError(f"gallery-dl found nothing at {url} ({reason}): check the address and the cookies.")
        yield from found

    def _row(self, address: str, about: dict, suffix: str, url: str, number: int) -> Row:
        address = address.removeprefix("ytdl:")
        site = re.sub(r"\W", "", str(about.get("category") or "web"), flags=re.ASCII)
        post = about.get("shortcode") or about.get("post_id") or about.get("id") or digest(address)
        name = re.sub(r"[^\w-]", "", f"{post}_{about.get('num') or 0}", flags=re.ASCII)[:80]
        author = about.get("fullname") or about.get("username") or about.get("author") or about.get("uploader") or ""
        author = plain(str(author.get("name", "") if isinstance(author, dict) else author))
        title = plain(str(about.get("title") or about.get("description") or ""))[:120]
        return Row(
            id=f"{site}_{name}",
            domain=self.domain,
            file=f"{site}/{name}{suffix}",
            image_url=web_address(address),
            page_url=web_address(str(about.get("post_url") or "")) or url,
            licence=self.LICENCE,
            author=author,
            title=title,
            width=about.get("width") if isinstance(about.get("width"), int) else None,
            height=about.get("height") if isinstance(about.get("height"), int) else None,
            source=site,
            query=url,
            attribution=attribution(title, author, self.LICENCE),
        )
