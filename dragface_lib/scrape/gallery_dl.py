"""Photos of Instagram and other sites, handed over to gallery-dl with the user's own cookies.

photos = GalleryDL("drag", cookies="cookies.txt", limit=50).search("@my_own_profile")
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from ..addresses import check_address
from ..errors import DragFaceError
from ..files import SUFFIXES
from .sources import digest, plain
from .web import WebSource

LONGEST_LISTING = 1800  # seconds that gallery-dl may take to list a profile


class GalleryDL(WebSource):
    """Instagram and every other site that gallery-dl knows, by the user's own account: own or permitted posts only.

    Without a file of cookies this source stays off. Of a profile at most `limit` files are listed, 1000 by default.
    """

    NAME, API = "instagram", "gallery-dl"
    NEEDS = "a query (an address, #hashtag or @profile), a file of cookies, and permission"
    LICENCE = "permission claimed by user"  # in the column of the licence; addresses of such photos expire

    def photos(self, query: str) -> Iterator[dict[str, Any]]:
        """The pictures behind an address, such as a profile's; "#word" is a hashtag of Instagram, "@name" a profile."""
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
        for address, about in self._listed(url):
            suffix = f".{about.get('extension') or PurePosixPath(urlsplit(address).path).suffix[1:]}".lower()
            if suffix in SUFFIXES:
                post = about.get("shortcode") or about.get("post_id") or about.get("id") or digest(address)
                yield {
                    "name": re.sub(r"[^\w-]", "", f"{post}_{about.get('num') or 0}", flags=re.ASCII)[:80],
                    "source": re.sub(r"\W", "", str(about.get("category") or "web"), flags=re.ASCII),
                    "image_url": address.removeprefix("ytdl:"),
                    "page_url": str(about.get("post_url") or url),
                    "licence": self.LICENCE,
                    "author": str(about.get("fullname") or about.get("username") or about.get("uploader") or ""),
                    "title": str(about.get("title") or about.get("description") or ""),
                }

    def _listed(self, url: str) -> list[tuple[str, dict]]:
        if find_spec("gallery_dl") is None:
            raise DragFaceError("instagram needs gallery-dl: run `pip install gallery-dl` and try again.")
        command = [sys.executable, "-m", "gallery_dl", "--cookies", str(self.cookies), "--no-input"]
        command += ["--range", f"1-{self.limit or 1000}", "--resolve-json", "--", url]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_LISTING, check=False)
            messages = json.loads(done.stdout or "[]")
        except (subprocess.TimeoutExpired, ValueError):
            raise DragFaceError(f"gallery-dl did not come to an end with {url}: try a smaller address.") from None
        files = [(message[1], message[2]) for message in messages if len(message) == 3 and message[0] == 3]
        faults = [str(message[-1].get("message", "")) for message in messages if message[0] == -1]
        if not files and (faults or done.returncode):
            reason = plain([*faults, *done.stderr.strip().splitlines()[-1:], ""][0])[:160].rstrip(".")
            raise DragFaceError(f"gallery-dl found nothing at {url} ({reason}): check the address and the cookies.")
        return files
