"""Whose photos these are: a list of names for the README, a page of pictures for the notebook."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import numpy as np

from ..errors import DragFaceError
from ..images import UnreadablePhoto, contact_sheet, open_photo
from ..manifest import Row

UNKNOWN = "author unknown"
UNLICENSED = "no licence stated"
SAFE = "!#$%&'()*+,/:;=?@[]~"  # characters that an address keeps
MARKDOWN_LINK, HTML_LINK = "[{}](<{}>)", '<a href="{1}">{0}</a>'
PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="default-src 'none'">
<title>{heading}</title></head><body>
<h1>{heading}</h1>
{lists}
</body></html>
"""


def credits(rows: Iterable[Row]) -> list[str]:
    """One line for each author, licence and source, with the number of photos; withdrawn rows are left out."""
    counts = Counter(
        (row.author or UNKNOWN, row.licence or UNLICENSED, row.licence_url, row.page_url or row.image_url)
        for row in rows
        if not row.withdrawn
    )
    lines = []
    for (author, licence, licence_url, source), count in counts.items():
        address, ending = f" ({licence_url})" if licence_url else "", f", {source}" if source else ""
        lines.append(f"{count} photo{'' if count == 1 else 's'}: {author}, {licence}{address}{ending}")
    return lines


def credits_page(rows: Iterable[Row], format: str = "md") -> str:
    """A page that names every photo with its page, author and licence. format: "md" or "html".

    Withdrawn rows are left out. What a row says is text: markup in it is shown, not obeyed.
    """
    rows = [row for row in rows if not row.withdrawn]
    escape, pattern = (html.escape, HTML_LINK) if format == "html" else (_markdown, MARKDOWN_LINK)

    def text(words: str) -> str:
        return escape(" ".join(words.split()))

    def link(words: str, url: str) -> str:
        return pattern.format(text(words), html.escape(quote(url, safe=SAFE))) if url else text(words)

    photos = []
    for row in rows:
        usual = row.attribution in ("", attribution(row.title, row.author, row.licence))
        title = link(row.title or row.id, row.page_url or row.image_url)
        licence = link(row.licence or UNLICENSED, row.licence_url)
        asked = "" if usual else f" ({text(row.attribution)})"
        photos.append(f"{title}, {text(row.author or UNKNOWN)}, {licence}{asked}")
    heading, lists = f"Photos used: {len(rows)}", [[text(line) for line in credits(rows)], photos]
    if format == "html":
        items = ["\n".join(f"<li>{line}</li>" for line in lines) for lines in lists]
        return PAGE.format(heading=heading, lists="\n".join(f"<ul>\n{lines}\n</ul>" for lines in items))
    return f"# {heading}\n\n" + "\n".join("".join(f"* {line}\n" for line in lines) for lines in lists)


def attribution(title: str, author: str, licence: str) -> str:
    """The line that names a photo's title, author and licence, as Creative Commons asks for it."""
    by = f"by {author or 'an unknown author'}"
    return ", ".join(part for part in (f'"{title}" {by}' if title else by, licence) if part)


def licence_sheet(rows: Iterable[Row], photos: str | Path, limit: int = 24) -> np.ndarray:
    """A contact sheet of at most `limit` downloaded photos, spread over all rows, each above its licence and author.

    photos: the folder of both domains. Returns (height, width, 3) uint8 RGB; raises DragFaceError when none of the
    photos is there.
    """
    here = [row for row in rows if not row.withdrawn and row.path(photos).is_file()]
    pictures, captions = [], []
    for index in np.linspace(0, len(here) - 1, min(limit, len(here))).round().astype(int):
        row = here[index]
        try:
            pictures.append(open_photo(row.path(photos)))
        except UnreadablePhoto:
            continue  # damaged since it was stored
        captions.append(f"{row.licence or UNLICENSED} · {row.author or row.title}")
    if not pictures:
        raise DragFaceError(f"None of these photos is in {photos}: run the download again.")
    return contact_sheet(pictures, 6, 170, captions)


def _markdown(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#|&!~])", r"\\\1", text)
