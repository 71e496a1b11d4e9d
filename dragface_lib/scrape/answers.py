"""What the sources on the web share: keys, and reading what they answer."""

from __future__ import annotations

import os
import re
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from ..errors import DragFaceError
from ..files import SUFFIXES


def secret(name: str) -> str:
    """A key from Colab's secrets, else from the environment variable of that name; "" where there is none.

    Raises DragFaceError where Colab has it and this notebook may not read it, and for what can be no key.
    """
    value, withheld = "", False
    try:
        from google.colab import userdata
    except ImportError:
        pass
    else:
        try:
            value = userdata.get(name) or ""
        except userdata.NotebookAccessError:
            withheld = True
        except Exception:  # Colab has several errors of its own for a secret that is not there, or nobody to ask
            pass
    value = (value or os.environ.get(name, "")).strip()
    if withheld and not value:
        raise DragFaceError(
            f"Colab has the secret {name}, but this notebook may not read it: click the key on the left, switch on "
            f"'Notebook access' beside {name}, and run this cell again."
        )
    if not re.fullmatch(r"[\x21-\x7e]*", value):
        raise DragFaceError(f"The secret {name} holds characters that no key has: copy it again.")
    return value


def required(query: str, source: str, what: str) -> str:
    """A query without spaces around it. Raises DragFaceError where nothing is left; what: that it should be."""
    if not query.strip():
        raise DragFaceError(f"{source} needs a query: {what}.")
    return query.strip()


def suffix_of(url: str, filetype: str | None) -> str:
    """The suffix of a photo's file. What it really is, its bytes say later."""
    found = f".{(filetype or '').split('/')[-1].lower()}", PurePosixPath(urlsplit(url).path).suffix.lower()
    return next((suffix for suffix in found if suffix in SUFFIXES), ".jpg")


def web_address(url: str) -> str:
    """`url`, or "" when it is no address that a manifest may hold."""
    url = f"https:{url}" if url.startswith("//") else url.strip()
    return url if re.fullmatch(r"https?://[^/\s]+\S*", url) else ""


class _Text(HTMLParser):
    """Collects the text that a reader of the page would see."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._hidden: list[str] = []  # open elements within one that is not shown

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        style = (dict(attrs).get("style") or "").replace(" ", "")
        if self._hidden or tag in ("script", "style") or "display:none" in style:
            self._hidden.append(tag)
        elif tag in ("br", "p", "div", "li", "td"):
            self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in self._hidden:
            while self._hidden.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(data)


def plain(html: str) -> str:
    """Text without markup, entities and line breaks, at most 300 characters."""
    parser = _Text()
    parser.feed(html)
    parser.close()
    return " ".join("".join(parser.parts).split())[:300]


def shortly(text: object) -> str:
    """An answer's own words on one line, not too many of them."""
    return " ".join(str(text or "").split())[:160].rstrip(".")
